#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

// Boost's header is heavy: only .cc files include it.
namespace boost::json {
class value;  // NOLINT(readability-identifier-naming)
}

namespace ferry::model {

// Larger or deeper documents are refused before anything is made of them.
inline constexpr std::size_t kJsonBytesMax = 10 * 1024 * 1024;
inline constexpr std::size_t kJsonDepthMax = 100;

// Parses one JSON text. A byte order mark in front is let through. Throws Error(`kind`) that names `document`
// and says line and column (in bytes, from 1) of a syntax error.
boost::json::value parse_json(std::string_view text, std::string_view document,
                              base::ErrorKind kind = base::ErrorKind::kDocumentInvalid);

// The value as a message may show it: JSON, cut to a few dozen bytes.
std::string json_excerpt(const boost::json::value& value);

// Text as a JSON string, whole or cut to a few dozen bytes: one line, whatever it holds.
std::string json_quoted(std::string_view text);
std::string json_quoted_excerpt(std::string_view text);

// JSON with the members of every object sorted by name, so that equal documents have equal texts.
std::string canonical_json(const boost::json::value& value);

// The value as its document's author wrote it, without quotes: strings as they are, numbers, booleans.
// False for null, objects and arrays.
bool scalar_text(const boost::json::value& value, std::string& text);

}  // namespace ferry::model
