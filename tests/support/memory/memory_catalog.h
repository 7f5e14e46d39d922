#pragma once

#include "tests/support/memory/memory_connection.h"

namespace ferry::test_support {

class MemoryCatalog : public connector::SourceCatalog {
 public:
  explicit MemoryCatalog(MemoryConnection connection) : connection_(connection) {}

  std::vector<connector::CatalogTable> tables(std::stop_token stop) override;
  model::TableVersionPtr describe(const model::TableName& table, std::stop_token stop) override;

 private:
  MemoryConnection connection_;
};

}  // namespace ferry::test_support
