#include "formats/parquet/page_compressor.h"

#include <arrow/buffer.h>
#include <arrow/util/compression.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "formats/parquet/arrow_status.h"

namespace ferry::formats {
namespace {

// Snappy itself compresses in blocks of this size, each without looking at the ones before
// (https://github.com/google/snappy/blob/main/format_description.txt, "2. The compressed stream itself").
constexpr std::size_t kSnappyBlockBytes = 64 * 1024;
constexpr std::size_t kStreamStepBytes = 256 * 1024;
constexpr std::size_t kScratchBytes = 256 * 1024;

arrow::Compression::type arrow_codec(ParquetOptions::Codec codec) {
  switch (codec) {
    case ParquetOptions::Codec::kNone: return arrow::Compression::UNCOMPRESSED;
    case ParquetOptions::Codec::kSnappy: return arrow::Compression::SNAPPY;
    case ParquetOptions::Codec::kGzip: return arrow::Compression::GZIP;
    case ParquetOptions::Codec::kZstd: return arrow::Compression::ZSTD;
  }
  throw base::Error(base::ErrorKind::kInternal, "an unknown Parquet codec");
}

const std::uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

class OwnedBuffer final : public arrow::Buffer {
 public:
  OwnedBuffer(ByteBuffer::Memory memory, std::size_t size)
      : arrow::Buffer(reinterpret_cast<const std::uint8_t*>(memory.get()), static_cast<std::int64_t>(size)),
        memory_(std::move(memory)) {}

 private:
  ByteBuffer::Memory memory_;
};

std::shared_ptr<arrow::Buffer> to_buffer(ByteBuffer bytes) {
  bytes.shrink_to_fit();
  std::size_t size = bytes.size();
  return std::make_shared<OwnedBuffer>(bytes.release(), size);
}

std::shared_ptr<arrow::Buffer> copy_of(std::string_view bytes) {
  ByteBuffer copy(bytes.size());
  copy.append(bytes);
  return to_buffer(std::move(copy));
}

// Seven bits a byte, the lowest first; the highest bit says that more follow.
void append_varint(ByteBuffer& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) out.append(static_cast<char>(value | 0x80U));
  out.append(static_cast<char>(value));
}

std::size_t varint_size(std::string_view text) {
  std::size_t size = 1;
  while ((static_cast<unsigned char>(text[size - 1]) & 0x80U) != 0) ++size;
  return size;
}

// Walks pieces as if they were one text. A step that lies in two pieces is put together in `joint`.
class PieceReader {
 public:
  PieceReader(std::span<const std::string_view> pieces, std::size_t step) : pieces_(pieces), joint_(step) {}

  std::string_view next(std::size_t step) {
    skip_empty();
    if (pieces_.empty()) return {};
    std::string_view& piece = pieces_copy();
    if (piece.size() >= step || pieces_.size() == 1) return take(piece, std::min(step, piece.size()));
    joint_.shrink_to(0);
    while (joint_.size() < step && !pieces_.empty()) {
      std::string_view& more = pieces_copy();
      joint_.append(take(more, std::min(step - joint_.size(), more.size())));
      skip_empty();
    }
    return joint_.text();
  }

 private:
  std::string_view& pieces_copy() {
    if (!open_) current_ = pieces_.front();
    open_ = true;
    return current_;
  }
  std::string_view take(std::string_view& piece, std::size_t size) {
    std::string_view taken = piece.substr(0, size);
    piece.remove_prefix(size);
    return taken;
  }
  void skip_empty() {
    while (!pieces_.empty() && pieces_copy().empty()) {
      pieces_ = pieces_.subspan(1);
      open_ = false;
    }
  }

  std::span<const std::string_view> pieces_;
  std::string_view current_;
  bool open_ = false;
  ByteBuffer joint_;
};

}  // namespace

PageCompressor::PageCompressor(ParquetOptions::Codec codec) : codec_name_(codec), scratch_(kScratchBytes) {
  if (codec != ParquetOptions::Codec::kNone)
    codec_ = value_of(arrow::util::Codec::Create(arrow_codec(codec)));
}

PageCompressor::~PageCompressor() = default;

std::shared_ptr<arrow::Buffer> PageCompressor::compress(std::string_view page) {
  if (!codec_) return copy_of(page);
  auto size = static_cast<std::int64_t>(page.size());
  std::int64_t size_max = codec_->MaxCompressedLen(size, bytes_of(page));
  scratch_.shrink_to(0);
  char* room = scratch_.room(static_cast<std::size_t>(size_max));
  std::int64_t packed =
      value_of(codec_->Compress(size, bytes_of(page), size_max, reinterpret_cast<std::uint8_t*>(room)));
  return copy_of({room, static_cast<std::size_t>(packed)});
}

std::shared_ptr<arrow::Buffer> PageCompressor::compress_pieces(std::span<const std::string_view> pieces) {
  std::size_t size = 0;
  for (std::string_view piece : pieces) size += piece.size();
  if (codec_name_ == ParquetOptions::Codec::kNone) {
    ByteBuffer whole(size);
    for (std::string_view piece : pieces) whole.append(piece);
    return to_buffer(std::move(whole));
  }
  ByteBuffer out(kScratchBytes);
  if (codec_name_ == ParquetOptions::Codec::kSnappy) {
    append_varint(out, size);
    append_snappy(pieces, out);
  } else {
    append_stream(pieces, out);
  }
  return to_buffer(std::move(out));
}

// A stream is its size and then its blocks; so the blocks of many small streams are those of one.
void PageCompressor::append_snappy(std::span<const std::string_view> pieces, ByteBuffer& out) {
  PieceReader reader(pieces, kSnappyBlockBytes);
  for (std::string_view block; !(block = reader.next(kSnappyBlockBytes)).empty();) {
    auto size = static_cast<std::int64_t>(block.size());
    std::int64_t size_max = codec_->MaxCompressedLen(size, bytes_of(block));
    scratch_.shrink_to(0);
    char* room = scratch_.room(static_cast<std::size_t>(size_max));
    std::int64_t packed =
        value_of(codec_->Compress(size, bytes_of(block), size_max, reinterpret_cast<std::uint8_t*>(room)));
    std::string_view stream(room, static_cast<std::size_t>(packed));
    out.append(stream.substr(varint_size(stream)));
  }
}

void PageCompressor::append_stream(std::span<const std::string_view> pieces, ByteBuffer& out) {
  auto compressor = value_of(codec_->MakeCompressor());
  auto room = [&] { return reinterpret_cast<std::uint8_t*>(out.room(kStreamStepBytes)); };
  auto grow = [&](std::int64_t size) { out.grow_to(out.data() + out.size() + size); };
  for (std::string_view piece : pieces) {
    while (!piece.empty()) {
      auto done = value_of(compressor->Compress(static_cast<std::int64_t>(piece.size()), bytes_of(piece),
                                                kStreamStepBytes, room()));
      grow(done.bytes_written);
      piece.remove_prefix(static_cast<std::size_t>(done.bytes_read));
    }
  }
  while (true) {
    auto done = value_of(compressor->End(kStreamStepBytes, room()));
    grow(done.bytes_written);
    if (!done.should_retry) return;
  }
}

}  // namespace ferry::formats
