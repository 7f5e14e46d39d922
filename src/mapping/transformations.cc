#include "mapping/transformations.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "model/ascii_text.h"

namespace ferry::mapping {
namespace {

base::Error not_on_target(const model::TableName& table, std::string_view why) {
  return base::Error(
      base::ErrorKind::kTargetTable,
      {.message = fmt::format("the table {} cannot be what the transformation rules make of it: {}",
                              model::to_string(table), why),
       .remedy = "Correct the transformation rules of TableMappings, or leave the table out."});
}

}  // namespace

bool Transformations::Rule::is_about(const model::TableName& name) const {
  return schema.matches(name.schema) && (object == Object::kSchema || table.matches(name.table));
}

bool Transformations::Rule::is_about(const model::TableName& name, const model::Column& of) const {
  return is_about(name) && column.matches(of.name) && (!located_type || *located_type == of.type.id);
}

std::string Transformations::Rule::name_for(std::string_view name) const {
  switch (action) {
    case Action::kRename: return value;
    case Action::kLowerCase: return model::to_lower(name);
    case Action::kUpperCase: return model::to_upper(name);
    case Action::kAddPrefix: return value + std::string(name);
    case Action::kAddSuffix: return std::string(name) + value;
    case Action::kRemovePrefix:
      if (name.starts_with(value)) name.remove_prefix(value.size());
      return std::string(name);
    case Action::kRemoveSuffix:
      if (name.ends_with(value)) name.remove_suffix(value.size());
      return std::string(name);
    case Action::kReplacePrefix:
      if (!name.starts_with(old_value)) return std::string(name);
      return value + std::string(name.substr(old_value.size()));
    case Action::kReplaceSuffix:
      if (!name.ends_with(old_value)) return std::string(name);
      return std::string(name.substr(0, name.size() - old_value.size())) + value;
    default: return std::string(name);
  }
}

void Transformations::add(Rule rule) {
  rules_.insert(std::ranges::upper_bound(rules_, rule.id, {}, &Rule::id), std::move(rule));
}

model::TableName Transformations::target_name(const model::TableName& source) const {
  auto named = [&](Object object, const std::string& name) {
    auto rule = std::ranges::find_if(rules_, [&](const Rule& each) {
      return each.object == object && each.names() && each.is_about(source);
    });
    return rule == rules_.end() ? name : rule->name_for(name);
  };
  model::TableName target{.schema = named(Object::kSchema, source.schema),
                          .table = named(Object::kTable, source.table)};
  if (target.schema.empty() || target.table.empty())
    throw not_on_target(source, "nothing is left of its name");
  return target;
}

TargetTable Transformations::target_table(const model::TableVersion& source) const {
  std::vector<const Rule*> rules;
  for (const Rule& rule : rules_) {
    if (rule.object == Object::kColumn && rule.is_about(source.name)) rules.push_back(&rule);
  }
  bool includes =
      std::ranges::any_of(rules, [](const Rule* rule) { return rule->action == Action::kIncludeColumn; });
  auto first = [&](const model::Column& column, auto&& is_wanted) -> const Rule* {
    auto rule = std::ranges::find_if(
        rules, [&](const Rule* each) { return is_wanted(*each) && each->is_about(source.name, column); });
    return rule == rules.end() ? nullptr : *rule;
  };
  auto acts = [](Action action) { return [action](const Rule& rule) { return rule.action == action; }; };

  TargetTable target{.name = target_name(source.name)};
  std::map<std::string, std::string_view> named;  // By the target's name, the source's.
  for (std::uint32_t i = 0; i < source.columns.size(); ++i) {
    const model::Column& column = source.columns[i];
    if (first(column, acts(Action::kRemoveColumn))) continue;
    if (includes && !first(column, acts(Action::kIncludeColumn))) continue;
    const Rule* name = first(column, [](const Rule& rule) { return rule.names(); });
    const Rule* type = first(column, acts(Action::kChangeDataType));
    target.columns.push_back({.source = i,
                              .name = name ? name->name_for(column.name) : column.name,
                              .type = type ? type->type : column.type});
    const std::string& called = target.columns.back().name;
    if (called.empty()) {
      throw not_on_target(source.name,
                          fmt::format("nothing is left of the name of its column {}", column.name));
    }
    auto [other, is_new] = named.emplace(called, column.name);
    if (!is_new) {
      throw not_on_target(source.name, fmt::format("its columns {} and {} would both be {}", other->second,
                                                   column.name, called));
    }
  }
  if (target.columns.empty()) throw not_on_target(source.name, "none of its columns is left");
  return target;
}

std::vector<std::string> Transformations::unmatched_rules(std::span<const model::TableName> tables) const {
  std::vector<std::string> lines;
  for (const Rule& rule : rules_) {
    bool has_match =
        std::ranges::any_of(tables, [&](const model::TableName& table) { return rule.is_about(table); });
    if (!has_match) lines.push_back(rule.label + " matches no table");
  }
  return lines;
}

}  // namespace ferry::mapping
