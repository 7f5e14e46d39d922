#include "connectors/postgres/connector.h"

#include "connectors/postgres/capture.h"
#include "connectors/postgres/catalog.h"
#include "connectors/postgres/lookup.h"
#include "connectors/postgres/position.h"
#include "connectors/postgres/prerequisites.h"
#include "connectors/postgres/settings.h"
#include "connectors/postgres/unload.h"

namespace ferry::postgres {
namespace {

class PostgresSource final : public connector::Source {
 public:
  explicit PostgresSource(Settings settings) : settings_(std::move(settings)) {}

  std::vector<connector::Prerequisite> check(bool with_capture, std::stop_token stop) override {
    return check_prerequisites(settings_, with_capture, stop);
  }
  std::unique_ptr<connector::SourceCatalog> catalog() override {
    return std::make_unique<PostgresCatalog>(settings_);
  }
  std::unique_ptr<connector::SourceUnload> unload() override {
    return std::make_unique<PostgresUnload>(settings_);
  }
  std::unique_ptr<connector::SourceCapture> capture(connector::TaskNotes& notes) override {
    return std::make_unique<PostgresCapture>(settings_, notes, ddl_prepared_);
  }
  std::unique_ptr<connector::SourceLookup> lookup() override {
    return std::make_unique<PostgresLookup>(settings_);
  }
  std::shared_ptr<const model::SnapshotMark> parse_mark(std::string_view text) const override {
    return PostgresMark::parse(text);
  }

 private:
  const Settings settings_;
  bool ddl_prepared_ = false;
};

class PostgresConnector final : public connector::Connector {
 public:
  bool has_role(model::EndpointRole role) const override { return role == model::EndpointRole::kSource; }
  std::unique_ptr<connector::Source> open_source(const model::Endpoint& endpoint) const override {
    return std::make_unique<PostgresSource>(read_settings(endpoint));
  }
};

}  // namespace

std::unique_ptr<connector::Connector> make_postgres_connector() {
  return std::make_unique<PostgresConnector>();
}

}  // namespace ferry::postgres
