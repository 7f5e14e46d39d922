#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/name_pattern.h"
#include "mapping/transformations.h"
#include "model/object_tag.h"
#include "model/table_kind.h"
#include "model/table_version.h"

namespace ferry::mapping {

// Whether a task carries views. DMS loads them in full-load tasks and leaves them out where changes are
// captured.
enum class Views : std::uint8_t { kLoaded, kLeftOut };

// A table or view that the source's catalog lists.
struct ListedTable {
  model::TableName name;
  model::TableKind kind = model::TableKind::kTable;
};

// What the lob-settings of a table-settings rule say, in place of the task's LOB settings.
struct TableLobSettings {
  std::optional<std::int64_t> size_max_kb;  // Longer values are cut; none = whole.
};

// The compiled rules of one table-mapping document: which tables a task carries, and how. Pure; immutable;
// any thread.
class TableMapping {
 public:
  // Throws Error(kMappingInvalid) with AWS's text for a document that DMS refuses, and Error(kUnsupported)
  // for rules that this version does not carry out.
  static TableMapping parse(std::string_view json, Views views);

  // For patterns "schema.table" with DMS's wildcards, cut at the first dot; none = every table. Tables only.
  // Throws Error(kUsage) for a pattern without a dot.
  static TableMapping select_all_of(const std::vector<std::string>& patterns);

  // An include or explicit rule matches and no exclude rule does. Never awsdms_* tables.
  bool selects(const model::TableName& name, model::TableKind kind) const;

  // A larger one starts first; 0 where no rule says. Equal ones start by name.
  std::int64_t load_order(const model::TableName& name) const;

  // Null where the task's LOB settings hold. By the exact name.
  const TableLobSettings* lob_settings(const model::TableName& name) const;
  // Whether any table has some of its own.
  bool has_lob_settings() const { return !lob_rules_.empty(); }

  // The tags of a table's objects. They are those of one rule: an exact locator wins over one with wildcards,
  // the first in the document over an equal one.
  std::vector<model::ObjectTag> tags(const model::TableName& name) const;
  // Whether any rule has tags.
  bool has_tags() const { return !tag_rules_.empty(); }

  const Transformations& transformations() const { return transformations_; }

  // A line for each rule that matches none of these tables.
  std::vector<std::string> unmatched_rules(std::span<const ListedTable> tables) const;

  // A line for each rule that was accepted and has no effect here.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  enum class Action : std::uint8_t { kInclude, kExclude, kExplicit };
  struct SelectionRule {
    std::string label;  // "rule 1 (include public.%)"
    Action action;
    NamePattern schema;
    NamePattern table;
    bool tables = true;
    bool views = false;
    std::int64_t load_order = 0;

    bool matches(const model::TableName& name, model::TableKind kind) const;
  };
  friend class TableMappingReader;  // table_mapping_json.cc

  TableMapping() = default;

  struct LobSettingsRule {
    std::string label;  // "rule 3 (lob-settings of public.t)"
    TableLobSettings settings;
  };

  struct TagRule {
    std::string label;  // "rule 4 (add-tag to public.%)"
    NamePattern schema;
    NamePattern table;
    int exact_names;                     // Of schema and table: 0 to 2.
    std::vector<model::ObjectTag> tags;  // With ${schema-name} and ${table-name}.
  };

  Views views_ = Views::kLeftOut;
  std::vector<SelectionRule> rules_;
  std::map<model::TableName, LobSettingsRule> lob_rules_;
  std::vector<TagRule> tag_rules_;  // The best ones first.
  Transformations transformations_;
  std::vector<std::string> notes_;
};

}  // namespace ferry::mapping
