#include "tests/conformance/target_transaction.h"

#include <algorithm>

#include "base/bytes.h"

namespace ferry::conformance {
namespace {

void add_image(model::ChangeBatch& batch, const model::TableVersion& table, const SuiteRow& row,
               bool key_only, bool name_not_sent) {
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].name == kIdColumn) {
      base::append_native(batch.open_cell(model::CellState::kValue), row.id);
      batch.close_cell();
    } else if (key_only || (name_not_sent && table.columns[i].name == kNameColumn)) {
      batch.add_cell(model::CellState::kNotSent, "");
    } else if (table.columns[i].name == kNameColumn && row.name) {
      batch.add_cell(model::CellState::kValue, *row.name);
    } else {
      batch.add_cell(model::CellState::kNull, "");
    }
  }
}

void add_change(model::ChangeBatch& batch, std::uint64_t transaction, const ScriptedChange& change) {
  if (!change.before && !change.after) {
    batch.add_table_change(change.kind, transaction, transaction, change.table);
    return;
  }
  auto images = static_cast<model::ChangeBatch::Images>((change.before ? 1 : 0) + (change.after ? 2 : 0));
  batch.add_row_change(change.kind, transaction, transaction, change.table, images);
  bool keyed = change.table->identity == model::RowIdentity::kKey;
  if (change.before) add_image(batch, *change.table, *change.before, keyed, false);
  if (change.after) add_image(batch, *change.table, *change.after, false, change.name_not_sent);
}

}  // namespace

model::StreamPosition suite_position(std::uint64_t number) {
  std::string key;
  base::append_big_endian(key, number);
  return {key, "suite-" + std::to_string(number)};
}

model::Checkpoint suite_checkpoint(std::uint64_t number) {
  return {{"the suite's stream"}, suite_position(number), suite_position(number)};
}

ScriptedTransaction::ScriptedTransaction(std::uint64_t number, const std::vector<ScriptedChange>& script)
    : stamp_{number + 500, suite_position(number), suite_position(number),
             static_cast<base::UnixMicros>(1700000000000000 + number * 1000)},
      batch_([&] {
        model::ChangeBatch batch;
        for (const ScriptedChange& change : script) add_change(batch, number + 500, change);
        return batch;
      }()),
      reader_(batch_) {}

}  // namespace ferry::conformance
