#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "connectors/postgres/client.h"

namespace ferry::postgres {

// DMS's heartbeat (HeartbeatEnable, HeartbeatSchema, HeartbeatFrequency): one row of the table
// awsdms_heartbeat is written now and then, so that the log of an otherwise idle database moves on and with
// it the slot. Ferry's slot moves by the server's keepalives too; the heartbeat is for those who watch the
// row. Used by one thread.
class SourceHeartbeat {
 public:
  SourceHeartbeat(std::string schema, std::chrono::minutes every, base::Clock& clock)
      : schema_(std::move(schema)), every_(every), clock_(clock), due_(clock.steady_now()) {}

  // The first beat is due at once.
  bool due() const { return clock_.steady_now() >= due_; }

  // Writes the row, and makes the table and the row where they are missing. It takes no longer than a second
  // or two. What the server refuses is one warning until a beat succeeds again; only a lost connection and a
  // stop are thrown.
  void beat(Connection& connection, std::stop_token stop);

 private:
  void write(Connection& connection, std::stop_token stop);

  const std::string schema_;
  const std::chrono::minutes every_;
  base::Clock& clock_;
  std::chrono::steady_clock::time_point due_;
  bool warned_ = false;
};

// Removes the table where Ferry made it, and returns a line for it.
std::vector<std::string> drop_heartbeat(Connection& connection, const std::string& schema,
                                        std::stop_token stop);

}  // namespace ferry::postgres
