#pragma once

#include "tests/support/memory/memory_target.h"

namespace ferry::test_support {

// One slice's load: into rows that stand aside until finish(), or into objects of bounded size.
class MemoryLoad : public connector::TargetLoad {
 public:
  MemoryLoad(const MemoryTargetParts& parts, connector::LoadRequest request)
      : parts_(parts), request_(std::move(request)) {}

  void write(const model::RecordBatch& batch, model::RowErrorSink& errors) override;
  std::int64_t finish() override;

 private:
  std::string place_of(const Row& row) const;
  void begin_object();
  void put_open_object();
  void complete_object();

  const MemoryTargetParts& parts_;
  connector::LoadRequest request_;
  std::int64_t rows_seen_ = 0;
  std::int64_t rows_written_ = 0;
  std::size_t next_object_ = 0;
  std::string open_key_;  // Empty while no object is open.
  MemoryStorage::Object open_;
};

}  // namespace ferry::test_support
