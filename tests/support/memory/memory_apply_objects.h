#pragma once

#include <deque>

#include "tests/support/memory/memory_target.h"

namespace ferry::test_support {

// Changes into objects: each table has rows that wait for the object's cut. Key and cut are in the journal
// before the object is written; after a restart the same rows go into the same object.
class MemoryApplyObjects : public connector::TargetApply {
 public:
  MemoryApplyObjects(const MemoryTargetParts& parts, connector::ApplyRequest request)
      : parts_(parts), request_(request) {}

  std::optional<model::Checkpoint> recover(const model::Checkpoint& local) override;
  void apply(model::Transaction& transaction, const model::Checkpoint& after,
             model::RowErrorSink& errors) override;
  void advance(const model::Checkpoint& after) override;
  void tick() override;
  std::chrono::milliseconds tick_interval() const override { return std::chrono::milliseconds(100); }
  void flush() override;
  model::Checkpoint durable() const override { return durable_; }

 private:
  using Rows = std::vector<MemoryStorage::ObjectRow>;

  // One table's part of the stream.
  struct TableStream {
    connector::ChangePoint
        written_through;  // Rows up to here are in objects; nothing where has_written is false.
    bool has_written = false;
    std::optional<connector::ObjectRecord> intent;  // Of a killed run: its rows come again.
    Rows waiting;
    std::int64_t waiting_bytes = 0;
    std::uint64_t waiting_since_number = 0;  // The accepted transaction that the first waiting row is of.
    std::chrono::steady_clock::time_point waiting_since;
  };

  TableStream& stream_of(const model::TableName& table);
  void take(TableStream& stream, const model::Change& change, const connector::ChangePoint& point,
            model::RowErrorSink& errors);
  void take_row(TableStream& stream, RowChange change, const connector::ChangePoint& point,
                model::RowErrorSink& errors);
  void remove_before(TableStream& stream, const model::TableName& table, const connector::ChangePoint& point);
  void cut(TableStream& stream);
  void cut_all();
  void accept(const model::Checkpoint& after);
  void move_durable();

  const MemoryTargetParts& parts_;
  connector::ApplyRequest request_;
  std::map<model::TableName, TableStream> streams_;
  model::Checkpoint durable_;
  struct Accepted {
    std::uint64_t number;
    model::Checkpoint after;
  };
  std::deque<Accepted> accepted_;  // Not durable yet, in order.
  std::uint64_t next_number_ = 1;
};

}  // namespace ferry::test_support
