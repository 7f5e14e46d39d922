#pragma once

#include <map>
#include <string>
#include <string_view>

namespace ferry::aws {

// One profile's settings by lower-case name (AWS SDKs and Tools Reference Guide, "Shared config and
// credentials files").
using Profile = std::map<std::string, std::string, std::less<>>;

enum class ProfileFileKind : std::uint8_t {
  kCredentials,  // Sections are "[name]".
  kConfig,       // Sections are "[profile name]", and "[default]".
};

// The profiles of a file by name. Lines that are neither section, setting nor comment, settings nested under
// another, and other sections are passed over.
std::map<std::string, Profile, std::less<>> parse_profiles(std::string_view text, ProfileFileKind kind);

}  // namespace ferry::aws
