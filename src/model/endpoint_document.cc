#include "model/endpoint_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <optional>

#include "base/error.h"
#include "model/ascii_text.h"
#include "model/json_document.h"

namespace ferry::model {
namespace {

using base::Error;
using base::ErrorKind;

// Members of CreateEndpoint and of DescribeEndpoints' Endpoint that mean nothing to a task.
constexpr std::array kMembersWithoutMeaning = {
    "CertificateArn",     "DmsTransferSettings",     "EndpointArn", "EngineDisplayName",
    "ExternalId",         "ExternalTableDefinition", "IsReadOnly",  "KmsKeyId",
    "ResourceIdentifier", "ServiceAccessRoleArn",    "Status",      "Tags",
};

constexpr std::array kSslModes = {"none", "require", "verify-ca", "verify-full"};

// Reads one endpoint document. Lives for one call.
class EndpointReader {
 public:
  EndpointReader(const boost::json::object& document, std::string_view name, EndpointRole role)
      : document_(document), name_(name), role_(role) {}

  EndpointDocument read();

 private:
  struct Given {
    std::string text;
    std::string path;  // Where it stands in the document.
  };

  Error invalid(std::string_view path, std::string_view what) const {
    return Error(ErrorKind::kDocumentInvalid,
                 {.message = fmt::format("{}.{} {}", name_, path, what), .remedy = "Correct the endpoint"});
  }

  void read_member(std::string_view key, const boost::json::value& value);
  void read_settings_block(std::string_view key, const boost::json::value& value);
  void read_attributes(std::string_view text);
  void set_member(std::string_view member, Given given);
  void set_setting(const EndpointSettingFacts* facts, EndpointSetting setting);
  Given text_of(std::string_view path, const boost::json::value& value) const;
  std::string take(std::string_view member) {
    auto found = members_.find(std::string(member));
    return found == members_.end() ? std::string() : found->second.text;
  }
  std::uint16_t port() const;
  std::string ssl_mode();

