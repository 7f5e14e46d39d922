#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "connectors/postgres/client.h"
#include "connectors/postgres/position.h"

namespace ferry::postgres {

inline constexpr std::string_view kPgoutput = "pgoutput";
inline constexpr std::string_view kTestDecoding = "test_decoding";

// A replication slot as pg_replication_slots shows it.
struct SlotFacts {
  std::string plugin;
  std::string database;
  bool two_phase = false;    // Sends prepared transactions before they commit.
  int active_pid = 0;        // 0 = nobody reads it.
  Lsn confirmed_flush{};     // The server sends nothing that commits before it.
  std::string lost_because;  // Empty while the slot can be read.
};

std::optional<SlotFacts> find_slot(Connection& connection, const std::string& name, std::stop_token stop);

// Warns of slots in this database that tasks of Ferry's left behind: without a reader they make the server
// keep its log until its disk is full. `own` is none of them.
void warn_of_idle_slots(Connection& connection, const std::string& own, std::stop_token stop);

// A connection that reads a slot, by what makes it known again after a crash of ours. A process number alone
// proves nothing: servers use them again.
struct SlotReader {
  int pid = 0;
  std::string application_name;

  // "4711 ferry-x-12ab".
  std::string to_text() const;
  static std::optional<SlotReader> parse(std::string_view text);
};

// Makes the slot free to be read. A reader that is `own` is ended, a connection of a killed process of ours;
// any other makes it throw Error(kSourceSlotInUse) with its name.
void release_slot(Connection& connection, const std::string& name, const std::optional<SlotReader>& own,
                  std::stop_token stop);

// False when there was no such slot.
bool drop_slot(Connection& connection, const std::string& name, std::stop_token stop);

struct NewSlot {
  std::string name;
  std::string_view plugin;
  std::string application_name;
  // How long open transactions may hold the slot up; 0 = until stop.
  std::chrono::seconds transaction_timeout{0};
  // Told of the connection before it makes the slot: the server may go on making it after a crash of ours.
  std::function<void(const SlotReader&)> connected;
};

// Makes the slot and returns its first position: every transaction that commits from there on will be sent.
// The server waits for the transactions that are open. Throws Error(kSourceTimeout) naming the oldest of
// them; then no slot is left behind.
Lsn create_slot(const Settings& settings, Connection& connection, const NewSlot& slot, std::stop_token stop);

}  // namespace ferry::postgres
