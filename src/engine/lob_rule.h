#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "mapping/table_mapping.h"
#include "model/change_batch.h"
#include "model/record_batch.h"
#include "model/row_error.h"
#include "model/task_settings.h"

namespace ferry::engine {

// What the transformation rules make of a table's names and columns, and the task's LOB settings of CLOB,
// NCLOB and BLOB columns (AWS DMS user guide, "Setting LOB support for source databases"), for loads and
// changes alike. Values are carried whole, unless the user's own document names LimitedSizeLobMode or
// LobMaxSize: then longer ones are cut, and each is a data warning. SupportLobs=false leaves LOB columns out;
// one that is part of the table's key stays whole. A table's own lob-settings in the table mappings take the
// place of all of these. Used by one thread.
class LobRule {
 public:
  enum class OnTruncation : std::uint8_t { kWarn, kFail };

  // `mapping` outlives the rule.
  LobRule(const model::TaskSettings& settings, const mapping::TableMapping& mapping,
          OnTruncation on_truncation);

  // The table as the target is to have it; the same one where no rule changes it. Throws Error(kTargetTable)
  // for transformation rules that make no table of it.
  model::TableVersionPtr target_version(const model::TableVersionPtr& source);

  // The batch as the target is to see it. Throws Error(kDataError) where truncation is to fail the task, as
  // apply().
  model::RecordBatch load_batch(model::RecordBatch batch, model::RowErrorSink& errors);

  // Makes the change one of the target version. What it points to is valid until the next call.
  void apply(model::Change& change, model::RowErrorSink& errors);

  // How many bytes of a value in this source table stay.
  std::size_t kept_bytes(const model::TableName& table, const model::LogicalType& type,
                         std::string_view value) const;

 private:
  struct Limits {
    bool leaves_out = false;
    std::optional<std::int64_t> bytes_max;  // None = whole.
  };
  struct Table {
    Limits limits;
    model::TableVersionPtr target;
    std::vector<std::uint32_t> columns;  // Of the source, those of the target in order.
    std::vector<std::uint32_t> cut;      // Of the target, those whose values may be cut.
  };
  Limits limits_of(const model::TableName& table) const;
  const Table& table_of(const model::TableVersionPtr& source);
  std::span<const model::Cell> image(const Table& table, std::span<const model::Cell> cells,
                                     std::vector<model::Cell>& storage, model::RowErrorSink& errors) const;
  void report(const Table& table, std::uint32_t column, model::RowErrorSink& errors) const;

  const Limits task_;
  const mapping::TableMapping& mapping_;
  const OnTruncation on_truncation_;
  std::map<model::TableVersionPtr, Table> tables_;  // By source version.
  std::vector<model::Cell> before_;
  std::vector<model::Cell> after_;
};

}  // namespace ferry::engine
