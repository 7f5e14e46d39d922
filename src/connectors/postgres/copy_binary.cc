#include "connectors/postgres/copy_binary.h"

#include <arrow/api.h>
#include <arrow/util/bit_util.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/bytes.h"
#include "base/error.h"
#include "connectors/postgres/values.h"

// The innermost loop of every load from PostgreSQL. Three things make it quick: each column's reader is a
// plain function chosen once; a fixed-size value is written straight into the memory that becomes the Arrow
// array, whose room is checked once per row for all columns; and nothing is allocated but that memory.
namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;

constexpr std::string_view kSignature{"PGCOPY\n\xff\r\n\0", 11};
constexpr std::size_t kHeaderSize = kSignature.size() + 4 + 4;
constexpr std::int64_t kFirstRows = 1024;
// Arrow's utf8 and binary arrays count their bytes in 32 bits.
constexpr std::int64_t kVariableBytesMax = std::numeric_limits<std::int32_t>::max();

[[noreturn]] void broken(std::string_view what) {
  throw Error(ErrorKind::kSourceProtocol, fmt::format("a binary COPY stream has {}", what));
}

std::unique_ptr<arrow::ResizableBuffer> new_buffer() {
  auto made = arrow::AllocateResizableBuffer(0, model::memory_pool());
  if (!made.ok()) throw Error(ErrorKind::kInternal, "no memory for a batch of rows");
  return std::move(made).ValueUnsafe();
}

void resize(arrow::ResizableBuffer& buffer, std::int64_t size) {
  if (!buffer.Resize(size, /*shrink_to_fit=*/false).ok()) {
    throw Error(ErrorKind::kInternal, "no memory for a batch of rows");
  }
}

// One column of the batch being read. `fixed` points to the values, or to the offsets of a variable-size
// column.
struct Column {
  ColumnCodec codec;
  std::int64_t width = 0;  // Bytes per row in `fixed`; 0 for bits.
  bool variable = false;
  std::unique_ptr<arrow::ResizableBuffer> fixed_buffer;
  std::unique_ptr<arrow::ResizableBuffer> variable_buffer;
  std::unique_ptr<arrow::ResizableBuffer> valid_buffer;
  std::uint8_t* fixed = nullptr;
  std::uint8_t* variable_bytes = nullptr;
  std::uint8_t* valid = nullptr;
  std::int64_t variable_size = 0;
  std::int64_t variable_room = 0;
  std::int64_t nulls = 0;

  template <typename T>
  void put(std::int64_t row, T value) {
    std::memcpy(fixed + row * static_cast<std::int64_t>(sizeof(T)), &value, sizeof value);
  }

  char* room_for(std::int64_t size) {
    std::int64_t needed = variable_size + size;
    if (needed > variable_room) {
      if (needed > kVariableBytesMax) broken("more bytes in one column than a batch can hold");
      resize(*variable_buffer, std::max(needed, std::min(variable_room * 2, kVariableBytesMax)));
      variable_bytes = variable_buffer->mutable_data();
      variable_room = variable_buffer->size();
    }
    char* at = reinterpret_cast<char*>(variable_bytes) + variable_size;
    variable_size = needed;
    return at;
  }

  void put_bytes(std::int64_t row, std::string_view bytes) {
    bytes.copy(room_for(static_cast<std::int64_t>(bytes.size())), bytes.size());
    put_end(row);
  }

  // The value of `row` ends where the bytes end now.
  void put_end(std::int64_t row) { put(row + 1, static_cast<std::int32_t>(variable_size)); }

  void put_null(std::int64_t row) {
    arrow::bit_util::ClearBit(valid, row);
    ++nulls;
    if (variable) {
      put_end(row);
    } else if (width > 0) {
      std::memset(fixed + row * width, 0, static_cast<std::size_t>(width));
    }
  }
};

// What a reader says of a value.
enum class Read : std::uint8_t { kDone, kOutOfDomain, kBroken };

// Reads one non-null value into `row` of the column. For kOutOfDomain it has written the text into `text`
// instead.
using Reader = Read (*)(Column&, std::int64_t row, std::string_view bytes, std::string& text);

template <typename T>
Read read_integer(Column& column, std::int64_t row, std::string_view bytes, std::string&) {
  if (bytes.size() != sizeof(T)) return Read::kBroken;
  column.put(row, base::load_big_endian<T>(bytes.data()));
  return Read::kDone;
}

