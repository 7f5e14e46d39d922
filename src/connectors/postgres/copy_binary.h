#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "connectors/postgres/types.h"
#include "model/record_batch.h"

namespace ferry::postgres {

// Reads the stream of COPY … TO STDOUT (FORMAT binary) into record batches (PostgreSQL manual, COPY, "Binary
// Format"). Pure: bytes in, rows out; safe on hostile bytes. Used by one thread.
class CopyBinaryReader {
 public:
  // `codecs` has one entry per column of `table`. The reader of each column is chosen here, before the rows.
  CopyBinaryReader(model::TableVersionPtr table, const std::vector<ColumnCodec>& codecs);
  ~CopyBinaryReader();
  CopyBinaryReader(CopyBinaryReader&&) noexcept;

  // Takes one CopyData message, which holds whole rows. Throws Error(kSourceProtocol) for bytes of another
  // form.
  void add(std::string_view message);

  // What has been read since the last take().
  std::int64_t rows() const;
  std::int64_t bytes() const;
  model::RecordBatch take();

  // The end mark has been read.
  bool finished() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ferry::postgres
