#include "model/endpoint_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "model/ascii_text.h"
#include "model/json_document.h"

namespace ferry::model {

// endpoint_settings.txt, from the file that CMake makes of it.
extern const std::string_view kEndpointSettingsText;

namespace {

using base::Error;
using base::ErrorKind;
using Facts = EndpointSettingFacts;

std::string_view trim(std::string_view text) {
  auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    auto end = text.find(separator);
    parts.emplace_back(trim(text.substr(0, end)));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

[[noreturn]] void bad_line(std::string_view line) {
  throw Error(ErrorKind::kInternal, fmt::format("endpoint_settings.txt has a bad line: {}", line));
}

// The place of `word` in `words`; a word that is not there is a mistake in the file.
template <typename Value>
Value one_of(std::string_view word, std::initializer_list<std::pair<std::string_view, Value>> words,
             std::string_view line) {
  for (const auto& [known, value] : words) {
    if (known == word) return value;
  }
  bad_line(line);
}

std::int64_t number_or_zero(std::string_view text, std::string_view line) {
  if (text.empty()) return 0;
  auto number = parse_integer(text);
  if (!number) bad_line(line);
  return *number;
}

std::vector<Facts::Choice> read_choices(std::string_view text) {
  std::vector<Facts::Choice> choices;
  if (text.empty()) return choices;
  for (const auto& spellings : split(text, ',')) {
    auto parts = split(spellings, '=');
    choices.push_back({.canonical = parts.front(), .alternates = {parts.begin() + 1, parts.end()}});
  }
  return choices;
}

Facts read_facts(const std::vector<std::string>& fields, std::string_view line) {
  if (fields.size() != 11) bad_line(line);
  Facts facts;
  facts.for_source = fields[1].find('S') != std::string::npos;
  facts.for_target = fields[1].find('T') != std::string::npos;
  facts.name = fields[2];
  facts.type = one_of<Facts::Type>(fields[3],
                                   {{"member", Facts::Type::kMember},
                                    {"text", Facts::Type::kText},
                                    {"int", Facts::Type::kInteger},
                                    {"int0", Facts::Type::kIntegerOrZero},
                                    {"bool", Facts::Type::kBoolean},
                                    {"enum", Facts::Type::kChoice}},
                                   line);
  facts.default_value = fields[4];
  facts.min = number_or_zero(fields[5], line);
  facts.max = number_or_zero(fields[6], line);
  facts.choices = read_choices(fields[7]);
  facts.in_api = one_of<bool>(fields[8], {{"api", true}, {"eca", false}}, line);
  facts.effect = one_of<Facts::Effect>(fields[9],
                                       {{"implemented", Facts::Effect::kImplemented},
                                        {"stored", Facts::Effect::kStored},
                                        {"refused", Facts::Effect::kRefused}},
                                       line);
  facts.fixed = one_of<bool>(fields[10], {{"fixed", true}, {"free", false}}, line);
  return facts;
}

std::vector<EngineSettings> read_settings_file(std::string_view text) {
  std::vector<EngineSettings> engines;
  for (const auto& line : split(text, '\n')) {
    if (line.empty() || line.front() == '#') continue;
    auto fields = split(line, '|');
    if (fields.front() == "engine") {
      if (fields.size() != 3) bad_line(line);
      engines.push_back({.engine_names = split(fields[1], ','), .block = fields[2], .settings = {}});
      continue;
    }
    if (engines.empty() || engines.back().engine_names.front() != fields.front()) bad_line(line);
    engines.back().settings.push_back(read_facts(fields, line));
  }
  return engines;
}

std::string with_hyphens(std::string_view text) {
  std::string folded = to_lower(text);
  std::replace(folded.begin(), folded.end(), '_', '-');
  return folded;
}

const Facts::Choice* find_choice(const Facts& facts, std::string_view text) {
  std::string folded = with_hyphens(text);
  for (const auto& choice : facts.choices) {
    if (with_hyphens(choice.canonical) == folded) return &choice;
    for (const auto& alternate : choice.alternates) {
      if (with_hyphens(alternate) == folded) return &choice;
    }
  }
  return nullptr;
}

std::optional<bool> parse_boolean(std::string_view text) {
  for (auto yes : {"true", "y", "yes", "1"}) {
    if (equal_ignoring_case(text, yes)) return true;
  }
  for (auto no : {"false", "n", "no", "0"}) {
    if (equal_ignoring_case(text, no)) return false;
  }
  return std::nullopt;
}

std::string allowed_values(const Facts& facts) {
  if (facts.type == Facts::Type::kBoolean) return "true or false";
  if (facts.type == Facts::Type::kInteger || facts.type == Facts::Type::kIntegerOrZero) {
    auto range = fmt::format("an integer from {} to {}", facts.min, facts.max);
    return facts.type == Facts::Type::kIntegerOrZero ? range + ", or 0 for the default" : range;
  }
  if (facts.type == Facts::Type::kText) {
    return facts.max > 0 ? fmt::format("a text of at most {} bytes without NUL", facts.max)
                         : "a text without NUL";
  }
  std::string list;
  for (const auto& choice : facts.choices) {
    if (!list.empty()) list += ", ";
    list += choice.canonical;
  }
  return "one of " + list;
}

// How messages call a setting of an endpoint.
std::string label_of(const Endpoint& endpoint, EndpointRole role, const EndpointSetting& setting) {
  return fmt::format(
      "{} endpoint '{}' ({}): {} {}", to_string(role), endpoint.identifier, endpoint.engine_name,
      setting.from == EndpointSetting::From::kSettings ? "setting" : "extra connection attribute",
      setting.name);
}

}  // namespace

std::string_view to_string(EndpointRole role) { return role == EndpointRole::kSource ? "source" : "target"; }

const EndpointSettingFacts* EngineSettings::find(std::string_view name) const {
  for (const auto& facts : settings) {
    if (equal_ignoring_case(facts.name, name)) return &facts;
  }
  return nullptr;
}

const std::vector<EngineSettings>& all_engine_settings() {
  static const std::vector<EngineSettings> engines = read_settings_file(kEndpointSettingsText);
  return engines;
}

const EngineSettings* find_engine_settings(std::string_view engine_name) {
  for (const auto& engine : all_engine_settings()) {
    for (const auto& name : engine.engine_names) {
      if (equal_ignoring_case(name, engine_name)) return &engine;
    }
  }
  return nullptr;
}

const EngineSettings* find_engine_settings_by_block(std::string_view block) {
  for (const auto& engine : all_engine_settings()) {
    if (equal_ignoring_case(engine.block, block)) return &engine;
  }
  return nullptr;
}

SettingReader::SettingReader(const Endpoint& endpoint, EndpointRole role)
    : engine_(find_engine_settings(endpoint.engine_name)) {
  if (!engine_) {
    throw Error(ErrorKind::kUnsupported,
                fmt::format("{} endpoint '{}': Ferry has no settings for the engine '{}'", to_string(role),
                            endpoint.identifier, endpoint.engine_name));
  }
  for (const auto& [lower_case_name, setting] : endpoint.settings) {
    const auto* facts = engine_->find(lower_case_name);
    if (facts && facts->type != Facts::Type::kMember) continue;
    throw Error(ErrorKind::kSettingUnknown,
                {.message = label_of(endpoint, role, setting) + " is not known for this engine",
                 .remedy = fmt::format("Correct its name or remove it; {} has the settings of AWS DMS",
                                       engine_->block)});
  }
  for (const auto& facts : engine_->settings) {
    if (facts.type == Facts::Type::kMember) continue;
    Value value{.facts = &facts, .named = false, .text = facts.default_value, .integer = 0};
    value.integer = parse_integer(facts.default_value).value_or(0);
    read(endpoint, role, value);
    values_.push_back(std::move(value));
  }
}

void SettingReader::read(const Endpoint& endpoint, EndpointRole role, Value& value) {
  const Facts& facts = *value.facts;
  const auto* setting = endpoint.find_setting(to_lower(facts.name));
  if (!setting || !facts.is_given_by(setting->value)) return;

  auto bad_value = [&] {
    return Error(ErrorKind::kDocumentInvalid,
                 {.message = fmt::format("{} is {}, which is not {}", label_of(endpoint, role, *setting),
                                         json_quoted_excerpt(setting->value), allowed_values(facts)),
                  .remedy = "Correct the endpoint"});
  };
  std::string_view given = trim(setting->value);
  switch (facts.type) {
    case Facts::Type::kMember: return;
    case Facts::Type::kText: {
      const auto& text = setting->value;
      if (facts.max > 0 && std::ssize(text) > facts.max) throw bad_value();
      if (text.find('\0') != std::string::npos) throw bad_value();
      value.text = text;
      break;
    }
    case Facts::Type::kInteger:
    case Facts::Type::kIntegerOrZero: {
      auto number = parse_integer(given);
      if (number == 0 && facts.type == Facts::Type::kIntegerOrZero) return;
      if (!number || *number < facts.min || *number > facts.max) throw bad_value();
      value.integer = *number;
      value.text = std::to_string(*number);
      break;
    }
    case Facts::Type::kBoolean: {
      auto flag = parse_boolean(given);
      if (!flag) throw bad_value();
      value.text = *flag ? "true" : "false";
      break;
    }
    case Facts::Type::kChoice: {
      const auto* choice = find_choice(facts, given);
      if (!choice) throw bad_value();
      value.text = choice->canonical;
      break;
    }
  }
  value.named = true;

  if (value.text == facts.default_value) return;
  if (!facts.is_for(role)) {
    warnings_.push_back(label_of(endpoint, role, *setting) + " has no effect on a " +
                        std::string(to_string(role)));
  } else if (facts.effect == Facts::Effect::kStored) {
    warnings_.push_back(label_of(endpoint, role, *setting) + " has no effect in this version of Ferry");
  } else if (facts.effect == Facts::Effect::kRefused) {
    throw Error(
        ErrorKind::kUnsupported,
        {.message = fmt::format("{} is {}, which this version of Ferry does not carry out",
                                label_of(endpoint, role, *setting), json_quoted_excerpt(setting->value)),
         .remedy = "Remove the setting if the task may run without it"});
  }
}

const SettingReader::Value& SettingReader::value(std::string_view name, Facts::Type type) const {
  for (const auto& value : values_) {
    bool right_type = value.facts->type == type ||
                      (type == Facts::Type::kInteger && value.facts->type == Facts::Type::kIntegerOrZero);
    if (value.facts->name == name && right_type) return value;
  }
  throw Error(ErrorKind::kInternal,
              fmt::format("{} has no setting {} of the type asked for", engine_->block, name));
}

const std::string& SettingReader::text(std::string_view name) const {
  return value(name, Facts::Type::kText).text;
}

std::int64_t SettingReader::integer(std::string_view name) const {
  return value(name, Facts::Type::kInteger).integer;
}

bool SettingReader::boolean(std::string_view name) const {
  return value(name, Facts::Type::kBoolean).text == "true";
}

const std::string& SettingReader::choice(std::string_view name) const {
  return value(name, Facts::Type::kChoice).text;
}

bool SettingReader::named(std::string_view name) const {
  for (const auto& value : values_) {
    if (value.facts->name == name) return value.named;
  }
  throw Error(ErrorKind::kInternal, fmt::format("{} has no setting {}", engine_->block, name));
}

std::vector<std::string> SettingReader::fixed_between_runs() const {
  std::vector<std::string> lines;
  for (const auto& value : values_) {
    if (!value.facts->fixed || value.text == value.facts->default_value) continue;
    lines.push_back(value.facts->name + "=" + json_quoted(value.text));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::string decode_delimiter(std::string_view text) {
  std::string decoded;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != '\\') {
      decoded += text[at++];
      continue;
    }
    std::size_t end = std::min(text.find_first_not_of('\\', at), text.size());
    std::size_t count = end - at;
    at = end;
    constexpr std::string_view kLetters = "tnr";
    auto letter = at < text.size() ? kLetters.find(text[at]) : std::string_view::npos;
    if (letter == std::string_view::npos) {
      decoded.append((count + 1) / 2, '\\');
      continue;
    }
    decoded += "\t\n\r"[letter];
    ++at;
  }
  return decoded;
}

}  // namespace ferry::model
