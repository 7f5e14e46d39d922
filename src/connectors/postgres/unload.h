#pragma once

#include <memory>
#include <stop_token>

#include "connector/source.h"
#include "connectors/postgres/settings.h"

namespace ferry::postgres {

// Full load by binary COPY: one connection per table being unloaded, one transaction for its life.
// Thread-safe.
class PostgresUnload final : public connector::SourceUnload {
 public:
  explicit PostgresUnload(Settings settings) : settings_(std::move(settings)) {}

  std::unique_ptr<connector::TableUnload> begin(const connector::UnloadRequest& request,
                                                std::stop_token stop) override;

 private:
  const Settings settings_;
};

}  // namespace ferry::postgres
