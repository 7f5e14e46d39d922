#include "formats/csv/csv_quoting.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

namespace ferry::formats {
namespace {

// Every character of the forms in text_form.h that are not the source's own text.
constexpr std::string_view kNumberCharacters = "0123456789+-.: eBCNaInfityABCDEF";

constexpr std::size_t kBlock = 16;
using Block [[gnu::vector_size(kBlock)]] = std::uint8_t;
using BlockHalves [[gnu::vector_size(kBlock)]] = std::uint64_t;

Block filled_with(char c) { return Block{} + static_cast<std::uint8_t>(c); }

}  // namespace

CsvQuoting::CsvQuoting(bool rfc4180, std::string_view column_delimiter, std::string_view row_delimiter)
    : rfc4180_(rfc4180), specials_{'"', '\n', '\r', column_delimiter.front(), row_delimiter.front()} {
  for (char special : specials_) {
    is_special_[static_cast<unsigned char>(special)] = true;
    if (rfc4180 && kNumberCharacters.find(special) != std::string_view::npos) concerns_numbers_ = true;
  }
}

// Looks at sixteen bytes at a time: this is where most of the time for text columns would go.
bool CsvQuoting::needs_quotes(std::string_view text) const {
  if (!rfc4180_) return false;
  if (text.size() < kBlock) {
    return std::ranges::any_of(text, [&](char c) { return is_special_[static_cast<unsigned char>(c)]; });
  }
  const Block a = filled_with(specials_[0]), b = filled_with(specials_[1]), c = filled_with(specials_[2]),
              d = filled_with(specials_[3]), e = filled_with(specials_[4]);
  const auto holds_special = [&](const char* at) {
    Block block;
    std::memcpy(&block, at, kBlock);
    auto hits = reinterpret_cast<BlockHalves>((block == a) | (block == b) | (block == c) | (block == d) |
                                              (block == e));
    return (hits[0] | hits[1]) != 0;
  };
  // The last block overlaps the one before.
  const char* last = text.data() + text.size() - kBlock;
  for (const char* at = text.data(); at < last; at += kBlock) {
    if (holds_special(at)) return true;
  }
  return holds_special(last);
}

void CsvQuoting::append_field(ByteBuffer& out, std::string_view text) const {
  if (needs_quotes(text)) {
    append_quoted(out, text);
  } else {
    out.append(text);
  }
}

void CsvQuoting::append_quoted(ByteBuffer& out, std::string_view text) {
  auto quotes = static_cast<std::size_t>(std::count(text.begin(), text.end(), '"'));
  char* at = out.room(text.size() + quotes + 2);
  *at++ = '"';
  while (true) {
    std::size_t quote = text.find('"');
    std::size_t whole = std::min(quote, text.size());
    text.copy(at, whole);
    at += whole;
    if (quote == std::string_view::npos) break;
    *at++ = '"';
    *at++ = '"';
    text.remove_prefix(quote + 1);
  }
  *at++ = '"';
  out.grow_to(at);
}

void CsvQuoting::quote_from(ByteBuffer& out, std::size_t start) const {
  if (!needs_quotes(out.text_from(start))) return;
  std::string text(out.text_from(start));
  out.shrink_to(start);
  append_quoted(out, text);
}

}  // namespace ferry::formats
