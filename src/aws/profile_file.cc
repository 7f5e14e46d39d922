#include "aws/profile_file.h"

#include <algorithm>
#include <cctype>
#include <optional>

namespace ferry::aws {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::optional<std::string> profile_name(std::string_view section, ProfileFileKind kind) {
  section = trimmed(section);
  if (kind == ProfileFileKind::kCredentials || section == "default") return std::string(section);
  constexpr std::string_view kWord = "profile";
  if (!section.starts_with(kWord) || section.size() == kWord.size()) return std::nullopt;
  if (kBlanks.find(section[kWord.size()]) == std::string_view::npos) return std::nullopt;
  return std::string(trimmed(section.substr(kWord.size())));
}

}  // namespace

std::map<std::string, Profile, std::less<>> parse_profiles(std::string_view text, ProfileFileKind kind) {
  std::map<std::string, Profile, std::less<>> profiles;
  Profile* profile = nullptr;
  // Of the section's last setting: what stands further right belongs to it.
  std::size_t setting_indent = std::string_view::npos;
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    std::string_view content = trimmed(line);
    if (content.empty() || content.starts_with('#') || content.starts_with(';')) continue;
    if (line.starts_with('[')) {
      std::size_t close = line.find(']');
      auto name = profile_name(line.substr(1, close == std::string_view::npos ? close : close - 1), kind);
      profile = name ? &profiles[*name] : nullptr;
      setting_indent = std::string_view::npos;
      continue;
    }
    std::size_t equals = line.find('=');
    std::size_t indent = line.find_first_not_of(kBlanks);
    if (profile == nullptr || indent > setting_indent || equals == std::string_view::npos) continue;
    setting_indent = indent;
    std::string name(trimmed(line.substr(0, equals)));
    std::ranges::transform(name, name.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string_view value = line.substr(equals + 1);
    // A comment behind a value begins with a blank.
    for (std::string_view mark : {" #", " ;", "\t#", "\t;"}) value = value.substr(0, value.find(mark));
    (*profile)[name] = trimmed(value);
  }
  return profiles;
}

}  // namespace ferry::aws
