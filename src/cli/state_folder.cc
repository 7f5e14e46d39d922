#include "cli/state_folder.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include <algorithm>
#include <array>

#include "base/error.h"

namespace ferry::cli {
namespace {

using base::Error;
using base::ErrorKind;

constexpr std::string_view kFileScheme = "file://";

std::filesystem::path state_home() {
  const char* home = ::getenv("XDG_STATE_HOME");
  if (home != nullptr && *home == '/') return home;
  home = ::getenv("HOME");
  if (home == nullptr || *home == '\0') {
    Error::Parts parts{
        .message = "there is no place for the task's state: neither XDG_STATE_HOME nor HOME is set",
        .remedy = "Name a folder with --state."};
    throw Error(ErrorKind::kUsage, std::move(parts));
  }
  return std::filesystem::path(home) / ".local" / "state";
}

// The first 16 hex digits of the parts' SHA-256; a part's length keeps two lists from looking the same.
std::string digest_of(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += fmt::format("{}:{};", part.size(), part);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
    throw Error(ErrorKind::kInternal, "SHA-256 is not to be had");
  }
  std::string hex;
  for (std::size_t i = 0; i < 8; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace

std::filesystem::path default_state_folder(const std::string& kind, const std::vector<std::string>& parts) {
  return state_home() / "ferry" / fmt::format("{}-{}", kind, digest_of(parts));
}

void refuse_state_in_target(const std::filesystem::path& state, const model::Endpoint& target) {
  std::string_view url = target.endpoint_url;
  if (!url.starts_with(kFileScheme)) return;
  std::filesystem::path folder =
      std::filesystem::weakly_canonical(std::filesystem::path(url.substr(kFileScheme.size())));
  std::filesystem::path own = std::filesystem::weakly_canonical(state);
  auto [in_folder, in_own] = std::ranges::mismatch(folder, own);
  bool trailing_slash = in_folder != folder.end() && in_folder->empty();
  if (in_folder != folder.end() && !trailing_slash) return;
  Error::Parts parts{
      .message = fmt::format("the task's state would lie in the target folder {}", folder.string()),
      .remedy = "Name another folder with --state, or another target."};
  throw Error(ErrorKind::kUsage, std::move(parts));
}

}  // namespace ferry::cli
