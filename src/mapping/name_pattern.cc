#include "mapping/name_pattern.h"

#include <algorithm>

namespace ferry::mapping {
namespace {

// The next character of `text` from `at` on, which moves behind it. A byte that is not UTF-8 is a character
// of its own, outside Unicode, so that every name can be compared.
char32_t next_character(std::string_view text, std::size_t& at) {
  constexpr char32_t kForeignBytes = 0x110000;
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char first = byte(at);
  std::size_t length = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 0;
  if (length == 1) return text[at++];
  bool is_whole = length != 0 && length <= text.size() - at;
  char32_t character = first & (0xFF >> (length + 1));
  for (std::size_t i = 1; is_whole && i < length; ++i) {
    is_whole = (byte(at + i) & 0xC0) == 0x80;
    character = (character << 6) | (byte(at + i) & 0x3F);
  }
  at += is_whole ? length : 1;
  return is_whole ? character : kForeignBytes + first;
}

std::u32string characters_of(std::string_view text) {
  std::u32string characters;
  characters.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) characters += next_character(text, at);
  return characters;
}

}  // namespace

bool NamePattern::Element::takes(char32_t character) const {
  switch (kind) {
    case Kind::kAny:
    case Kind::kOne: return true;
    case Kind::kLiteral: return character == literal;
    case Kind::kClass:
      return std::any_of(ranges.begin(), ranges.end(), [&](const Range& range) {
        return character >= range.first && character <= range.last;
      });
  }
  return false;
}

NamePattern::NamePattern(std::string_view pattern) {
  const std::u32string text = characters_of(pattern);
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == U'%') {
      elements_.push_back({.kind = Element::Kind::kAny});
      continue;
    }
    if (text[at] == U'_') {
      elements_.push_back({.kind = Element::Kind::kOne});
      continue;
    }
    std::size_t end = text[at] == U'[' ? text.find(U']', at) : std::u32string::npos;
    if (end == std::u32string::npos || end == at + 1) {
      elements_.push_back({.kind = Element::Kind::kLiteral, .literal = text[at]});
      continue;
    }
    Element element{.kind = Element::Kind::kClass};
    for (std::size_t i = at + 1; i < end; ++i) {
      bool is_range = i + 2 < end && text[i + 1] == U'-';
      element.ranges.push_back({.first = text[i], .last = text[is_range ? i + 2 : i]});
      if (is_range) i += 2;
    }
    elements_.push_back(std::move(element));
    at = end;
  }
}

NamePattern NamePattern::exactly(std::string_view name) {
  NamePattern pattern;
  for (char32_t character : characters_of(name)) {
    pattern.elements_.push_back({.kind = Element::Kind::kLiteral, .literal = character});
  }
  return pattern;
}

bool NamePattern::matches(std::string_view name) const {
  const std::u32string text = characters_of(name);
  std::size_t at = 0;
  std::size_t element = 0;
  // Where to go on when a match fails: the newest % takes one character more. Earlier ones need no second
  // try.
  std::size_t after_any = elements_.size() + 1;
  std::size_t any_end = 0;
  while (at < text.size()) {
    if (element < elements_.size() && elements_[element].kind == Element::Kind::kAny) {
      after_any = ++element;
      any_end = at;
      continue;
    }
    if (element < elements_.size() && elements_[element].takes(text[at])) {
      ++element;
      ++at;
      continue;
    }
    if (after_any > elements_.size()) return false;
    element = after_any;
    at = ++any_end;
  }
  while (element < elements_.size() && elements_[element].kind == Element::Kind::kAny) ++element;
  return element == elements_.size();
}

}  // namespace ferry::mapping
