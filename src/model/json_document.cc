#include "model/json_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <vector>

namespace ferry::model {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::size_t kExcerptBytesMax = 60;

std::string place_of(std::string_view text, std::size_t offset) {
  auto before = text.substr(0, offset);
  auto line = 1 + std::count(before.begin(), before.end(), '\n');
  auto last_line = before.rfind('\n');
  std::size_t column = last_line == std::string_view::npos ? offset + 1 : offset - last_line;
  return fmt::format("line {}, column {}", line, column);
}

std::string cut(std::string text) {
  if (text.size() <= kExcerptBytesMax) return text;
  // A cut inside a character would be no text any more.
  std::size_t end = kExcerptBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

void append_canonical(const boost::json::value& value, std::string& out) {
  if (const auto* array = value.if_array()) {
    out += '[';
    for (std::size_t i = 0; i < array->size(); ++i) {
      if (i > 0) out += ',';
      append_canonical((*array)[i], out);
    }
    out += ']';
    return;
  }
  const auto* object = value.if_object();
  if (!object) {
    out += boost::json::serialize(value);
    return;
  }
  std::vector<const boost::json::key_value_pair*> members;
  for (const auto& member : *object) members.push_back(&member);
  std::sort(members.begin(), members.end(), [](auto* a, auto* b) { return a->key() < b->key(); });
  out += '{';
  for (const auto* member : members) {
    if (member != members.front()) out += ',';
    out += boost::json::serialize(member->key());
    out += ':';
    append_canonical(member->value(), out);
  }
  out += '}';
}

}  // namespace

boost::json::value parse_json(std::string_view text, std::string_view document, base::ErrorKind kind) {
  auto refused = [&](std::string_view why) {
    return base::Error(kind, {.message = fmt::format("{} cannot be read as JSON: {}", document, why),
                              .remedy = "Correct the document"});
  };
  if (text.size() > kJsonBytesMax) {
    throw refused(fmt::format("it has {} bytes, more than the {} allowed", text.size(), kJsonBytesMax));
  }
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());

  boost::json::parse_options options;
  options.max_depth = kJsonDepthMax;
  boost::json::stream_parser parser({}, options);
  boost::json::error_code error;
  std::size_t read = parser.write_some(text.data(), text.size(), error);
  if (error == boost::json::error::too_deep) {
    throw refused(fmt::format("{}: it is nested deeper than {} levels", place_of(text, read), kJsonDepthMax));
  }
  if (error) throw refused(fmt::format("{}: {}", place_of(text, read), error.message()));
  if (read < text.size())
    throw refused(place_of(text, read) + ": there is more text behind the document's end");
  parser.finish(error);
  if (error) throw refused(place_of(text, text.size()) + ": the text ends inside the document");
  return parser.release();
}

std::string json_excerpt(const boost::json::value& value) { return cut(boost::json::serialize(value)); }

std::string json_quoted(std::string_view text) {
  return boost::json::serialize(boost::json::string_view(text.data(), text.size()));
}

std::string json_quoted_excerpt(std::string_view text) { return cut(json_quoted(text)); }

std::string canonical_json(const boost::json::value& value) {
  std::string text;
  append_canonical(value, text);
  return text;
}

bool scalar_text(const boost::json::value& value, std::string& text) {
  if (const auto* string = value.if_string()) {
    text.assign(string->data(), string->size());
    return true;
  }
  if (!value.is_number() && !value.is_bool()) return false;
  text = boost::json::serialize(value);
  return true;
}

}  // namespace ferry::model
