#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/name_pattern.h"
#include "model/table_version.h"

namespace ferry::mapping {

// One column of a table as the target is to have it.
struct TargetColumn {
  std::uint32_t source = 0;  // Index into the source version's columns.
  std::string name;
  model::LogicalType type;  // Not the source's where a change-data-type rule says so.

  bool operator==(const TargetColumn&) const = default;
};

struct TargetTable {
  model::TableName name;
  std::vector<TargetColumn> columns;  // In the source's order.

  bool operator==(const TargetTable&) const = default;
};

// The transformation rules of one document (AWS DMS user guide, "Transformation rules and actions"): what
// becomes of names, columns and types. Locators speak of the source's names. Of several rules that would name
// one thing, choose its type, or keep it, the one with the lowest rule-id counts; rules for schema, table and
// column are independent, and a removed column is gone whatever else is said of it. Pure; immutable; any
// thread.
class Transformations {
 public:
  bool empty() const { return rules_.empty(); }

  model::TableName target_name(const model::TableName& source) const;

  // Throws Error(kTargetTable) where two columns would have one name, or no column or no name would be left.
  TargetTable target_table(const model::TableVersion& source) const;

  // A line for each rule that is about none of these tables.
  std::vector<std::string> unmatched_rules(std::span<const model::TableName> tables) const;

 private:
  enum class Object : std::uint8_t { kSchema, kTable, kColumn };
  enum class Action : std::uint8_t {
    kRename,
    kLowerCase,
    kUpperCase,
    kAddPrefix,
    kAddSuffix,
    kRemovePrefix,
    kRemoveSuffix,
    kReplacePrefix,
    kReplaceSuffix,
    kRemoveColumn,
    kIncludeColumn,
    kChangeDataType,
  };
  struct Rule {
    std::int64_t id;
    std::string label;  // "rule 2 (rename of the table public.t)"
    Object object;
    Action action;
    NamePattern schema;
    NamePattern table;
    NamePattern column;
    std::optional<model::TypeId> located_type;  // Only columns of this type.
    std::string value;
    std::string old_value;
    model::LogicalType type;  // kChangeDataType.

    bool names() const { return action < Action::kRemoveColumn; }
    bool is_about(const model::TableName& name) const;
    bool is_about(const model::TableName& name, const model::Column& column) const;
    std::string name_for(std::string_view name) const;
  };
  friend class TableMappingReader;  // table_mapping_json.cc

  void add(Rule rule);

  std::vector<Rule> rules_;  // By rule-id.
};

}  // namespace ferry::mapping
