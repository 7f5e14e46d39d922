#include "connectors/registry.h"

#include "connectors/postgres/connector.h"
#include "connectors/s3/connector.h"

namespace ferry::connectors {

connector::Registry make_registry() {
  connector::Registry registry;
  registry["postgres"] = postgres::make_postgres_connector();
  registry["aurora-postgresql"] = postgres::make_postgres_connector();
  registry["s3"] = s3::make_s3_connector();
  return registry;
}

}  // namespace ferry::connectors
