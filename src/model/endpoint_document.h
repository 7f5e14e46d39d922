#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/endpoint.h"
#include "model/endpoint_settings.h"
#include "model/json_document.h"

namespace ferry::model {

struct EndpointDocument {
  Endpoint endpoint;
  std::vector<std::string> warnings;  // What was given and has no effect; names, never values.
};

// Reads one endpoint in the shape of CreateEndpoint, or of a DescribeEndpoints reply; two members are Ferry's
// own: EndpointUrl and CertificatePem. All settings are checked, for the engines that endpoint_settings.txt
// has. EndpointType may be left out; given, it must be `role`. Throws Error(kDocumentInvalid,
// kSettingUnknown, kSettingConflict).
EndpointDocument parse_endpoint_document(std::string_view json, EndpointRole role);
// The same of a parsed value; `name` is what messages call it.
EndpointDocument read_endpoint(const boost::json::value& document, std::string_view name, EndpointRole role);

struct ExtraConnectionAttribute {
  std::string name;   // As given, without blanks around it.
  std::string value;  // As given.
};

struct ExtraConnectionAttributes {
  std::vector<ExtraConnectionAttribute> attributes;  // In order; of a repeated name the last counts.
  std::vector<std::string> warnings;
};

// Reads "name=value;name=value": split at ';', then at the first '='. Empty parts are skipped, parts without
// '=' or name are skipped with a warning; the value "undefined" stands for not given (a console writes it).
ExtraConnectionAttributes parse_extra_connection_attributes(std::string_view text);

}  // namespace ferry::model