  const boost::json::object& document_;
  std::string_view name_;
  EndpointRole role_;
  const EngineSettings* engine_ = nullptr;
  EndpointDocument result_;
  std::map<std::string, Given> members_;  // Texts of the endpoint's own members.
};

EndpointReader::Given EndpointReader::text_of(std::string_view path, const boost::json::value& value) const {
  Given given{.text = {}, .path = std::string(path)};
  bool is_secret = path.ends_with("assword");
  if (!scalar_text(value, given.text)) {
    throw invalid(
        path, is_secret ? "is not a text" : fmt::format("is {}, which is not a text", json_excerpt(value)));
  }
  // Client libraries take C strings: what is behind a NUL would be lost without a word.
  if (given.text.find('\0') != std::string::npos) throw invalid(path, "holds a NUL character");
  return given;
}

void EndpointReader::set_member(std::string_view member, Given given) {
  auto [place, is_new] = members_.try_emplace(std::string(member), given);
  if (is_new || place->second.text == given.text) return;
  if (place->second.text.empty()) {
    place->second = std::move(given);
    return;
  }
  if (given.text.empty()) return;
  throw Error(ErrorKind::kSettingConflict,
              {.message = fmt::format("{}.{} and {}.{} are given and differ", name_, place->second.path,
                                      name_, given.path),
               .remedy = "Give one of them"});
}

void EndpointReader::set_setting(const EndpointSettingFacts* facts, EndpointSetting setting) {
  if (facts && facts->type == EndpointSettingFacts::Type::kMember) {
    set_member(facts->name,
               {.text = std::move(setting.value), .path = "ExtraConnectionAttributes." + setting.name});
    return;
  }
  if (facts && !facts->is_given_by(setting.value)) return;
  result_.endpoint.settings.insert_or_assign(to_lower(setting.name), std::move(setting));
}

void EndpointReader::read_settings_block(std::string_view key, const boost::json::value& value) {
  const auto* object = value.if_object();
  if (!object) throw invalid(key, fmt::format("is {}, which is not an object", json_excerpt(value)));
  const auto* block = find_engine_settings_by_block(key);
  if (!block || block != engine_) {
    if (object->empty()) return;
    throw Error(ErrorKind::kSettingConflict,
                {.message = fmt::format("{}.{} is given, but EngineName is {}", name_, key,
                                        json_quoted_excerpt(result_.endpoint.engine_name)),
                 .remedy = "Remove the block or correct EngineName"});
  }
  for (const auto& member : *object) {
    std::string path = fmt::format("{}.{}", key, std::string_view(member.key()));
    const auto* facts = block->find(member.key());
    if (!facts || !facts->in_api) {
      throw Error(
          ErrorKind::kSettingUnknown,
          {.message = fmt::format("{}.{} is not known", name_, path),
           .remedy = facts ? "It is an extra connection attribute: move it to ExtraConnectionAttributes"
                           : "Correct its name or remove it"});
    }
    if (member.value().is_null()) continue;
    Given given = text_of(path, member.value());
    if (facts->type == EndpointSettingFacts::Type::kMember) {
      set_member(facts->name, std::move(given));
      continue;
    }
    set_setting(
        facts,
        {.name = member.key(), .value = std::move(given.text), .from = EndpointSetting::From::kSettings});
  }
}

void EndpointReader::read_attributes(std::string_view text) {
  auto [attributes, warnings] = parse_extra_connection_attributes(text);
  for (const auto& warning : warnings) result_.warnings.push_back(fmt::format("{}: {}", name_, warning));
  for (auto& attribute : attributes) {
    const auto* facts = engine_ ? engine_->find(attribute.name) : nullptr;
    if (engine_ && !facts) {
      result_.warnings.push_back(
          fmt::format("{}: the extra connection attribute {} is not known and has no effect", name_,
                      json_quoted_excerpt(attribute.name)));
      continue;
    }
    set_setting(facts, {.name = std::move(attribute.name),
                        .value = std::move(attribute.value),
                        .from = EndpointSetting::From::kExtraConnectionAttributes});
  }
}

void EndpointReader::read_member(std::string_view key, const boost::json::value& value) {
  for (std::string_view member :
       {"EndpointIdentifier", "EndpointType", "EngineName", "ServerName", "Port", "DatabaseName", "Username",
        "Password", "SslMode", "EndpointUrl", "CertificatePem", "ExtraConnectionAttributes"}) {
    if (key != member) continue;
    if (!value.is_null()) set_member(member, text_of(key, value));
    return;
  }
  if (std::find(kMembersWithoutMeaning.begin(), kMembersWithoutMeaning.end(), key) !=
      kMembersWithoutMeaning.end()) {
    if (key == "CertificateArn" && value.is_string() && !value.get_string().empty()) {
      result_.warnings.push_back(fmt::format(
          "{}.CertificateArn has no effect here; give the certificate itself as CertificatePem", name_));
    }
    return;
  }
  if (key.ends_with("Settings")) {
    // The engine's own block is read later, when the engine is known.
    if (value.is_null() || value.is_object()) return;
    throw invalid(key, fmt::format("is {}, which is not an object", json_excerpt(value)));
  }
  throw Error(ErrorKind::kSettingUnknown, {.message = fmt::format("{}.{} is not known", name_, key),
                                           .remedy = "Correct its name or remove it"});
}

std::uint16_t EndpointReader::port() const {
  auto found = members_.find("Port");
  if (found == members_.end() || found->second.text.empty()) return 0;
  const std::string& text = found->second.text;
  std::uint16_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw invalid(found->second.path,
                  fmt::format("is {}, which is not an integer from 1 to 65535, or 0 for the default",
                              json_quoted_excerpt(text)));
  }
  return number;
}

std::string EndpointReader::ssl_mode() {
  std::string mode = to_lower(take("SslMode"));
  if (mode.empty() || std::find(kSslModes.begin(), kSslModes.end(), mode) != kSslModes.end()) return mode;
  throw invalid("SslMode", fmt::format("is {}, which is not one of {}", json_quoted_excerpt(mode),
                                       fmt::join(kSslModes, ", ")));
}

EndpointDocument EndpointReader::read() {
  for (const auto& member : document_) read_member(member.key(), member.value());

  Endpoint& endpoint = result_.endpoint;
  endpoint.engine_name = to_lower(take("EngineName"));
  if (endpoint.engine_name.empty()) throw invalid("EngineName", "is missing");
  engine_ = find_engine_settings(endpoint.engine_name);
  std::string type = take("EndpointType");
  if (!type.empty() && !equal_ignoring_case(type, to_string(role_))) {
    throw invalid("EndpointType",
                  fmt::format("is {}, which is not {}", json_quoted_excerpt(type), to_string(role_)));
  }

  for (const auto& member : document_) {
    std::string_view key = member.key();
    bool is_block = key.ends_with("Settings") && key != "DmsTransferSettings" && member.value().is_object();
    if (is_block) read_settings_block(key, member.value());
  }
  read_attributes(take("ExtraConnectionAttributes"));

  endpoint.identifier = to_lower(take("EndpointIdentifier"));
  if (endpoint.identifier.empty()) endpoint.identifier = to_string(role_);
  endpoint.server_name = take("ServerName");
  endpoint.port = port();
  endpoint.database_name = take("DatabaseName");
  endpoint.username = take("Username");
  endpoint.password = base::Secret(take("Password"));
  endpoint.ssl_mode = ssl_mode();
  endpoint.certificate_pem = take("CertificatePem");
  endpoint.endpoint_url = take("EndpointUrl");

  if (engine_) {
    SettingReader checked(endpoint, role_);
    result_.warnings.insert(result_.warnings.end(), checked.warnings().begin(), checked.warnings().end());
  }
  return std::move(result_);
}

std::string_view without_blanks(std::string_view text) {
  auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

}  // namespace

EndpointDocument read_endpoint(const boost::json::value& document, std::string_view name, EndpointRole role) {
  const auto* object = document.if_object();
  if (!object) {
    throw Error(ErrorKind::kDocumentInvalid, {.message = fmt::format("{} is not a JSON object", name),
                                              .remedy = "Write the endpoint in the shape of CreateEndpoint"});
  }
  return EndpointReader(*object, name, role).read();
}

EndpointDocument parse_endpoint_document(std::string_view json, EndpointRole role) {
  std::string_view name = role == EndpointRole::kSource ? "SourceEndpoint" : "TargetEndpoint";
  return read_endpoint(parse_json(json, fmt::format("the {} endpoint's document", to_string(role))), name,
                       role);
}

ExtraConnectionAttributes parse_extra_connection_attributes(std::string_view text) {
  constexpr std::string_view kNotGiven = "undefined";
  ExtraConnectionAttributes result;
  while (!text.empty()) {
    auto end = text.find(';');
    std::string_view part = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (without_blanks(part).empty()) continue;

    auto equals = part.find('=');
    std::string_view name = without_blanks(part.substr(0, equals));
    if (equals == std::string_view::npos || name.empty()) {
      // The part may be the rest of a value with a ';' in it, even of a secret one: it is not repeated here.
      result.warnings.emplace_back(
          "a part of ExtraConnectionAttributes is not of the form name=value and has no effect");
      continue;
    }
    std::string_view value = part.substr(equals + 1);
    if (value == kNotGiven) continue;
    result.attributes.push_back({.name = std::string(name), .value = std::string(value)});
  }
  return result;
}

}  // namespace ferry::model