// Every NaN becomes the one that the text "NaN" is read as.
template <typename T, typename Bits>
Read read_float(Column& column, std::int64_t row, std::string_view bytes, std::string&) {
  if (bytes.size() != sizeof(T)) return Read::kBroken;
  T value = std::bit_cast<T>(base::load_big_endian<Bits>(bytes.data()));
  column.put(row, std::isnan(value) ? std::numeric_limits<T>::quiet_NaN() : value);
  return Read::kDone;
}

Read read_bool(Column& column, std::int64_t row, std::string_view bytes, std::string&) {
  if (bytes.size() != 1) return Read::kBroken;
  arrow::bit_util::SetBitTo(column.fixed, row, bytes.front() != 0);
  return Read::kDone;
}

Read read_bool_text(Column& column, std::int64_t row, std::string_view bytes, std::string&) {
  if (bytes.size() != 1) return Read::kBroken;
  column.put_bytes(row, bytes.front() != 0 ? "true" : "false");
  return Read::kDone;
}

Read read_numeric(Column& column, std::int64_t row, std::string_view bytes, std::string& text) {
  auto numeric = BinaryNumeric::parse(bytes);
  if (!numeric) return Read::kBroken;
  auto value = numeric->to_decimal(column.codec.scale);
  if (!value) {
    numeric->append_text(text);
    return Read::kOutOfDomain;
  }
  column.put(row, *value);
  return Read::kDone;
}

template <bool kNonFiniteIsText>
Read read_numeric_text(Column& column, std::int64_t row, std::string_view bytes, std::string& text) {
  auto numeric = BinaryNumeric::parse(bytes);
  if (!numeric) return Read::kBroken;
  numeric->append_text(text);
  if (!kNonFiniteIsText && !numeric->is_finite()) return Read::kOutOfDomain;
  column.put_bytes(row, text);
  text.clear();
  return Read::kDone;
}

Read read_money(Column& column, std::int64_t row, std::string_view bytes, std::string& text) {
  if (bytes.size() != sizeof(std::int64_t)) return Read::kBroken;
  auto stored = base::load_big_endian<std::int64_t>(bytes.data());
  auto value = decimal_of_money(stored, column.codec.money_digits, column.codec.scale);
  if (!value) {
    text = decimal_text(stored, column.codec.money_digits);
    return Read::kOutOfDomain;
  }
  column.put(row, *value);
  return Read::kDone;
}

Read read_bytes(Column& column, std::int64_t row, std::string_view bytes, std::string&) {
  column.put_bytes(row, bytes);
  return Read::kDone;
}

Read read_char(Column& column, std::int64_t row, std::string_view bytes, std::string&) {
  if (bytes.size() != 1) return Read::kBroken;
  column.put_bytes(row, char_text(bytes.front()));
  return Read::kDone;
}

Read read_trimmed_text(Column& column, std::int64_t row, std::string_view bytes, std::string&) {
  column.put_bytes(row, bytes.substr(0, bytes.find_last_not_of(' ') + 1));
  return Read::kDone;
}

Read read_jsonb(Column& column, std::int64_t row, std::string_view bytes, std::string&) {
  // jsonb_send puts the form's version, 1, before the text.
  if (bytes.empty() || bytes.front() != 1) return Read::kBroken;
  column.put_bytes(row, bytes.substr(1));
  return Read::kDone;
}

Read read_uuid(Column& column, std::int64_t row, std::string_view bytes, std::string&) {
  if (bytes.size() != 16) return Read::kBroken;
  write_uuid(bytes.data(), column.room_for(36));
  column.put_end(row);
  return Read::kDone;
}

Read read_date(Column& column, std::int64_t row, std::string_view bytes, std::string& text) {
  if (bytes.size() != sizeof(std::int32_t)) return Read::kBroken;
  auto days = base::load_big_endian<std::int32_t>(bytes.data());
  auto value = date_of_binary(days);
  if (!value) {
    text = date_text(days);
    return Read::kOutOfDomain;
  }
  column.put(row, *value);
  return Read::kDone;
}

Read read_time(Column& column, std::int64_t row, std::string_view bytes, std::string& text) {
  if (bytes.size() != sizeof(std::int64_t)) return Read::kBroken;
  auto micros = base::load_big_endian<std::int64_t>(bytes.data());
  auto value = time_of_binary(micros);
  if (!value) {
    text = time_text(micros);
    return Read::kOutOfDomain;
  }
  column.put(row, *value);
  return Read::kDone;
}

