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

#include "connector/source.h"
#include "connectors/postgres/change_decoder.h"
#include "connectors/postgres/change_writer.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/position.h"
#include "connectors/postgres/publications.h"
#include "connectors/postgres/settings.h"
#include "connectors/postgres/slot.h"

namespace ferry::postgres {

// Ongoing changes by a replication slot. One walsender connection for the stream, and a control connection
// for everything else, opened when it is needed. Threads as connector::SourceCapture says.
class PostgresCapture final : public connector::SourceCapture {
 public:
  PostgresCapture(Settings settings, connector::TaskNotes& notes)
      : settings_(std::move(settings)), notes_(notes) {}

  connector::CaptureStart prepare(const connector::CaptureScope& scope, std::stop_token stop) override;
  void verify(const connector::CaptureScope& scope, const model::Checkpoint& checkpoint,
              std::stop_token stop) override;
  model::StreamPosition current_position(std::stop_token stop) override;
  std::int64_t log_bytes_since(const model::StreamPosition& from, std::stop_token stop) override;
  std::vector<std::string> created() const override;
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
  bool slot_is_ours() const { return settings_.slot_name.empty(); }
  model::StreamIdentity identity(std::stop_token stop);
  SlotFacts checked_slot(std::stop_token stop);
  bool publications_are_ours() const;
  // The plugin that the task was prepared with.
  std::string_view noted_plugin() const;
  // Chooses the plugin of a slot of our own, and makes the publications that pgoutput needs.
  void choose_plugin(const connector::CaptureScope& scope, std::stop_token stop);
  void prepare_publications(const connector::CaptureScope& scope, std::stop_token stop);
  Lsn prepare_users_slot(const connector::CaptureScope& scope, std::stop_token stop);
  Lsn prepare_own_slot(const connector::CaptureScope& scope, std::stop_token stop);
  std::optional<SlotReader> own_reader() const;

  void take_message(std::string_view message, model::ChangeBatch& batch, std::stop_token stop);
  void take_keepalive(std::string_view message);
  bool is_wanted(const model::TableName& table) const;
  void send_status(bool even_if_not_due);
  // Follows tables that appear, go, or gain or lose what identifies their rows; called between transactions.
  void watch_tables_when_due(model::ChangeBatch& batch, std::stop_token stop);
  void watch_tables(model::ChangeBatch& batch, std::stop_token stop);
  // `is_new`: it was not there, or not published, when we looked last.
  void take_listed(const PublishedTable& table, bool is_new, model::ChangeBatch& batch, std::stop_token stop);

  const Settings settings_;
  connector::TaskNotes& notes_;

  // Set by prepare(), verify() and clean().
  std::string task_name_;
  std::string application_name_;
  std::string slot_name_;
  PublicationNames publications_;
  std::string_view plugin_ = kPgoutput;  // Of the slot, once that is known.
  std::set<model::TableName> tables_;
  std::function<bool(const model::TableName&)> selects_;
  std::optional<Connection> control_;
  Clock::time_point control_used_;

  // The stream, from start() on.
  std::optional<Connection> stream_;
  ChangeWriter writer_;
  std::unique_ptr<ChangeDecoder> decoder_;
  Lsn received_{};  // How far the server has told us of its log.
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
  std::vector<Dropped> dropped_;                      // To be yielded when the stream has come that far.
};

}  // namespace ferry::postgres
