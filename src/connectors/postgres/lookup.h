#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "connector/source.h"
#include "connectors/postgres/catalog.h"
#include "connectors/postgres/client.h"

namespace ferry::postgres {

// Single rows by key, one query each.
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

  Settings settings_;
  std::optional<Connection> connection_;
  std::int16_t money_digits_ = 2;
  std::uint64_t visible_ = 0;  // The last transaction that was waited for.

  // The query for the last wanted table and columns: lookups come in runs.
  model::TableVersionPtr table_;
  std::vector<std::uint32_t> columns_;
  std::string query_;
  std::vector<Reader> readers_;

  std::vector<std::string> values_;  // The bytes of the cells that find() returned last.
};

}  // namespace ferry::postgres
