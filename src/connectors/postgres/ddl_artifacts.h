#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "connectors/postgres/client.h"
#include "connectors/postgres/slot.h"

// DMS's objects for following DDL on the source (AWS DMS user guide, "Using a PostgreSQL database as a
// source": awsdms_ddl_audit, awsdms_intercept_ddl), with Ferry's own function in them. It does what DMS's
// does: the statement's text goes into the audit table and out of it again, so that only the log carries it.
// Besides, it puts the shape of each table that the statement touched, and each that it dropped, into the log
// (ddl_message.h), and moves a table that has lost its key out of the publications that would now make its
// updates fail. A failure of what Ferry adds is a warning to the client; the statement goes on.
//
// The objects belong to the database: all tasks in it share them. What Ferry made carries its mark in a
// comment; without it nothing is replaced or removed. The function runs with its owner's rights in
// everybody's sessions, so it and its tables are only used where they belong to this user or a superuser.
namespace ferry::postgres {

// Makes what is missing, in one transaction. Returns the schema in which Ferry's objects stand, which is
// another one where another task came first; nothing where they are somebody else's, or could not be made: a
// line in the log says why. Throws only for a lost connection or a stop.
std::optional<std::string> make_ddl_artifacts(Connection& connection, const std::string& schema,
                                              std::stop_token stop);

// What it means that there is no trigger to move a table that loses its key out of a publication.
inline constexpr std::string_view kWithoutTrigger =
    "Changes of a table's shape are seen with its next row, new and dropped tables within seconds. With "
    "pgoutput "
    "a table that loses its key and replica identity refuses UPDATE and DELETE on the source until the task "
    "has "
    "seen it: for seconds, or for as long as the task is stopped. PluginName test_decoding needs no "
    "publications, and so never does that";

// The key of the messages that Ferry's trigger writes; empty where there is no such trigger in force, or the
// user may not read it.
std::string ddl_message_key(Connection& connection, std::stop_token stop);

// The numbers of the event triggers that are there, whoever made them: others have others.
std::string ddl_trigger_numbers(Connection& connection, std::stop_token stop);

// What a task has in the database by which others know of it.
struct TaskTraces {
  std::string slot;
  std::string publication;
  std::optional<SlotReader> reader;  // Of the slot.
};

// What another of Ferry's tasks has in this database, as words for a message; nothing where nothing is found.
// A slot that a user named for test_decoding may be one's; of a task that shares the slot with this one, only
// a connection is seen.
std::optional<std::string> find_other_task(Connection& connection, const TaskTraces& own,
                                           std::stop_token stop);

// Removes what carries Ferry's mark, in DMS's order: triggers, function, tables. Returns a line for each.
std::vector<std::string> drop_ddl_artifacts(Connection& connection, const std::string& schema,
                                            std::stop_token stop);

// Lines for a person.
std::vector<std::string> ddl_artifact_names(const std::string& schema);

// What a table carries that Ferry made on the source for its own use.
inline constexpr std::string_view kFerrysMark = "Made by Ferry";

// An ordinary table by its name, and whether statements of ours may run what it brings along (defaults,
// triggers): whoever owns it could have put there what runs with our rights.
struct OwnTable {
  bool exists = false;
  bool trusted = false;  // Belongs to this user or a superuser.
  bool marked = false;   // Ferry made it.
  std::string columns;   // "a,b,c".
};
OwnTable look_up_own_table(Connection& connection, const std::string& schema, const std::string& name,
                           std::stop_token stop);

}  // namespace ferry::postgres
