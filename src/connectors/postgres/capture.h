#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "connector/source.h"
#include "connectors/postgres/change_decoder.h"
#include "connectors/postgres/change_writer.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/ddl_message.h"
#include "connectors/postgres/ddl_shapes.h"
#include "connectors/postgres/heartbeat.h"
#include "connectors/postgres/new_tables.h"
#include "connectors/postgres/position.h"
#include "connectors/postgres/publications.h"
#include "connectors/postgres/settings.h"
#include "connectors/postgres/slot.h"

namespace ferry::postgres {

// Ongoing changes by a replication slot. One walsender connection for the stream, and a control connection
// for everything else, opened when it is needed. Threads as connector::SourceCapture says.
class PostgresCapture final : public connector::SourceCapture {
 public:
  // `ddl_prepared` is of the Source: whether one of its captures has made the objects of CaptureDdls, or has
  // told that it cannot.
  PostgresCapture(Settings settings, connector::TaskNotes& notes, bool& ddl_prepared,
                  base::Clock& clock = base::Clock::real())
      : settings_(std::move(settings)),
        notes_(notes),
        ddl_prepared_(ddl_prepared),
        clock_(clock),
        new_tables_(notes),
        ddl_shapes_(settings_, [this](std::stop_token stop) -> Connection& { return control(stop); }) {}

  connector::CaptureStart prepare(const connector::CaptureScope& scope, std::stop_token stop) override;
  void verify(const connector::CaptureScope& scope, const model::Checkpoint& checkpoint,
              std::stop_token stop) override;
  model::StreamPosition current_position(std::stop_token stop) override;
  std::int64_t log_bytes_since(const model::StreamPosition& from, std::stop_token stop) override;
  std::vector<std::string> created() const override;
  void know(std::vector<model::TableVersionPtr> tables) override { kept_shapes_ = std::move(tables); }
  void start(const model::StreamPosition& from, std::stop_token stop) override;
  void next(model::ChangeBatch& batch, std::size_t bytes_max, std::chrono::milliseconds wait,
            std::stop_token stop) override;
  void keep_alive() override;
  void acknowledge(const model::StreamPosition& position) override;
  std::vector<std::string> clean(const connector::CaptureScope& scope, std::stop_token stop) override;

 private:
  using Clock = std::chrono::steady_clock;

  void set_scope(const connector::CaptureScope& scope, std::stop_token stop);
  Connection& control(std::stop_token stop);
  Lsn log_end(std::stop_token stop);  // Where the server writes now.
  bool slot_is_ours() const { return settings_.slot_name.empty(); }
  model::StreamIdentity identity(std::stop_token stop);
  SlotFacts checked_slot(std::stop_token stop);
  void require_readable_text(std::stop_token stop);
  void require_log(Lsn resume, std::stop_token stop);
  void require_publications(std::stop_token stop);
  bool publications_are_ours() const;
  // The plugin that the task was prepared with.
  std::string_view noted_plugin() const;
  // Chooses the plugin of a slot of our own, and makes the publications that pgoutput needs.
  void choose_plugin(const connector::CaptureScope& scope, std::stop_token stop);
  void prepare_publications(const connector::CaptureScope& scope, std::stop_token stop);
  Lsn prepare_users_slot(const connector::CaptureScope& scope, std::stop_token stop);
  Lsn prepare_own_slot(const connector::CaptureScope& scope, std::stop_token stop);
  std::optional<SlotReader> own_reader() const;
  void release_own_reader(std::stop_token stop);

