#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "connector/source.h"
#include "connectors/postgres/catalog.h"
#include "connectors/postgres/client.h"

namespace ferry::postgres {

// Single rows by key, one query each.
//
// The wanted table and its columns may have other names by now, and their names may be others'. So both are
// found by number, and each query proves that the names in it still are theirs: a value is of the wanted
// column of the wanted table, or there is none.
class PostgresLookup final : public connector::SourceLookup {
 public:
  explicit PostgresLookup(Settings settings) : settings_(std::move(settings)) {}

  std::optional<std::vector<model::Cell>> find(const Wanted& wanted, std::stop_token stop) override;

 private:
  // One column of a wanted row, ready to be read.
  struct Reader {
    ColumnCodec codec;
    TextReader read = nullptr;
  };

  void connect(std::stop_token stop);
  void wait_until_visible(std::uint64_t transaction, std::stop_token stop);
  void prepare(const Wanted& wanted, std::stop_token stop);
  bool names_hold(const Wanted& wanted, std::stop_token stop);
  std::optional<Result> run(const Wanted& wanted, const Parameters& key, std::stop_token stop);
  void tell_of_generated(const DescribedTable& table, const std::vector<std::uint32_t>& columns);

  Settings settings_;
  std::optional<Connection> connection_;
  std::int16_t money_digits_ = 2;
  std::uint64_t visible_ = 0;  // The last transaction that was waited for.

  // The query for the last wanted table and columns: lookups come in runs.
  model::TableVersionPtr table_;
  std::vector<std::uint32_t> columns_;
  std::string problem_;  // Why there is no query; empty where there is one.
  std::string query_;
  std::string names_hold_;  // An SQL condition: the names in the query are the table's and its columns'.
  std::vector<Reader> readers_;
  std::set<std::uint64_t> told_of_generated_;  // Tables.

  std::vector<std::string> values_;  // The bytes of the cells that find() returned last.
};

}  // namespace ferry::postgres
