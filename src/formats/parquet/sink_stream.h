#pragma once

#include <arrow/io/interfaces.h>

#include <exception>
#include <string_view>

#include "formats/object_writer.h"

// For .cc files only: this header brings Arrow's.
namespace ferry::formats {

// A ByteSink as Arrow's stream. What the sink throws is kept while Arrow unwinds by its own rules, for
// rethrow_sink_error().
class SinkStream final : public arrow::io::OutputStream {
 public:
  explicit SinkStream(ByteSink& sink) : sink_(sink) {}

  arrow::Status Write(const void* data, std::int64_t size) override {
    try {
      sink_.write({static_cast<const char*>(data), static_cast<std::size_t>(size)});
    } catch (...) {
      error_ = std::current_exception();
      return arrow::Status::IOError("the sink refused the bytes");
    }
    written_ += size;
    return arrow::Status::OK();
  }
  using arrow::io::OutputStream::Write;

  arrow::Result<std::int64_t> Tell() const override { return written_; }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }

  std::int64_t written() const { return written_; }
  void rethrow_sink_error() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  ByteSink& sink_;
  std::int64_t written_ = 0;
  bool closed_ = false;
  std::exception_ptr error_;
};

}  // namespace ferry::formats
