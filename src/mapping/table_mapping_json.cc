// Reads table-mapping JSON. What AWS DMS refuses is refused first, rule by rule and with its texts; only then
// what this version of Ferry does not carry out. Case counts in every keyword, as it does for DMS.

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "mapping/table_mapping.h"
#include "model/json_document.h"

namespace ferry::mapping {
namespace {

using base::Error;
using base::ErrorKind;
using Object = boost::json::object;
using Value = boost::json::value;
using Words = std::initializer_list<std::string_view>;

constexpr std::int64_t kLoadOrderMax = 2147483647;
constexpr std::size_t kTagsMax = 10;
constexpr std::int64_t kBulkMaxSizeMax = 2147483647;  // KB; DMS names no limit.

bool is_one_of(std::string_view word, Words words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// A member's value; null where it is absent or null, which consoles write for what was left empty.
const Value* member(const Object& object, std::string_view name) {
  const auto* value = object.if_contains(boost::json::string_view(name.data(), name.size()));
  return value && !value->is_null() ? value : nullptr;
}

const Object* object_member(const Object& object, std::string_view name) {
  const auto* value = member(object, name);
  return value ? value->if_object() : nullptr;
}

// Its text: numbers and booleans may be quoted or not. Empty where there is none.
std::string text_member(const Object& object, std::string_view name) {
  std::string text;
  if (const auto* value = member(object, name)) model::scalar_text(*value, text);
  return text;
}

std::optional<std::int64_t> integer_of(std::string_view text) {
  std::int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Error document_invalid(std::string_view why) {
  return Error(ErrorKind::kMappingInvalid,
               {.message = "Invalid Table Mappings document", .remedy = std::string(why)});
}

// One rule of the document.
struct Rule {
  const Object& object;
  std::string id;
  std::string type;
  std::string action;
  const Object* locator = nullptr;

  Error failed(std::string_view reason) const {
    return Error(ErrorKind::kMappingInvalid,
                 {.message = fmt::format(
                      "Error in mapping rules. Rule with ruleId = {} failed validation. {}", id, reason),
                  .remedy = "Correct TableMappings"});
  }
  // The text of a member of the object-locator, which has to be there.
  std::string located(std::string_view name) const {
    std::string text = text_member(*locator, name);
    if (text.empty()) throw failed(fmt::format("object-locator has no {}.", name));
    return text;
  }
};

// What AWS DMS would refuse in a filter of a selection rule.
void check_filter(const Rule& rule, const Value& filter) {
  const auto* object = filter.if_object();
  if (!object) throw rule.failed("A filter is not an object.");
  if (text_member(*object, "filter-type") != "source")
    throw rule.failed("The filter-type of a filter is not source.");
  if (text_member(*object, "column-name").empty()) throw rule.failed("A filter has no column-name.");
  const auto* conditions = member(*object, "filter-conditions");
  if (!conditions || !conditions->is_array() || conditions->get_array().empty()) {
    throw rule.failed("A filter has no filter-conditions.");
  }
  for (const auto& condition : conditions->get_array()) {
    const auto* parts = condition.if_object();
    if (!parts) throw rule.failed("A filter condition is not an object.");
    std::string filter_operator = text_member(*parts, "filter-operator");
    bool takes_value = is_one_of(filter_operator, {"eq", "noteq", "lte", "ste", "gte"});
    bool takes_range = is_one_of(filter_operator, {"between", "notbetween"});
    if (!takes_value && !takes_range && !is_one_of(filter_operator, {"null", "notnull"})) {
      throw rule.failed(
          fmt::format("The filter-operator {} is not known.", model::json_quoted_excerpt(filter_operator)));
    }
    if (takes_value && !member(*parts, "value")) {
      throw rule.failed(fmt::format("The filter-operator {} needs a value.", filter_operator));
    }
    if (takes_range && (!member(*parts, "start-value") || !member(*parts, "end-value"))) {
      throw rule.failed(
          fmt::format("The filter-operator {} needs start-value and end-value.", filter_operator));
    }
  }
}

// The elements of a list that may be absent, null or [].
const boost::json::array& list_member(const Rule& rule, const Object& object, std::string_view name) {
  static const boost::json::array none;
  const auto* value = member(object, name);
  if (!value) return none;
  if (!value->is_array()) throw rule.failed(fmt::format("{} is not a list.", name));
  return value->get_array();
}

void check_data_type(const Rule& rule) {
  const auto* data_type = object_member(rule.object, "data-type");
  std::string type = data_type ? text_member(*data_type, "type") : "";
  if (type.empty()) throw rule.failed(fmt::format("{} needs a data-type.", rule.action));
  if (!is_one_of(type,
                 {"bytes", "date",  "time",    "datetime", "int1",  "int2",  "int4",  "int8",    "numeric",
                  "real4", "real8", "string",  "uint1",    "uint2", "uint4", "uint8", "wstring", "blob",
                  "nclob", "clob",  "boolean", "set",      "list",  "map",   "tuple"})) {
    throw rule.failed(fmt::format("The data-type {} is not known.", model::json_quoted_excerpt(type)));
  }
}

void check_primary_key_definition(const Rule& rule) {
  for (auto name : {"schema-name", "table-name"}) {
    if (rule.located(name).find('%') != std::string::npos) {
      throw rule.failed("Exact schema and table name required when using define-primary-key.");
    }
  }
  const auto* definition = object_member(rule.object, "primary-key-def");
  if (!definition || text_member(*definition, "name").empty() ||
      list_member(rule, *definition, "columns").empty()) {
    throw rule.failed("define-primary-key needs a primary-key-def with name and columns.");
  }
  std::string origin = text_member(*definition, "origin");
  if (!origin.empty() && !is_one_of(origin, {"primary-key", "unique-index"})) {
    throw rule.failed("The origin of primary-key-def is neither primary-key nor unique-index.");
  }
}

void check_before_image_definition(const Rule& rule) {
  const auto* definition = object_member(rule.object, "before-image-def");
  if (!definition) return;
  bool has_empty_prefix =
      member(*definition, "column-prefix") && text_member(*definition, "column-prefix").empty();
  if (has_empty_prefix && text_member(*definition, "column-suffix").empty()) {
    throw rule.failed("The column-prefix and the column-suffix of before-image-def are both empty.");
  }
  std::string filter = text_member(*definition, "column-filter");
  if (!filter.empty() && !is_one_of(filter, {"pk-only", "non-lob", "all"})) {
    throw rule.failed("The column-filter of before-image-def is not one of pk-only, non-lob, all.");
  }
}

// The object-locator members that a transformation's target needs.
void check_transformation_locator(const Rule& rule, std::string_view target) {
  if (target == "table-tablespace" || target == "index-tablespace") {
    bool has_table = !text_member(*rule.locator, "table-tablespace-name").empty();
    bool has_index = !text_member(*rule.locator, "index-tablespace-name").empty();
    if (has_table == has_index) {
      throw rule.failed("object-locator needs one of table-tablespace-name and index-tablespace-name.");
    }
    return;
  }
  rule.located("schema-name");
  if (target == "schema") return;
  rule.located("table-name");
  if (target == "column" && !is_one_of(rule.action, {"add-column", "add-before-image-columns"})) {
    rule.located("column-name");
  }
}

void check_transformation(const Rule& rule) {
  const std::string& action = rule.action;
  std::string target = text_member(rule.object, "rule-target");
  if (is_one_of(action, {"rename-schema", "rename-table", "rename-column"})) target = action.substr(7);

  bool names_anything =
      is_one_of(action, {"rename", "rename-schema", "rename-table", "rename-column", "convert-lowercase",
                         "convert-uppercase", "add-prefix", "add-suffix", "remove-prefix", "remove-suffix",
                         "replace-prefix", "replace-suffix"});
  bool is_of_column = is_one_of(action, {"remove-column", "include-column", "add-column", "change-data-type",
                                         "add-before-image-columns", "data-masking-digits-mask",
                                         "data-masking-digits-randomize", "data-masking-hash-mask"});
  if (!names_anything && !is_of_column && action != "define-primary-key") {
    throw rule.failed(fmt::format("The rule-action {} is not known.", model::json_quoted_excerpt(action)));
  }
  if (!is_one_of(target, {"schema", "table", "column", "table-tablespace", "index-tablespace"})) {
    throw rule.failed(fmt::format("The rule-target {} is not known.", model::json_quoted_excerpt(target)));
  }
  if ((is_of_column && target != "column") || (action == "define-primary-key" && target != "table")) {
    throw rule.failed(fmt::format("The rule-action {} does not go with the rule-target {}.", action, target));
  }
  check_transformation_locator(rule, target);

  bool has_value = member(rule.object, "value") != nullptr;
  if (action.starts_with("rename") && !has_value && !member(rule.object, "expression")) {
    throw rule.failed(fmt::format("{} needs a value or an expression.", action));
  }
  if (is_one_of(action, {"add-prefix", "add-suffix", "remove-prefix", "remove-suffix", "replace-prefix",
                         "replace-suffix", "add-column", "data-masking-digits-mask"}) &&
      !has_value) {
    throw rule.failed(fmt::format("{} needs a value.", action));
  }
  if (action.starts_with("replace-") && !member(rule.object, "old-value")) {
    throw rule.failed(fmt::format("{} needs an old-value.", action));
  }
  if (is_one_of(action, {"add-column", "change-data-type"})) check_data_type(rule);
  if (action == "define-primary-key") check_primary_key_definition(rule);
  if (action == "add-before-image-columns") check_before_image_definition(rule);
}

void check_parallel_load(const Rule& rule, const Object& parallel_load) {
  std::string type = text_member(parallel_load, "type");
  if (!is_one_of(type, {"partitions-auto", "subpartitions-auto", "partitions-list", "ranges", "none"})) {
    throw rule.failed(
        fmt::format("The type {} of parallel-load is not known.", model::json_quoted_excerpt(type)));
  }
  if (type != "ranges") return;
  std::size_t columns = list_member(rule, parallel_load, "columns").size();
  const auto& boundaries = list_member(rule, parallel_load, "boundaries");
  bool fits = columns > 0 && columns <= 10 && !boundaries.empty() &&
              std::all_of(boundaries.begin(), boundaries.end(), [&](const Value& boundary) {
                return boundary.is_array() && boundary.get_array().size() == columns;
              });
  if (!fits)
    throw rule.failed("parallel-load of type ranges needs 1 to 10 columns and boundaries of as many values.");
}

// The mode that DMS takes where none is given is limited.
bool is_limited(std::string_view lob_mode) { return lob_mode.empty() || lob_mode == "limited"; }

void check_lob_settings(const Rule& rule, const Object& lob_settings) {
  std::string mode = text_member(lob_settings, "mode");
  if (!mode.empty() && !is_one_of(mode, {"limited", "unlimited", "none"})) {
    throw rule.failed(
        fmt::format("The mode {} of lob-settings is not known.", model::json_quoted_excerpt(mode)));
  }
  if (mode == "none") return;
  std::string text = text_member(lob_settings, "bulk-max-size");
  auto size = integer_of(text);
  if (is_limited(mode) && size.value_or(0) <= 0) {
    throw rule.failed("lob-settings of mode limited need a bulk-max-size above 0.");
  }
  if (!text.empty() && (!size || *size < 0 || *size > kBulkMaxSizeMax)) {
    throw rule.failed(fmt::format("The bulk-max-size {} is not an integer from 0 to {}.",
                                  model::json_quoted_excerpt(text), kBulkMaxSizeMax));
  }
}

void check_table_settings(const Rule& rule) {
  for (auto name : {"schema-name", "table-name"}) {
    if (rule.located(name).find('%') != std::string::npos) {
      throw rule.failed("Exact schema and table name required when using table settings rule.");
    }
  }
  if (const auto* parallel_load = object_member(rule.object, "parallel-load"))
    check_parallel_load(rule, *parallel_load);
  if (const auto* lob_settings = object_member(rule.object, "lob-settings"))
    check_lob_settings(rule, *lob_settings);
}

void check_post_processing(const Rule& rule) {
  if (rule.action != "add-tag") {
    throw rule.failed(
        fmt::format("The rule-action {} is not known.", model::json_quoted_excerpt(rule.action)));
  }
  rule.located("schema-name");
  rule.located("table-name");
  const auto& tags = list_member(rule, rule.object, "tag-set");
  if (tags.size() > kTagsMax) throw rule.failed(fmt::format("tag-set has more than {} tags.", kTagsMax));
  for (const auto& tag : tags) {
    const auto* object = tag.if_object();
    if (!object || text_member(*object, "key").empty()) throw rule.failed("A tag of tag-set has no key.");
  }
}

void check_object_mapping(const Rule& rule) {
  if (!is_one_of(rule.action, {"map-record-to-record", "map-record-to-document"})) {
    throw rule.failed(
        fmt::format("The rule-action {} is not known.", model::json_quoted_excerpt(rule.action)));
  }
}

void check_validation(const Rule& rule) {
  if (rule.action != "override-validation-function") {
    throw rule.failed(
        fmt::format("The rule-action {} is not known.", model::json_quoted_excerpt(rule.action)));
  }
}

// Names have underscores more often than patterns do.
bool is_exact_name(std::string_view pattern) { return pattern.find_first_of("%[") == std::string_view::npos; }

}  // namespace

// Reads one document. Lives for one call.
class TableMappingReader {
 public:
  explicit TableMappingReader(Views views) { mapping_.views_ = views; }

  TableMapping read(const Value& document) {
    const auto* object = document.if_object();
    const auto* rules = object ? member(*object, "rules") : nullptr;
    if (!rules || !rules->is_array()) throw document_invalid("It has to be an object with a list of rules");
    for (const auto& rule : rules->get_array()) {
      if (!rule.is_object()) throw document_invalid("Each of its rules has to be an object");
      read_rule(rule.get_object());
    }
    if (mapping_.rules_.empty()) {
      throw Error(ErrorKind::kMappingInvalid,
                  Error::Parts{.message = "Error in mapping rules. At least one selection rule is required.",
                               .remedy = "Add a rule of rule-type selection to TableMappings"});
    }
    if (!unsupported_.empty()) {
      throw Error(ErrorKind::kUnsupported,
                  {.message = fmt::format("TableMappings ask for what this version of Ferry does not do: {}",
                                          fmt::join(unsupported_, "; ")),
                   .remedy = "Remove these rules if the task may run without them"});
    }
    return std::move(mapping_);
  }

 private:
  void read_rule(const Object& object) {
    Rule rule{.object = object,
              .id = text_member(object, "rule-id"),
              .type = text_member(object, "rule-type"),
              .action = text_member(object, "rule-action"),
              .locator = object_member(object, "object-locator")};
    if (rule.id.empty()) {
      rule.id = "null";
      throw rule.failed("rule-id is missing.");
    }
    auto number = integer_of(rule.id);
    if (!number || *number < 0) throw rule.failed("rule-id is not a number.");
    if (!ids_.insert(*number).second) throw rule.failed("rule-id is used by another rule too.");
    if (!is_one_of(rule.type, {"selection", "transformation", "table-settings", "object-mapping",
                               "post-processing", "validation"})) {
      throw rule.failed(fmt::format("The rule-type {} is not known.", model::json_quoted_excerpt(rule.type)));
    }
    if (!rule.locator) throw rule.failed("object locator cannot be null");

    if (rule.type == "selection") read_selection(rule);
    if (rule.type == "transformation") read_transformation(rule);
    if (rule.type == "table-settings") read_table_settings(rule);
    if (rule.type == "object-mapping") read_object_mapping(rule);
    if (rule.type == "post-processing") read_post_processing(rule);
    if (rule.type == "validation") read_validation(rule);
  }

  void read_selection(const Rule& rule) {
    if (!is_one_of(rule.action, {"include", "exclude", "explicit"})) {
      throw rule.failed(
          fmt::format("The rule-action {} is not known.", model::json_quoted_excerpt(rule.action)));
    }
    using Action = TableMapping::Action;
    Action action = rule.action == "include"   ? Action::kInclude
                    : rule.action == "exclude" ? Action::kExclude
                                               : Action::kExplicit;
    std::string schema = rule.located("schema-name");
    std::string table = rule.located("table-name");
    if (action == Action::kExplicit && (schema + table).find('%') != std::string::npos) {
      throw rule.failed("Exact schema and table name required when using rule-action explicit.");
    }
    std::string table_type = text_member(*rule.locator, "table-type");
    if (!table_type.empty() && !is_one_of(table_type, {"table", "view", "all"})) {
      throw rule.failed("The table-type is not one of table, view, all.");
    }
    const auto& filters = list_member(rule, rule.object, "filters");
    // DMS reads filters of include rules only.
    if (action != Action::kExclude && !filters.empty()) {
      for (const auto& filter : filters) check_filter(rule, filter);
      unsupported_.push_back(fmt::format("rule {} has filters", rule.id));
    }
    bool is_exact = action == Action::kExplicit;
    mapping_.rules_.push_back({
        .label = fmt::format("rule {} ({} {}.{})", rule.id, rule.action, schema, table),
        .action = action,
        .schema = is_exact ? NamePattern::exactly(schema) : NamePattern(schema),
        .table = is_exact ? NamePattern::exactly(table) : NamePattern(table),
        .tables = table_type != "view",
        .views = table_type == "view" || table_type == "all",
        .load_order = load_order_of(rule),
    });
  }

  static std::int64_t load_order_of(const Rule& rule) {
    std::string text = text_member(rule.object, "load-order");
    if (text.empty()) return 0;
    auto order = integer_of(text);
    if (order && *order >= 0 && *order <= kLoadOrderMax) return *order;
    throw rule.failed(fmt::format("The load-order {} is not an integer from 1 to {}.",
                                  model::json_quoted_excerpt(text), kLoadOrderMax));
  }

  void read_transformation(const Rule& rule) {
    check_transformation(rule);
    std::string target = text_member(rule.object, "rule-target");
    if (target.ends_with("-tablespace")) {
      note(rule, "tablespaces are Oracle's");
      return;
    }
    using Action = Transformations::Action;
    static const std::map<std::string_view, Action> kActions = {
        {"rename", Action::kRename},
        {"rename-schema", Action::kRename},
        {"rename-table", Action::kRename},
        {"rename-column", Action::kRename},
        {"convert-lowercase", Action::kLowerCase},
        {"convert-uppercase", Action::kUpperCase},
        {"add-prefix", Action::kAddPrefix},
        {"add-suffix", Action::kAddSuffix},
        {"remove-prefix", Action::kRemovePrefix},
        {"remove-suffix", Action::kRemoveSuffix},
        {"replace-prefix", Action::kReplacePrefix},
        {"replace-suffix", Action::kReplaceSuffix},
        {"remove-column", Action::kRemoveColumn},
        {"include-column", Action::kIncludeColumn},
    };
    auto action = kActions.find(rule.action);
    if (action == kActions.end() || !text_member(rule.object, "expression").empty()) {
      unsupported_.push_back(fmt::format("rule {} is a transformation rule ({}{}{})", rule.id, rule.action,
                                         target.empty() ? "" : " of a ", target));
      return;
    }
    if (rule.action.starts_with("rename-")) target = rule.action.substr(7);
    using Object = Transformations::Object;
    Object object = target == "schema"  ? Object::kSchema
                    : target == "table" ? Object::kTable
                                        : Object::kColumn;
    auto located = [&](Object needed_by, std::string_view name) {
      return object < needed_by ? "%" : rule.located(name);
    };
    std::string schema = rule.located("schema-name");
    std::string table = located(Object::kTable, "table-name");
    std::string column = located(Object::kColumn, "column-name");
    std::string place = schema + (object >= Object::kTable ? '.' + table : "") +
                        (object == Object::kColumn ? '.' + column : "");
    mapping_.transformations_.add(
        {.id = *integer_of(rule.id),
         .label = fmt::format("rule {} ({} of the {} {})", rule.id, rule.action, target, place),
         .object = object,
         .action = action->second,
         .schema = NamePattern(schema),
         .table = NamePattern(table),
         .column = NamePattern(column),
         .located_type = located_type(rule),
         .value = text_member(rule.object, "value"),
         .old_value = text_member(rule.object, "old-value")});
  }

  // The object-locator's data-type, which takes no wildcards.
  static std::optional<model::TypeId> located_type(const Rule& rule) {
    std::string name = text_member(*rule.locator, "data-type");
    if (name.empty()) return std::nullopt;
    static const std::map<std::string_view, model::TypeId> kTypes = {
        {"boolean", model::TypeId::kBoolean},   {"int1", model::TypeId::kInt1},
        {"int2", model::TypeId::kInt2},         {"int4", model::TypeId::kInt4},
        {"int8", model::TypeId::kInt8},         {"uint1", model::TypeId::kUint1},
        {"uint2", model::TypeId::kUint2},       {"uint4", model::TypeId::kUint4},
        {"uint8", model::TypeId::kUint8},       {"real4", model::TypeId::kReal4},
        {"real8", model::TypeId::kReal8},       {"numeric", model::TypeId::kNumeric},
        {"string", model::TypeId::kString},     {"wstring", model::TypeId::kWstring},
        {"clob", model::TypeId::kClob},         {"nclob", model::TypeId::kNclob},
        {"bytes", model::TypeId::kBytes},       {"blob", model::TypeId::kBlob},
        {"date", model::TypeId::kDate},         {"time", model::TypeId::kTime},
        {"datetime", model::TypeId::kDatetime},
    };
    auto type = kTypes.find(name);
    if (type == kTypes.end()) {
      throw rule.failed(fmt::format("The data-type {} is not known.", model::json_quoted_excerpt(name)));
    }
    return type->second;
  }

  void read_table_settings(const Rule& rule) {
    check_table_settings(rule);
    const auto* parallel_load = object_member(rule.object, "parallel-load");
    if (parallel_load && text_member(*parallel_load, "type") != "none")
      unsupported_.push_back(fmt::format("rule {} is a table-settings rule with parallel-load", rule.id));
    if (const auto* lob_settings = object_member(rule.object, "lob-settings"))
      read_lob_settings(rule, *lob_settings);
  }

  // Without a mode of its own a table has the task's LOB settings.
  void read_lob_settings(const Rule& rule, const Object& lob_settings) {
    std::string mode = text_member(lob_settings, "mode");
    if (mode == "none") return;
    model::TableName name{.schema = rule.located("schema-name"), .table = rule.located("table-name")};
    TableLobSettings settings;
    if (is_limited(mode)) settings.size_max_kb = integer_of(text_member(lob_settings, "bulk-max-size"));
    bool is_first =
        mapping_.lob_rules_
            .try_emplace(name, fmt::format("rule {} (lob-settings of {})", rule.id, model::to_string(name)),
                         settings)
            .second;
    if (!is_first) note(rule, "an earlier rule has lob-settings for the same table");
  }

  void read_object_mapping(const Rule& rule) {
    check_object_mapping(rule);
    note(rule, "object mapping is for streams and documents");
  }

  void read_post_processing(const Rule& rule) {
    check_post_processing(rule);
    std::string schema = rule.located("schema-name");
    std::string table = rule.located("table-name");
    std::vector<model::ObjectTag> tags;
    for (const auto& tag : list_member(rule, rule.object, "tag-set")) {
      const Object& object = tag.get_object();
      tags.push_back({.key = text_member(object, "key"), .value = text_member(object, "value")});
    }
    TableMapping::TagRule read{
        .label = fmt::format("rule {} (add-tag to {}.{})", rule.id, schema, table),
        .schema = NamePattern(schema),
        .table = NamePattern(table),
        .exact_names = static_cast<int>(is_exact_name(schema)) + static_cast<int>(is_exact_name(table)),
        .tags = std::move(tags)};
    auto better = std::ranges::find_if(mapping_.tag_rules_,
                                       [&](const auto& each) { return each.exact_names < read.exact_names; });
    mapping_.tag_rules_.insert(better, std::move(read));
  }

  void read_validation(const Rule& rule) {
    check_validation(rule);
    note(rule, "rows are not validated");
  }

  void note(const Rule& rule, std::string_view why) {
    mapping_.notes_.push_back(fmt::format("rule {} ({}) has no effect: {}", rule.id, rule.type, why));
  }

  TableMapping mapping_;
  std::set<std::int64_t> ids_;
  std::vector<std::string> unsupported_;
};

TableMapping TableMapping::parse(std::string_view json, Views views) {
  Value document;
  try {
    document = model::parse_json(json, "It", ErrorKind::kMappingInvalid);
  } catch (const Error& error) {
    throw document_invalid(error.message());
  }
  return TableMappingReader(views).read(document);
}

}  // namespace ferry::mapping