Read read_time_tz(Column& column, std::int64_t row, std::string_view bytes, std::string& text) {
  if (bytes.size() != sizeof(std::int64_t) + sizeof(std::int32_t)) return Read::kBroken;
  Read done = read_time(column, row, bytes.substr(0, sizeof(std::int64_t)), text);
  if (done == Read::kOutOfDomain) {
    text += time_zone_text(base::load_big_endian<std::int32_t>(bytes.data() + sizeof(std::int64_t)));
  }
  return done;
}

template <bool kWithZone>
Read read_timestamp(Column& column, std::int64_t row, std::string_view bytes, std::string& text) {
  if (bytes.size() != sizeof(std::int64_t)) return Read::kBroken;
  auto micros = base::load_big_endian<std::int64_t>(bytes.data());
  auto value = timestamp_of_binary(micros);
  if (!value) {
    text = timestamp_text(micros);
    if (kWithZone && !text.ends_with("infinity")) text += "+00";
    return Read::kOutOfDomain;
  }
  column.put(row, *value);
  return Read::kDone;
}

Reader reader_of(Codec codec) {
  switch (codec) {
    case Codec::kInt2: return read_integer<std::int16_t>;
    case Codec::kInt4: return read_integer<std::int32_t>;
    case Codec::kInt8: return read_integer<std::int64_t>;
    case Codec::kFloat4: return read_float<float, std::uint32_t>;
    case Codec::kFloat8: return read_float<double, std::uint64_t>;
    case Codec::kBool: return read_bool;
    case Codec::kBoolText: return read_bool_text;
    case Codec::kNumeric: return read_numeric;
    case Codec::kNumericText: return read_numeric_text<false>;
    case Codec::kNumericString: return read_numeric_text<true>;
    case Codec::kMoney: return read_money;
    case Codec::kTrimmedText: return read_trimmed_text;
    case Codec::kChar: return read_char;
    case Codec::kJsonb: return read_jsonb;
    case Codec::kUuid: return read_uuid;
    case Codec::kDate: return read_date;
    case Codec::kTime: return read_time;
    case Codec::kTimeTz: return read_time_tz;
    case Codec::kTimestamp: return read_timestamp<false>;
    case Codec::kTimestampTz: return read_timestamp<true>;
    case Codec::kText:
    case Codec::kPrinted:
    case Codec::kBytea: return read_bytes;
  }
  return read_bytes;
}

}  // namespace

struct CopyBinaryReader::State {
  model::TableVersionPtr table;
  std::shared_ptr<arrow::Schema> schema;
  std::vector<Column> columns;
  std::vector<Reader> readers;
  std::vector<model::OutOfDomain> out_of_domain;
  std::string text;
  std::int64_t rows = 0;
  std::int64_t rows_room = 0;
  std::int64_t rows_expected = kFirstRows;  // What the last batch held: the next one will be like it.
  std::int64_t bytes = 0;
  bool started = false;
  bool finished = false;

  void grow(std::int64_t to);
  std::string_view add_row(std::string_view message);
};

// Makes room for `to` rows in every column. New rows are valid until they are said to be null.
void CopyBinaryReader::State::grow(std::int64_t to) {
  for (Column& column : columns) {
    if (!column.fixed_buffer) {
      column.fixed_buffer = new_buffer();
      column.valid_buffer = new_buffer();
      if (column.variable) column.variable_buffer = new_buffer();
    }
    std::int64_t entries = column.variable ? to + 1 : to;
    resize(*column.fixed_buffer,
           column.width > 0 ? entries * column.width : arrow::bit_util::BytesForBits(to));
    column.fixed = column.fixed_buffer->mutable_data();
    if (column.variable && rows_room == 0) column.put(0, std::int32_t{0});

    std::int64_t valid_before = arrow::bit_util::BytesForBits(rows_room);
    std::int64_t valid_after = arrow::bit_util::BytesForBits(to);
    resize(*column.valid_buffer, valid_after);
    column.valid = column.valid_buffer->mutable_data();
    std::memset(column.valid + valid_before, 0xFF, static_cast<std::size_t>(valid_after - valid_before));
  }
  rows_room = to;
}

// Reads the row at the front of `message`; returns what follows it.
std::string_view CopyBinaryReader::State::add_row(std::string_view message) {
  if (rows == rows_room) grow(rows_room == 0 ? rows_expected : rows_room * 2);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (message.size() < 4) broken("a row that ends too early");
    auto size = base::load_big_endian<std::int32_t>(message.data());
    message.remove_prefix(4);
    if (size == -1) {
      columns[i].put_null(rows);
      continue;
    }
    if (size < 0 || static_cast<std::size_t>(size) > message.size()) broken("a value longer than its row");
    Read read = readers[i](columns[i], rows, message.substr(0, static_cast<std::size_t>(size)), text);
    message.remove_prefix(static_cast<std::size_t>(size));
    if (read == Read::kDone) continue;
    if (read == Read::kBroken)
      broken(fmt::format("a value of another form in column '{}'", table->columns[i].name));
    columns[i].put_null(rows);
    out_of_domain.push_back({.row = rows, .column = static_cast<std::uint32_t>(i), .text = std::move(text)});
    text.clear();
  }
  ++rows;
  return message;
}

