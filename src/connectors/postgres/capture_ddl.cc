#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <string>
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
// "16410,16411 0/1A2B3C8": the event triggers by number, and from where on they tell of DDL.
constexpr std::string_view kNoteTriggers = "postgres.ddl_told_since";
// The first server whose pgoutput sends messages.
constexpr int kMessagesMajor = 14;

}  // namespace

void PostgresCapture::prepare_ddl_artifacts(std::stop_token stop) {
  if (!settings_.capture_ddls) {
    if (settings_.plugin != Plugin::kTestDecoding)
      base::log_warning(base::kSourceCapture, "DDL is not captured, as CaptureDdls is false. {}",
                        kWithoutTrigger);
    ddl_prepared_ = true;
    return;
  }
  std::string before = notes_.get(kNoteArtifacts).value_or("");
  // Noted before: a crash in between must not leave them behind for ever.
  notes_.set(kNoteArtifacts, settings_.ddl_artifacts_schema);
  auto schema = make_ddl_artifacts(control(stop), settings_.ddl_artifacts_schema, stop);
  notes_.set(kNoteArtifacts, schema.value_or(before));
  ddl_prepared_ = true;
  note_triggers(stop);
}

// Others made anew do not tell what happened before them.
void PostgresCapture::note_triggers(std::stop_token stop) {
  std::string triggers = ddl_trigger_numbers(control(stop), stop);
  std::istringstream noted(notes_.get(kNoteTriggers).value_or(""));
  std::string before;
  noted >> before;
  if (before == triggers) return;
  notes_.set(kNoteTriggers,
             triggers.empty() ? std::string() : fmt::format("{} {}", triggers, to_string(log_end(stop))));
}

void PostgresCapture::start_ddl(std::stop_token stop) {
  ddl_key_ = settings_.capture_ddls ? ddl_message_key(control(stop), stop) : std::string();
  bool is_told =
      !ddl_key_.empty() && (plugin_ != kPgoutput || control(stop).server_major() >= kMessagesMajor);
  if (is_told) base::log_info(base::kSourceCapture, "DDL is followed by the messages of the event trigger");
  if (!is_told) notes_.set(kNoteTriggers, "");
  std::istringstream noted(notes_.get(kNoteTriggers).value_or(""));
  std::string triggers;
  std::string since;
  is_told = noted >> triggers >> since && triggers == ddl_trigger_numbers(control(stop), stop) &&
            parse_lsn(since).value_or(Lsn{UINT64_MAX}) <= received_;
  ddl_shapes_.start(std::exchange(kept_shapes_, {}),
                    is_told ? DdlShapes::Told::kAll : DdlShapes::Told::kNotAll);
  doubt_until_ = log_end(stop);
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
  TaskTraces own{.slot = slot_name_, .publication = publications_.full, .reader = own_reader()};
  if (auto other = find_other_task(control(stop), own, stop)) {
    base::log_warning(
        base::kSourceCapture,
        "the objects of CaptureDdls and HeartbeatEnable stay, because another of Ferry's tasks may be "
        "in this database: it has {}",
        *other);
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

void PostgresCapture::take_ddl(const LoggedMessage& logged, ChangeBatch& batch, std::stop_token stop) {
  if (!logged.transactional || logged.prefix != kDdlMessagePrefix) return;
  auto message = parse_ddl_message(logged.content, ddl_key_);
  if (!message) return;
  if (const auto* drop = std::get_if<DdlDrop>(&*message)) return take_drop(*drop, batch);
  const auto& table = std::get<DdlTable>(*message);
  if (!is_in_copy(table.oid, logged.lsn)) take_shape(table, batch, stop);
}

void PostgresCapture::take_shape(const DdlTable& table, ChangeBatch& batch, std::stop_token stop) {
  auto listed = listed_.find(table.oid);
  bool is_listed = listed != listed_.end();
  bool in_stream = writer_.last_shape(table.oid) || known_tables_.contains(table.oid) ||
                   (is_listed && (plugin_ == kPgoutput || wants(listed->second) || wants(table.name)));
  // Of one that is new, or gone by now, rows may come all the same.
  if (in_stream || wants(table.name)) {
    model::TableVersionPtr before = writer_.last_shape(table.oid);
    model::TableVersionPtr version = ddl_shapes_.take(table, stop);
    bool loses_identity = before && before->identity != model::RowIdentity::kNone;
    loses_identity = loses_identity && version->identity == model::RowIdentity::kNone;
    if (loses_identity && plugin_ == kPgoutput) tell_lost_identity(table.oid, table.name);
    if (version->identity != model::RowIdentity::kNone) without_identity_.erase(table.oid);
    if (in_stream) writer_.add_table_change(ChangeKind::kSchemaChange, 0, version, batch);
  }
  if (is_listed) {
    listed->second = table.name;
    return;
  }
  const PublicationNames& names = plugin_ == kPgoutput ? publications_ : PublicationNames();
  if (auto found = find_published(control(stop), names, table.oid, stop)) {
    require_published(*found);
    bool is_new = plugin_ != kPgoutput || found->in == PublishedTable::In::kNeither;
    take_listed(*found, is_new, batch, stop);
  }
}

void PostgresCapture::take_drop(const DdlDrop& drop, ChangeBatch& batch) {
  model::TableVersionPtr table = writer_.last_shape(drop.oid);
  // The watch may have seen it before the stream came here.
  bool is_seen =
      std::erase_if(dropped_, [&](const Dropped& seen) { return seen.table->source_table == drop.oid; }) > 0;
  bool is_kept = ddl_shapes_.version(drop.oid) != nullptr;
  if (!table && !listed_.contains(drop.oid) && !wants(drop.name) && !is_seen && !is_kept) return;
  if (!table) {
    auto version = std::make_shared<model::TableVersion>();
    version->name = drop.name;
    version->source_table = drop.oid;
    table = std::move(version);
  }
  writer_.add_table_change(ChangeKind::kDrop, 0, table, batch);
  listed_.erase(drop.oid);
  published_at_.erase(drop.oid);
  ddl_shapes_.forget(drop.oid);
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