  // What comes next from the stream; throws what tells to start anew where the server fails over a piece.
  CopyRead read_stream(std::string_view& message, std::chrono::milliseconds wait, std::stop_token stop);
  void take_message(std::string_view message, model::ChangeBatch& batch, std::stop_token stop);
  void take_keepalive(std::string_view message);
  void send_status(bool even_if_not_due);
  // Follows tables that appear, go, or gain or lose what identifies their rows; called between transactions.
  void watch_tables_when_due(model::ChangeBatch& batch, std::stop_token stop);
  void watch_tables(model::ChangeBatch& batch, std::stop_token stop);
  // Whether the task does not have the table, although it wants it.
  bool is_unknown(const PublishedTable& table) const;
  // `is_new`: it was not there, or not published, when we looked last, or is unknown to the task.
  void take_listed(const PublishedTable& table, bool is_new, model::ChangeBatch& batch, std::stop_token stop);
  // Throws where a table of the task is no longer published.
  void require_published(const PublishedTable& table);
  // Whether the task has had the table published before.
  bool was_published(const PublishedTable& table) const;
  void note_unlogged(std::stop_token stop);
  // Whether the task could not publish the table when it began.
  bool was_unlogged(std::uint32_t oid) const;
  // Tells once that no updates and deletes of the table come any more.
  void tell_lost_identity(std::uint32_t oid, const model::TableName& name);

  // DDL by messages of the event trigger, and the heartbeat: capture_ddl.cc.
  void prepare_ddl_artifacts(std::stop_token stop);
  // Notes from where on the log tells of all DDL.
  void note_triggers(std::stop_token stop);
  void start_ddl(std::stop_token stop);
  std::vector<std::string> created_for_ddl() const;
  std::vector<std::string> clean_ddl(std::stop_token stop);
  void take_ddl(const LoggedMessage& logged, model::ChangeBatch& batch, std::stop_token stop);
  void take_shape(const DdlTable& table, model::ChangeBatch& batch, std::stop_token stop);
  void take_drop(const DdlDrop& drop, model::ChangeBatch& batch);
  // A message from before the table was published; its copy has what it says.
  bool is_in_copy(std::uint32_t oid, Lsn lsn) const;
  bool wants(const model::TableName& name) const;

  const Settings settings_;
  connector::TaskNotes& notes_;
  bool& ddl_prepared_;
  base::Clock& clock_;

  // Set by prepare(), verify() and clean().
  std::string task_name_;
  std::string application_name_;
  std::string slot_name_;
  PublicationNames publications_;
  std::string_view plugin_ = kPgoutput;  // Of the slot, once that is known.
  std::set<model::TableName> tables_;
  std::set<std::uint64_t> known_tables_;
  std::function<bool(const model::TableName&)> selects_;
  std::optional<Connection> control_;
  Clock::time_point control_used_;

  // The stream, from start() on.
  std::optional<Connection> stream_;
  ChangeWriter writer_;
  std::unique_ptr<ChangeDecoder> decoder_;
  bool in_pieces_ = false;  // Transactions in progress are asked for.
  Lsn received_{};          // How far the server has told us of its log.
  Clock::time_point heartbeat_due_;
  Clock::time_point status_due_;
  std::chrono::milliseconds status_interval_{10'000};
  std::atomic<std::uint64_t> acknowledged_{0};  // Written by acknowledge() on another thread.
  std::uint64_t reported_ = 0;                  // The acknowledgement that the server was last told.

  // What the last look at the catalog found.
  struct Dropped {
    model::TableVersionPtr table;
    Lsn noticed{};  // The log's end then: the table's last changes stand before it.
  };
  Clock::time_point watch_due_;
  bool watched_ = false;
  std::map<std::uint32_t, model::TableName> listed_;  // Tables in the stream by oid.
  std::set<std::uint32_t> refused_;                   // Those that may not be published, which has been told.
  std::set<std::uint32_t> without_identity_;          // Those of which that has been told.
  std::vector<Dropped> dropped_;                      // To be yielded when the stream has come that far.
  std::map<std::uint32_t, Lsn> published_at_;         // The log's end when a new table had been published.
  NewTables new_tables_;

  std::vector<model::TableVersionPtr> kept_shapes_;  // Until start().
  // From start() on.
  Lsn doubt_until_{};    // What the task has kept of its tables says less than the catalog from here on.
  std::string ddl_key_;  // Empty: no message about DDL is believed.
  DdlShapes ddl_shapes_;
  std::optional<SourceHeartbeat> heartbeat_;
};

}  // namespace ferry::postgres
