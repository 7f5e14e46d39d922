#include <algorithm>
#include <utility>
#include <variant>

#include "base/error.h"
#include "base/log.h"
#include "connectors/postgres/capture.h"
#include "connectors/postgres/ddl_artifacts.h"

// What the capture does with DDL that Ferry's event trigger tells it of, in the log's order: a shape is known
// from its place on, a new table is published at once, a table that was renamed or dropped is so before the
// next row. Where there is no trigger, or with pgoutput a server before 14, which leaves messages out, the
// same is learnt later: shapes and names with the next row, new and dropped tables by the watch.
namespace ferry::postgres {
namespace {

using model::ChangeBatch;
using model::ChangeKind;

constexpr std::string_view kNoteArtifacts = "postgres.ddl_artifacts";
constexpr std::string_view kNoteHeartbeat = "postgres.heartbeat";
// The first server whose pgoutput sends messages.
constexpr int kMessagesMajor = 14;
// Of all transactions that are read in pieces; some hundred bytes each.
constexpr std::size_t kEffectsMax = 100'000;

}  // namespace

void PostgresCapture::prepare_ddl_artifacts(std::stop_token stop) {
  if (!settings_.capture_ddls) return;
  std::string before = notes_.get(kNoteArtifacts).value_or("");
  // Noted before: a crash in between must not leave them behind for ever.
  notes_.set(kNoteArtifacts, settings_.ddl_artifacts_schema);
  auto schema = make_ddl_artifacts(control(stop), settings_.ddl_artifacts_schema, stop);
  notes_.set(kNoteArtifacts, schema.value_or(before));
  ddl_prepared_ = true;
}

void PostgresCapture::start_ddl(std::stop_token stop) {
  ddl_key_ = settings_.capture_ddls ? ddl_message_key(control(stop), stop) : std::string();
  if (!ddl_key_.empty() && (plugin_ != kPgoutput || control(stop).server_major() >= kMessagesMajor)) {
    base::log_info(base::kSourceCapture, "DDL is followed by the messages of the event trigger");
  }
  if (!settings_.heartbeat_enable) return;
  notes_.set(kNoteHeartbeat, settings_.heartbeat_schema);
  heartbeat_.emplace(settings_.heartbeat_schema, settings_.heartbeat_frequency, clock_);
}

std::vector<std::string> PostgresCapture::created_for_ddl() const {
  std::string schema = notes_.get(kNoteArtifacts).value_or("");
  return schema.empty() ? std::vector<std::string>() : ddl_artifact_names(schema);
}

std::vector<std::string> PostgresCapture::clean_ddl(std::stop_token stop) {
  std::string artifacts = notes_.get(kNoteArtifacts).value_or("");
  std::string heartbeat = notes_.get(kNoteHeartbeat).value_or("");
  std::vector<std::string> removed;
  if (artifacts.empty() && heartbeat.empty()) return removed;
  if (other_task_exists(control(stop), slot_name_, publications_.full, stop)) {
    base::log_warning(
        base::kSourceCapture,
        "the objects of CaptureDdls and HeartbeatEnable stay: another of Ferry's tasks is in this "
        "database");
    return removed;
  }
  try {
    if (!artifacts.empty()) removed = drop_ddl_artifacts(control(stop), artifacts, stop);
    if (!heartbeat.empty()) {
      for (std::string& line : drop_heartbeat(control(stop), heartbeat, stop))
        removed.push_back(std::move(line));
    }
  } catch (const base::Error& error) {
    // They are of a task with another user.
    if (error.kind() != base::ErrorKind::kSourcePrivilege) throw;
    control_.reset();
    base::log_warning(base::kSourceCapture, "the objects of CaptureDdls stay: {}", error.message());
    return removed;
  }
  notes_.set(kNoteArtifacts, "");
  notes_.set(kNoteHeartbeat, "");
  return removed;
}

// In a transaction that is read in pieces a message is yielded in its place, as part of its subtransaction,
// which takes it away when it is rolled back. All else waits for the commit: the catalog does not show it
// before, and a rollback must leave no trace.
void PostgresCapture::take_ddl(const LoggedMessage& logged, ChangeBatch& batch, std::stop_token stop) {
  if (!logged.transactional || logged.prefix != kDdlMessagePrefix) return;
  auto message = parse_ddl_message(logged.content, ddl_key_);
  if (!message) return;
  DdlEffect effect{.subtransaction = logged.subtransaction, .lsn = logged.lsn};
  if (const auto* drop = std::get_if<DdlDrop>(&*message)) {
    add_drop(logged, *drop, batch);
    effect.oid = drop->oid;
    effect.name = drop->name;
    effect.is_drop = true;
  } else {
    const auto& table = std::get<DdlTable>(*message);
    if (is_in_copy(table.oid, logged.lsn)) return;
    add_shape(logged, table, batch, stop);
    effect.oid = table.oid;
    effect.name = table.name;
  }
  if (logged.piece_of == 0) return take_effect(effect, batch, stop);
  // What is not held is found by the watch, later.
  if (ddl_effects_held_ == kEffectsMax) return;
  ++ddl_effects_held_;
  ddl_effects_[logged.piece_of].push_back(std::move(effect));
}

void PostgresCapture::add_shape(const LoggedMessage& logged, const DdlTable& table, ChangeBatch& batch,
                                std::stop_token stop) {
  auto listed = listed_.find(table.oid);
  bool is_published = listed != listed_.end() && plugin_ == kPgoutput;
  bool is_wanted = listed != listed_.end() && (wants(listed->second) || wants(table.name));
  bool in_stream =
      writer_.last_shape(table.oid) || known_tables_.contains(table.oid) || is_published || is_wanted;
  // One that is new, or gone by now: its rows may come all the same.
  if (!in_stream && !wants(table.name)) return;
  model::TableVersionPtr version =
      ddl_shapes_.take(table, logged.piece_of, logged.subtransaction, control(stop), stop);
  if (in_stream) writer_.add_table_change(ChangeKind::kSchemaChange, logged.subtransaction, version, batch);
}

void PostgresCapture::add_drop(const LoggedMessage& logged, const DdlDrop& drop, ChangeBatch& batch) {
  model::TableVersionPtr table = writer_.last_shape(drop.oid);
  bool is_seen = std::ranges::any_of(
      dropped_, [&](const Dropped& seen) { return seen.table->source_table == drop.oid; });
  if (!table && !listed_.contains(drop.oid) && !wants(drop.name) && !is_seen) return;
  if (!table) {
    auto version = std::make_shared<model::TableVersion>();
    version->name = drop.name;
    version->source_table = drop.oid;
    table = std::move(version);
  }
  writer_.add_table_change(ChangeKind::kDrop, logged.subtransaction, table, batch);
}

void PostgresCapture::settle_ddl(std::uint32_t xid, ChangeBatch& batch, std::stop_token stop) {
  ddl_shapes_.commit(xid);
  auto effects = ddl_effects_.extract(xid);
  if (effects.empty()) return;
  ddl_effects_held_ -= effects.mapped().size();
  for (const DdlEffect& effect : effects.mapped()) take_effect(effect, batch, stop);
}

void PostgresCapture::forget_ddl(std::uint32_t xid, std::uint32_t subxid) {
  ddl_shapes_.roll_back(xid, subxid);
  auto effects = ddl_effects_.find(xid);
  if (effects == ddl_effects_.end()) return;
  ddl_effects_held_ -= std::erase_if(effects->second, [&](const DdlEffect& effect) {
    return subxid == xid || effect.subtransaction == subxid;
  });
  if (effects->second.empty()) ddl_effects_.erase(effects);
}

void PostgresCapture::take_effect(const DdlEffect& effect, ChangeBatch& batch, std::stop_token stop) {
  if (effect.is_drop) {
    // The watch may have seen it before the stream came here.
    std::erase_if(dropped_, [&](const Dropped& seen) { return seen.table->source_table == effect.oid; });
    listed_.erase(effect.oid);
    published_at_.erase(effect.oid);
    ddl_shapes_.forget(effect.oid);
    return;
  }
  if (is_in_copy(effect.oid, effect.lsn)) return;
  if (auto listed = listed_.find(effect.oid); listed != listed_.end()) {
    listed->second = effect.name;
    return;
  }
  const PublicationNames& names = plugin_ == kPgoutput ? publications_ : PublicationNames();
  if (auto found = find_published(control(stop), names, effect.oid, stop)) {
    bool is_new = plugin_ != kPgoutput || found->in == PublishedTable::In::kNeither;
    take_listed(*found, is_new, batch, stop);
  }
}

bool PostgresCapture::is_in_copy(std::uint32_t oid, Lsn lsn) const {
  auto published = published_at_.find(oid);
  return published != published_at_.end() && lsn < published->second;
}

bool PostgresCapture::is_unknown(const PublishedTable& table) const {
  if (!wants(table.name)) return false;
  return known_tables_.empty() ? !tables_.contains(table.name) : !known_tables_.contains(table.oid);
}

bool PostgresCapture::wants(const model::TableName& name) const {
  return !name.table.starts_with("awsdms_") && (tables_.contains(name) || (selects_ && selects_(name)));
}

}  // namespace ferry::postgres
