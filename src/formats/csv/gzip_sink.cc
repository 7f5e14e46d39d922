#include "formats/csv/gzip_sink.h"

#include <arrow/util/compression.h>

#include "base/error.h"

namespace ferry::formats {
namespace {

constexpr std::size_t kPackedBytes = 64 * 1024;

template <typename T>
T value_or_throw(arrow::Result<T> result) {
  if (!result.ok()) {
    throw base::Error(base::ErrorKind::kInternal,
                      "Compressing with gzip failed: " + result.status().ToString());
  }
  return std::move(result).ValueUnsafe();
}

std::uint8_t* writable(std::string& bytes) { return reinterpret_cast<std::uint8_t*>(bytes.data()); }

}  // namespace

GzipSink::GzipSink(ByteSink& sink) : sink_(sink), packed_(kPackedBytes, '\0') {
  auto codec = value_or_throw(arrow::util::Codec::Create(arrow::Compression::GZIP));
  compressor_ = value_or_throw(codec->MakeCompressor());
}

GzipSink::~GzipSink() = default;

void GzipSink::write(std::string_view bytes) {
  while (!bytes.empty()) {
    auto done = value_or_throw(compressor_->Compress(
        static_cast<std::int64_t>(bytes.size()), reinterpret_cast<const std::uint8_t*>(bytes.data()),
        static_cast<std::int64_t>(packed_.size()), writable(packed_)));
    bytes.remove_prefix(static_cast<std::size_t>(done.bytes_read));
    pass_on(done.bytes_written);
  }
}

void GzipSink::finish() {
  while (true) {
    auto done =
        value_or_throw(compressor_->End(static_cast<std::int64_t>(packed_.size()), writable(packed_)));
    pass_on(done.bytes_written);
    if (!done.should_retry) return;
  }
}

void GzipSink::pass_on(std::int64_t size) {
  if (size > 0) sink_.write(std::string_view(packed_).substr(0, static_cast<std::size_t>(size)));
}

}  // namespace ferry::formats
