#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/endpoint.h"

namespace ferry::model {

enum class EndpointRole : std::uint8_t { kSource, kTarget };
std::string_view to_string(EndpointRole role);  // "source"

// One setting of one engine, as endpoint_settings.txt states it.
struct EndpointSettingFacts {
  enum class Type : std::uint8_t {
    kMember,  // Fills a member of Endpoint (ServerName …) and is no entry of Endpoint::settings.
    kText,
    kInteger,
    kIntegerOrZero,  // 0 stands for the default.
    kBoolean,
    kChoice,
  };
  enum class Effect : std::uint8_t {
    kImplemented,
    kStored,   // Accepted without effect in this version; a warning says so.
    kRefused,  // Another value than the default is refused.
  };
  struct Choice {
    std::string canonical;
    std::vector<std::string> alternates;
  };

  std::string name;  // DMS's API name, or the attribute's name where the API has none.
  bool for_source = false;
  bool for_target = false;
  Type type = Type::kText;
  std::string default_value;  // Empty = unset.
  std::int64_t min = 0;       // kText: the least length in bytes; a shorter value counts as not given.
  std::int64_t max = 0;       // kText: the largest length in bytes, 0 = no limit.
  std::vector<Choice> choices;
  bool in_api = false;  // False: only an extra connection attribute.
  Effect effect = Effect::kStored;
  bool fixed = false;  // May not change between two runs of one task.

  // Documents written by tools carry empty values for what their users left out.
  bool is_given_by(std::string_view value) const {
    return type == Type::kText ? std::int64_t(value.size()) >= min : !value.empty();
  }
  bool is_for(EndpointRole role) const { return role == EndpointRole::kSource ? for_source : for_target; }
};

struct EngineSettings {
  std::vector<std::string> engine_names;  // DMS's EngineName and those that share its settings.
  std::string block;                      // "S3Settings"
  std::vector<EndpointSettingFacts> settings;

  // By name in any case; null where there is none.
  const EndpointSettingFacts* find(std::string_view name) const;
};

// Everything in endpoint_settings.txt. Any thread.
const std::vector<EngineSettings>& all_engine_settings();
// Null for an engine the file does not have.
const EngineSettings* find_engine_settings(std::string_view engine_name);
const EngineSettings* find_engine_settings_by_block(std::string_view block);

// An endpoint's settings, typed, with the engine's defaults. Everything is checked when it is made, so the
// getters cannot fail; asking for a name the engine does not have, or by the wrong type, is a mistake of the
// caller's. A value; any thread.
class SettingReader {
 public:
  // Throws Error(kDocumentInvalid) naming endpoint, setting, value and what is allowed,
  // Error(kSettingUnknown), or Error(kUnsupported) for an engine without settings.
  SettingReader(const Endpoint& endpoint, EndpointRole role);

  const std::string& text(std::string_view name) const;    // "" where unset.
  std::int64_t integer(std::string_view name) const;       // 0 where unset.
  bool boolean(std::string_view name) const;               // False where unset.
  const std::string& choice(std::string_view name) const;  // In the canonical spelling; "" where unset.
  // The user's document gives the setting a value, be it the default.
  bool named(std::string_view name) const;

  // A line for each setting named with another value than the default that has no effect, in this version or
  // in this role.
  const std::vector<std::string>& warnings() const { return warnings_; }
  // "Name=\"value\"" for each setting that may not change between two runs of a task and is not at its
  // default. Sorted.
  std::vector<std::string> fixed_between_runs() const;

 private:
  struct Value {
    const EndpointSettingFacts* facts;
    bool named = false;
    std::string text;  // Canonical: choices as the file spells them, booleans "true" and "false".
    std::int64_t integer = 0;
  };
  const Value& value(std::string_view name, EndpointSettingFacts::Type type) const;
  void read(const Endpoint& endpoint, EndpointRole role, Value& value);

  const EngineSettings* engine_;
  std::vector<Value> values_;  // In the file's order.
  std::vector<std::string> warnings_;
};

// The bytes that a CSV delimiter setting means: \t, \n and \r behind any number of backslashes are tab, LF
// and CR, other pairs of backslashes are one, all else is itself (users escape delimiters once, twice or not
// at all).
std::string decode_delimiter(std::string_view text);

}  // namespace ferry::model
