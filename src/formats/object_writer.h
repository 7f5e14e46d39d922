#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "model/change_batch.h"
#include "model/record_batch.h"
#include "model/row_error.h"

namespace ferry::formats {

// Where an object's bytes go. Used by one thread; throws base::Error when they cannot be taken.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void write(std::string_view bytes) = 0;
};

// DMS's name of the first column of an object with operations, and the letter of a load's rows in it.
inline constexpr std::string_view kOpColumn = "Op";
inline constexpr char kLoadOp = 'I';

// What every writer says in a DataWarning of a value that is CellState::kNotSent in an I or U row.
inline constexpr std::string_view kNotSentWarning =
    "A value that the source's log did not send was written as NULL.";

// … of each value of a type without_offset.
inline constexpr std::string_view kOffsetWarning =
    "The offset from UTC was left out, because DMS's type TIME has none.";

// The columns of one object in order: Op, the timestamp column, then the table's.
struct ObjectShape {
  model::TableVersionPtr table;
  bool op_column = false;             // "Op", one letter: I, U or D.
  std::string timestamp_column = {};  // DMS's TimestampColumnName; empty = none.
};

// One row of changes: the after image of an I or U, the before image of a D. One cell per table column.
struct ChangeRow {
  char op = 'I';
  base::UnixMicros commit_time = 0;
  std::span<const model::Cell> cells;
};

// Encodes the rows of one object of one table. Rows of a load come through write_rows(), changes through
// write_change(); both use the same encoder per logical type, so the same value gives the same bytes. Used by
// one thread. A row with a value the format cannot carry goes to the RowErrorSink and is left out whole.
class ObjectWriter {
 public:
  virtual ~ObjectWriter() = default;

  static constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

  struct Rows {
    const model::RecordBatch& batch;
    std::int64_t first = 0;  // The first row of the batch to write.
    // The object ends before a row that would take bytes() over this, unless it has no row yet.
    std::int64_t bytes_max = kNoLimit;
    // The timestamp column's value: this, or the clock's time as each row is written.
    std::optional<base::UnixMicros> timestamp = {};
    // Needed where timestamp is absent and the shape has a timestamp column.
    base::Clock* clock = nullptr;
  };
  // Returns the index of the first row it did not take: the batch's row count unless bytes_max ended the
  // object.
  virtual std::int64_t write_rows(const Rows& rows, model::RowErrorSink& errors) = 0;

  // False when the row was refused.
  virtual bool write_change(const ChangeRow& row, model::RowErrorSink& errors) = 0;

  // Rows taken so far, without refused ones.
  virtual std::int64_t rows() const = 0;
  // The object's size by DMS's measure: uncompressed CSV bytes, or the Parquet writer's estimate of written
  // plus buffered bytes.
  virtual std::int64_t bytes() const = 0;
  // What the writer holds in memory.
  virtual std::int64_t memory_bytes() const = 0;

  // Writes what is left. Called once, last.
  virtual void finish() = 0;
};

// "id=7, code=A" of a load's row or a change's key, for RowError::key: values as CSV prints them, long ones
// cut at 64 bytes with "…". A table without a key gives the row's number.
std::string row_key_text(const model::RecordBatch& batch, std::int64_t row);
std::string row_key_text(const model::TableVersion& table, std::span<const model::Cell> cells);

// Throws base::Error unless the batch's columns are those of `table` in their canonical Arrow types.
void require_canonical(const model::RecordBatch& batch, const model::TableVersion& table);

// Throws base::Error(kTargetTable) where the table has a column with the name of the timestamp column or,
// when the object says the names of its columns, of the Op column. Every writer asks it.
void require_free_names(const ObjectShape& shape, bool names_are_written);

// DMS's form of a point in time in the timestamp column: "yyyy-MM-dd HH:mm:ss.SSSSSS", always 26 characters.
std::string timestamp_text(base::UnixMicros time);

}  // namespace ferry::formats
