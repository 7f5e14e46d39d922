#include <arrow/api.h>

#include <algorithm>

#include "connectors/postgres/connector.h"
#include "connectors/postgres/tools_servertest.h"

namespace ferry::postgres::testing {
namespace {

OwnedCell cell_at(const arrow::Array& array, const model::LogicalType& type, std::int64_t row) {
  if (array.IsNull(row)) return {};
  OwnedCell cell{.state = model::CellState::kValue, .bytes = {}};
  if (type.is_variable()) {
    cell.bytes = static_cast<const arrow::BinaryArray&>(array).GetView(row);
  } else if (type.id == model::TypeId::kBoolean) {
    cell.bytes = std::string(1, static_cast<const arrow::BooleanArray&>(array).Value(row) ? '\1' : '\0');
  } else {
    std::size_t width = model::fixed_cell_size(type);
    const auto* values = array.data()->buffers[1]->data();
    cell.bytes.assign(reinterpret_cast<const char*>(values) + static_cast<std::size_t>(row) * width, width);
  }
  return cell;
}

Row row_of(std::span<const model::Cell> cells) {
  Row row;
  for (const model::Cell& cell : cells)
    row.push_back({.state = cell.state, .bytes = std::string(cell.bytes)});
  return row;
}

}  // namespace

std::optional<std::string> MemoryNotes::get(std::string_view name) const {
  std::lock_guard lock(mutex_);
  auto found = notes_.find(name);
  return found == notes_.end() ? std::nullopt : std::optional(found->second);
}

void MemoryNotes::set(std::string_view name, std::string_view value) {
  std::lock_guard lock(mutex_);
  notes_.insert_or_assign(std::string(name), std::string(value));
}

model::Endpoint endpoint_at(int port, std::string_view user, std::string_view password) {
  model::Endpoint endpoint;
  endpoint.identifier = "source";
  endpoint.engine_name = "postgres";
  endpoint.server_name = "127.0.0.1";
  endpoint.port = static_cast<std::uint16_t>(port);
  endpoint.database_name = "postgres";
  endpoint.username = user;
  endpoint.password = base::Secret(password);
  return endpoint;
}

std::unique_ptr<connector::Source> source_at(const model::Endpoint& endpoint) {
  return make_postgres_connector()->open_source(endpoint);
}

std::vector<Row> rows_of(const model::RecordBatch& batch) {
  std::vector<Row> rows(static_cast<std::size_t>(batch.rows->num_rows()));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (std::size_t column = 0; column < batch.table->columns.size(); ++column) {
      rows[row].push_back(cell_at(*batch.rows->column(static_cast<int>(column)),
                                  batch.table->columns[column].type, static_cast<std::int64_t>(row)));
    }
  }
  for (const model::OutOfDomain& value : batch.out_of_domain) {
    rows[static_cast<std::size_t>(value.row)][value.column] = {.state = model::CellState::kOutOfDomain,
                                                               .bytes = value.text};
  }
  return rows;
}

connector::UnloadRequest request_of(const model::TableName& table) {
  connector::UnloadRequest request;
  request.table = table;
  request.batch_bytes_max = 1 << 20;
  request.batch_rows_max = 1000;
  return request;
}

Unloaded unload_all(connector::Source& source, const connector::UnloadRequest& request) {
  auto unload = source.unload();
  auto table = unload->begin(request, {});
  Unloaded all{.table = table->table(), .mark = table->mark(), .rows = {}};
  for (std::size_t slice = 0; slice < table->slice_count(); ++slice) {
    auto reader = table->open_slice(slice, {});
    while (auto batch = reader->next({})) {
      auto status = batch->rows->ValidateFull();
      if (!status.ok()) throw std::runtime_error("an invalid batch: " + status.ToString());
      for (Row& row : rows_of(*batch)) all.rows.push_back(std::move(row));
    }
  }
  return all;
}

void Collector::poll(std::chrono::milliseconds wait) {
  model::ChangeBatch batch;
  capture_.next(batch, 1 << 20, wait, {});
  model::ChangeReader reader(batch);
  for (model::Change change; reader.next(change);) {
    switch (change.kind) {
      case model::ChangeKind::kHeartbeat: heartbeat_ = *change.stamp; break;
      case model::ChangeKind::kBegin: open_[change.transaction]; break;
      case model::ChangeKind::kCommit:
        done_.push_back({.stamp = *change.stamp, .changes = std::move(open_.at(change.transaction))});
        open_.erase(change.transaction);
        break;
      case model::ChangeKind::kRollback:
        if (change.subtransaction == change.transaction) {
          open_.erase(change.transaction);
        } else {
          std::erase_if(open_.at(change.transaction), [&](const OwnedChange& each) {
            return each.subtransaction == change.subtransaction;
          });
        }
        break;
      default:
        (change.transaction == 0 ? outside_ : open_.at(change.transaction))
            .push_back({.kind = change.kind,
                        .transaction = change.transaction,
                        .subtransaction = change.subtransaction,
                        .table = *change.table,
                        .before = row_of(change.before),
                        .after = row_of(change.after)});
    }
  }
}

std::size_t Collector::open_changes() const {
  std::size_t count = 0;
  for (const auto& [transaction, changes] : open_) count += changes.size();
  return count;
}

std::optional<OwnedTransaction> Collector::next(std::chrono::milliseconds wait) {
  auto deadline = std::chrono::steady_clock::now() + wait;
  while (done_.empty()) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return std::nullopt;
    poll(left);
  }
  OwnedTransaction first = std::move(done_.front());
  done_.pop_front();
  return first;
}

connector::CaptureScope scope_of(std::string task_name, std::vector<model::TableName> tables) {
  connector::CaptureScope scope;
  scope.task_name = std::move(task_name);
  scope.tables = std::move(tables);
  scope.selects = [](const model::TableName& name) { return name.schema == "public"; };
  return scope;
}

}  // namespace ferry::postgres::testing
