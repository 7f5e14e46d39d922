#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "formats/object_writer.h"

namespace arrow::util {
class Compressor;
}

namespace ferry::formats {

// One gzip member over everything written. finish() comes last; without it the member is cut short.
class GzipSink : public ByteSink {
 public:
  explicit GzipSink(ByteSink& sink);
  ~GzipSink() override;

  void write(std::string_view bytes) override;
  void finish();
  std::size_t memory_bytes() const { return packed_.size(); }

 private:
  void pass_on(std::int64_t size);

  ByteSink& sink_;
  std::shared_ptr<arrow::util::Compressor> compressor_;
  std::string packed_;  // Room for compressed bytes.
};

}  // namespace ferry::formats
