#include "connectors/s3/change_rows.h"

#include <algorithm>

namespace ferry::s3 {
namespace {

using model::Cell;
using model::CellState;
using model::Change;
using model::ChangeKind;

bool key_changed(const model::TableVersion& table, const Change& change) {
  if (change.before.empty()) return false;
  return std::ranges::any_of(table.key, [&](std::uint32_t column) {
    const Cell& before = change.before[column];
    const Cell& after = change.after[column];
    if (before.state == CellState::kNotSent || after.state == CellState::kNotSent) return false;
    return before.state != after.state || before.bytes != after.bytes;
  });
}

}  // namespace

ChangeRows rows_of(const Change& change, base::UnixMicros commit_time, const S3TargetSettings& settings) {
  const model::TableVersion& table = **change.table;
  bool moves = change.kind == ChangeKind::kUpdate &&
               (table.identity == model::RowIdentity::kFullRow || key_changed(table, change));
  bool inserts =
      settings.cdc_inserts_only ? change.kind == ChangeKind::kInsert : change.kind != ChangeKind::kDelete;
  bool deletes = !settings.cdc_inserts_only && !settings.cdc_inserts_and_updates &&
                 (change.kind == ChangeKind::kDelete || moves);
  ChangeRows rows;
  if (deletes) rows.add({.op = 'D', .commit_time = commit_time, .cells = change.before});
  if (inserts) {
    char op = change.kind == ChangeKind::kUpdate && !moves ? 'U' : 'I';
    rows.add({.op = op, .commit_time = commit_time, .cells = change.after});
  }
  return rows;
}

}  // namespace ferry::s3
