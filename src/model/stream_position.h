#pragma once

#include <compare>
#include <string>
#include <string_view>
#include <utility>

namespace ferry::model {

// A place in one source's change stream: a connector's own value. `key` orders positions of one stream
// identity by plain byte comparison; `text` is the source's own way to write the place ("4AF/B00000D0").
// Positions of two stream identities are never compared. An empty position is before every other.
class StreamPosition {
 public:
  StreamPosition() = default;
  StreamPosition(std::string key, std::string text) : key_(std::move(key)), text_(std::move(text)) {}

  bool empty() const { return key_.empty(); }
  const std::string& key() const { return key_; }
  const std::string& text() const { return text_; }

  // The place right behind this one: after it, and before every other that is after it. For what Ferry itself
  // puts into the order of a stream; a source never sees it.
  StreamPosition just_after() const { return {key_ + '\0', text_ + '+'}; }

  friend bool operator==(const StreamPosition& a, const StreamPosition& b) { return a.key_ == b.key_; }
  friend std::strong_ordering operator<=>(const StreamPosition& a, const StreamPosition& b) {
    return a.key_.compare(b.key_) <=> 0;
  }

 private:
  std::string key_;
  std::string text_;
};

// What makes two positions comparable: the source's system identifier and timeline, server UUID, resetlogs …
// as one line of text that names every part, so that a difference can be read.
struct StreamIdentity {
  std::string text;

  friend bool operator==(const StreamIdentity&, const StreamIdentity&) = default;
};

}  // namespace ferry::model
