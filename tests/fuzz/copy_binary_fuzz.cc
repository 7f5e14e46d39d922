#include <arrow/api.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "connectors/postgres/copy_binary.h"

namespace model = ferry::model;
namespace postgres = ferry::postgres;

namespace {

struct Form {
  model::LogicalType type;
  postgres::ColumnCodec codec;
};

// One column of each codec, in the order of the enumeration.
const std::vector<Form>& forms() {
  using model::TypeId;
  using postgres::Codec;
  static const std::vector<Form> all = {
      {{.id = TypeId::kInt2}, {.codec = Codec::kInt2}},
      {{.id = TypeId::kInt4}, {.codec = Codec::kInt4}},
      {{.id = TypeId::kInt8}, {.codec = Codec::kInt8}},
      {{.id = TypeId::kReal4}, {.codec = Codec::kFloat4}},
      {{.id = TypeId::kReal8}, {.codec = Codec::kFloat8}},
      {{.id = TypeId::kBoolean}, {.codec = Codec::kBool}},
      {{.id = TypeId::kString, .length = 5}, {.codec = Codec::kBoolText}},
      {{.id = TypeId::kNumeric, .precision = 12, .scale = 2}, {.codec = Codec::kNumeric, .scale = 2}},
      {{.id = TypeId::kNumeric, .precision = 38, .scale = 37}, {.codec = Codec::kNumeric, .scale = 37}},
      {{.id = TypeId::kNumeric}, {.codec = Codec::kNumericText}},
      {{.id = TypeId::kString}, {.codec = Codec::kNumericString}},
      {{.id = TypeId::kNumeric, .precision = 38, .scale = 4}, {.codec = Codec::kMoney, .scale = 4}},
      {{.id = TypeId::kNclob}, {.codec = Codec::kText}},
      {{.id = TypeId::kWstring}, {.codec = Codec::kTrimmedText}},
      {{.id = TypeId::kNclob}, {.codec = Codec::kPrinted}},
      {{.id = TypeId::kNclob}, {.codec = Codec::kJsonb}},
      {{.id = TypeId::kBlob}, {.codec = Codec::kBytea}},
      {{.id = TypeId::kString, .length = 36}, {.codec = Codec::kUuid}},
      {{.id = TypeId::kDate}, {.codec = Codec::kDate}},
      {{.id = TypeId::kTime, .scale = 6}, {.codec = Codec::kTime}},
      {{.id = TypeId::kTime, .scale = 6}, {.codec = Codec::kTimeTz}},
      {{.id = TypeId::kDatetime, .scale = 6}, {.codec = Codec::kTimestamp}},
      {{.id = TypeId::kDatetime, .scale = 6}, {.codec = Codec::kTimestampTz}},
  };
  return all;
}

}  // namespace

// The first two bytes choose two columns, the third where the stream is cut in two messages. Any stream is
// either refused with an Error, or gives a valid batch whose values without a form are null in it.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  auto table = std::make_shared<model::TableVersion>();
  std::vector<postgres::ColumnCodec> codecs;
  for (std::size_t i = 0; i < 2; ++i) {
    const Form& form = forms()[data[i] % forms().size()];
    model::Column column;
    column.name = i == 0 ? "a" : "b";
    column.type = form.type;
    table->columns.push_back(column);
    codecs.push_back(form.codec);
  }
  std::string_view stream(reinterpret_cast<const char*>(data) + 3, size - 3);
  std::size_t cut = std::min<std::size_t>(data[2], stream.size());
  postgres::CopyBinaryReader reader(table, codecs);
  try {
    reader.add(stream.substr(0, cut));
    reader.add(stream.substr(cut));
  } catch (const ferry::base::Error& error) {
    if (error.kind() != ferry::base::ErrorKind::kSourceProtocol) std::abort();
    return 0;
  }
  model::RecordBatch batch = reader.take();
  // Text is the server's and not checked for UTF-8 here, so the full validation would say too much.
  if (!batch.rows->Validate().ok()) std::abort();
  for (const model::OutOfDomain& value : batch.out_of_domain) {
    if (!batch.rows->column(static_cast<int>(value.column))->IsNull(value.row)) std::abort();
  }
  return 0;
}