CopyBinaryReader::CopyBinaryReader(model::TableVersionPtr table, const std::vector<ColumnCodec>& codecs)
    : state_(std::make_unique<State>()) {
  state_->schema = model::arrow_schema(*table);
  for (std::size_t i = 0; i < codecs.size(); ++i) {
    Column column;
    column.codec = codecs[i];
    const model::LogicalType& type = table->columns[i].type;
    column.variable = type.is_variable();
    if (column.variable) {
      column.width = sizeof(std::int32_t);
    } else if (type.id != model::TypeId::kBoolean) {
      column.width = static_cast<std::int64_t>(model::fixed_cell_size(type));
    }
    state_->columns.push_back(std::move(column));
    state_->readers.push_back(reader_of(codecs[i].codec));
  }
  state_->table = std::move(table);
}

CopyBinaryReader::~CopyBinaryReader() = default;
CopyBinaryReader::CopyBinaryReader(CopyBinaryReader&&) noexcept = default;

void CopyBinaryReader::add(std::string_view message) {
  State& state = *state_;
  state.bytes += static_cast<std::int64_t>(message.size());
  if (!state.started) {
    if (message.size() < kHeaderSize || !message.starts_with(kSignature)) broken("no header");
    auto extension = base::load_big_endian<std::uint32_t>(message.data() + kSignature.size() + 4);
    message.remove_prefix(kHeaderSize);
    if (extension > message.size()) broken("a header that ends too early");
    message.remove_prefix(extension);
    state.started = true;
  }
  while (!message.empty()) {
    if (state.finished) broken("bytes behind its end");
    if (message.size() < 2) broken("a row that ends too early");
    auto fields = base::load_big_endian<std::int16_t>(message.data());
    message.remove_prefix(2);
    if (fields == -1) {
      state.finished = true;
      continue;
    }
    if (fields < 0 || static_cast<std::size_t>(fields) != state.columns.size()) {
      broken(fmt::format("a row of {} values, where {} are expected", fields, state.columns.size()));
    }
    message = state.add_row(message);
  }
}

std::int64_t CopyBinaryReader::rows() const { return state_->rows; }
std::int64_t CopyBinaryReader::bytes() const { return state_->bytes; }
bool CopyBinaryReader::finished() const { return state_->finished; }

model::RecordBatch CopyBinaryReader::take() {
  State& state = *state_;
  if (state.rows_room == 0) state.grow(1);
  std::vector<std::shared_ptr<arrow::ArrayData>> arrays;
  arrays.reserve(state.columns.size());
  for (std::size_t i = 0; i < state.columns.size(); ++i) {
    Column& column = state.columns[i];
    std::int64_t entries = column.variable ? state.rows + 1 : state.rows;
    resize(*column.fixed_buffer,
           column.width > 0 ? entries * column.width : arrow::bit_util::BytesForBits(state.rows));
    std::vector<std::shared_ptr<arrow::Buffer>> buffers;
    buffers.push_back(column.nulls > 0 ? std::shared_ptr<arrow::Buffer>(std::move(column.valid_buffer))
                                       : nullptr);
    buffers.push_back(std::move(column.fixed_buffer));
    if (column.variable) {
      resize(*column.variable_buffer, column.variable_size);
      buffers.push_back(std::move(column.variable_buffer));
    }
    arrays.push_back(arrow::ArrayData::Make(state.schema->field(static_cast<int>(i))->type(), state.rows,
                                            std::move(buffers), column.nulls));
    Column fresh;
    fresh.codec = column.codec;
    fresh.width = column.width;
    fresh.variable = column.variable;
    column = std::move(fresh);
  }
  model::RecordBatch batch{.table = state.table,
                           .rows = arrow::RecordBatch::Make(state.schema, state.rows, std::move(arrays)),
                           .out_of_domain = std::exchange(state.out_of_domain, {}),
                           .bytes = state.bytes};
  state.rows_expected = std::max(state.rows, std::int64_t{1});
  state.rows = 0;
  state.rows_room = 0;
  state.bytes = 0;
  return batch;
}

}  // namespace ferry::postgres
