#include "mapping/table_mapping.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "model/ascii_text.h"

namespace ferry::mapping {
namespace {

// DMS's own tables in a source or target; never data.
constexpr std::string_view kControlTablePrefix = "awsdms_";

// Amazon S3 user guide, "Categorizing your objects using tags".
constexpr std::size_t kTagKeyMax = 128;
constexpr std::size_t kTagValueMax = 256;

bool is_control_table(const model::TableName& name) {
  return model::equal_ignoring_case(std::string_view(name.table).substr(0, kControlTablePrefix.size()),
                                    kControlTablePrefix);
}

std::string with_names(std::string text, const model::TableName& name) {
  const std::array<std::pair<std::string_view, std::string_view>, 2> variables = {
      {{"${schema-name}", name.schema}, {"${table-name}", name.table}}};
  std::string filled;
  for (std::string_view rest = text; !rest.empty();) {
    auto variable =
        std::ranges::find_if(variables, [&](const auto& each) { return rest.starts_with(each.first); });
    filled += variable == variables.end() ? rest.substr(0, 1) : variable->second;
    rest.remove_prefix(variable == variables.end() ? 1 : variable->first.size());
  }
  return filled;
}

}  // namespace

bool TableMapping::SelectionRule::matches(const model::TableName& name, model::TableKind kind) const {
  bool kind_fits = kind == model::TableKind::kView ? views : tables;
  return kind_fits && schema.matches(name.schema) && table.matches(name.table);
}

TableMapping TableMapping::select_all_of(const std::vector<std::string>& patterns) {
  TableMapping mapping;
  if (patterns.empty()) {
    mapping.rules_.push_back({.label = "every table",
                              .action = Action::kInclude,
                              .schema = NamePattern("%"),
                              .table = NamePattern("%")});
  }
  for (const auto& pattern : patterns) {
    auto dot = pattern.find('.');
    // The patterns are stored with the task, and a URI in a wrong place may have a password.
    bool is_uri = pattern.find("://") != std::string::npos;
    if (is_uri || dot == std::string::npos || dot == 0 || dot + 1 == pattern.size()) {
      throw base::Error(
          base::ErrorKind::kUsage,
          {.message = fmt::format("'{}' is not a pattern of tables", pattern),
           .remedy = "Write schema.table, with % for any characters and _ for one: 'public.%'"});
    }
    mapping.rules_.push_back({.label = fmt::format("'{}'", pattern),
                              .action = Action::kInclude,
                              .schema = NamePattern(std::string_view(pattern).substr(0, dot)),
                              .table = NamePattern(std::string_view(pattern).substr(dot + 1))});
  }
  return mapping;
}

bool TableMapping::selects(const model::TableName& name, model::TableKind kind) const {
  if (kind == model::TableKind::kView && views_ == Views::kLeftOut) return false;
  if (is_control_table(name)) return false;
  bool is_included = false;
  for (const auto& rule : rules_) {
    if (!rule.matches(name, kind)) continue;
    if (rule.action == Action::kExclude) return false;
    is_included = true;
  }
  return is_included;
}

std::int64_t TableMapping::load_order(const model::TableName& name) const {
  std::int64_t order = 0;
  for (const auto& rule : rules_) {
    if (rule.action == Action::kExclude) continue;
    if (rule.schema.matches(name.schema) && rule.table.matches(name.table))
      order = std::max(order, rule.load_order);
  }
  return order;
}

const TableLobSettings* TableMapping::lob_settings(const model::TableName& name) const {
  auto found = lob_rules_.find(name);
  return found == lob_rules_.end() ? nullptr : &found->second.settings;
}

std::vector<model::ObjectTag> TableMapping::tags(const model::TableName& name) const {
  auto rule = std::ranges::find_if(tag_rules_, [&](const TagRule& each) {
    return each.schema.matches(name.schema) && each.table.matches(name.table);
  });
  std::vector<model::ObjectTag> tags;
  if (rule == tag_rules_.end()) return tags;
  for (const model::ObjectTag& each : rule->tags) {
    model::ObjectTag tag{.key = with_names(each.key, name), .value = with_names(each.value, name)};
    if (std::ranges::find(tags, tag.key, &model::ObjectTag::key) != tags.end()) continue;
    if (tag.key.size() > kTagKeyMax || tag.value.size() > kTagValueMax || tag.key.starts_with("aws:")) {
      throw base::Error(
          base::ErrorKind::kMappingInvalid,
          {.message = fmt::format("{}: for the table {} the tag {} is longer than S3 takes ({} and {} "
                                  "characters) or begins with aws:",
                                  rule->label, model::to_string(name), tag.key, kTagKeyMax, kTagValueMax),
           .remedy = "Give the table a rule of its own with a shorter tag."});
    }
    tags.push_back(std::move(tag));
  }
  return tags;
}

std::vector<std::string> TableMapping::unmatched_rules(std::span<const ListedTable> tables) const {
  std::vector<std::string> lines;
  for (const auto& rule : rules_) {
    bool has_match = std::any_of(tables.begin(), tables.end(), [&](const ListedTable& table) {
      return rule.matches(table.name, table.kind);
    });
    if (!has_match) lines.push_back(rule.label + " matches no table");
  }
  std::vector<model::TableName> names;
  for (const ListedTable& table : tables) names.push_back(table.name);
  std::ranges::move(transformations_.unmatched_rules(names), std::back_inserter(lines));
  for (const TagRule& rule : tag_rules_) {
    bool has_match = std::ranges::any_of(tables, [&](const ListedTable& table) {
      return rule.schema.matches(table.name.schema) && rule.table.matches(table.name.table);
    });
    if (!has_match) lines.push_back(rule.label + " matches no table");
  }
  for (const auto& [name, rule] : lob_rules_) {
    if (std::ranges::find(tables, name, &ListedTable::name) == tables.end())
      lines.push_back(rule.label + " matches no table");
  }
  return lines;
}

}  // namespace ferry::mapping
