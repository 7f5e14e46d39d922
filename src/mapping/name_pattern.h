#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ferry::mapping {

// A schema or table name with DMS's wildcards: % is any number of characters, _ is one, [ab] and [a-d] are
// one of a class. Characters are UTF-8 code points; case counts. A [ without ] and an empty [] are
// themselves, as is everything but ranges inside a class. Immutable; any thread.
class NamePattern {
 public:
  explicit NamePattern(std::string_view pattern);
  // Matches only this name.
  static NamePattern exactly(std::string_view name);

  bool matches(std::string_view name) const;

 private:
  struct Range {
    char32_t first;
    char32_t last;
  };
  struct Element {
    enum class Kind : unsigned char { kAny, kOne, kClass, kLiteral } kind;
    char32_t literal = 0;
    std::vector<Range> ranges = {};

    bool takes(char32_t character) const;
  };

  NamePattern() = default;

  std::vector<Element> elements_;
};

}  // namespace ferry::mapping
