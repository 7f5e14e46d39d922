#include "connectors/postgres/capture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <span>
#include <utility>
#include <variant>

#include "base/bytes.h"
#include "base/error.h"
#include "base/log.h"

// The order of prepare() is what loses nothing: publications first and committed, because decoding looks them
// up as they were at each place in the log; then the slot, whose creation waits for every open transaction,
// so that each one either ended before it (and is in every later snapshot) or is sent whole. It is
// deterministic in its names, so that what a crash leaves half-made is found and made anew.
namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;
using connector::CaptureScope;
using connector::CaptureStart;
using model::CellState;
using model::ChangeBatch;
using model::ChangeKind;
using model::StreamIdentity;
using model::StreamPosition;
using pgoutput::OldTuple;
using pgoutput::Value;
using pgoutput::ValueKind;
using std::chrono::milliseconds;
using Images = ChangeBatch::Images;

// The names under which the task's notes keep what a restart must know.
constexpr std::string_view kNotePublications = "postgres.publications_created";
constexpr std::string_view kNoteReader = "postgres.walsender";

constexpr milliseconds kStatusIntervalMax{10'000};
constexpr milliseconds kHeartbeatInterval{1'000};
constexpr milliseconds kWaitStep{200};
// How often the catalog is asked for tables that came, went or changed their identity.
constexpr milliseconds kWatchInterval{5'000};
// A control connection that has been idle for longer may have been cut by something in between.
constexpr std::chrono::seconds kControlIdleMax{30};
constexpr int kIdentifierLengthMax = 63;

// PostgreSQL counts microseconds from 2000-01-01.
constexpr std::int64_t kServerEpochMicros = 946'684'800'000'000;

Error slot_lost(std::string message, std::string remedy) {
  return Error(ErrorKind::kSourceSlotLost, {.message = std::move(message), .remedy = std::move(remedy)});
}

std::string nonce() {
  std::random_device random;
  return fmt::format("{:08x}", random());
}

std::int64_t server_micros_now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
             .count() -
         kServerEpochMicros;
}

// Adds one image: a cell for each column of the table. `whole_old` holds the values that an unchanged TOAST
// value of a new row is taken from, where the log has them.
void add_image(const StreamTable& table, std::span<const Value> values, OldTuple old,
               std::span<const Value> whole_old, ChangeBatch& batch, std::string& scratch) {
  if (values.size() != table.row_size) {
    throw Error(ErrorKind::kSourceProtocol,
                fmt::format("a row of {} has {} values, where {} are expected",
                            to_string(table.version->name), values.size(), table.row_size));
  }
  for (const StreamTable::Column& column : table.columns) {
    if (column.place < 0 || (old == OldTuple::kKey && !column.in_identity)) {
      batch.add_cell(CellState::kNotSent, {});
      continue;
    }
    auto place = static_cast<std::size_t>(column.place);
    const Value& value =
        values[place].kind == ValueKind::kUnchanged && !whole_old.empty() ? whole_old[place] : values[place];
    switch (value.kind) {
      case ValueKind::kNull: batch.add_cell(CellState::kNull, {}); break;
      case ValueKind::kUnchanged: batch.add_cell(CellState::kNotSent, {}); break;
      case ValueKind::kText: {
        TextValue read = column.read(column.codec, value.bytes, scratch);
        batch.add_cell(read.state, read.bytes);
        break;
      }
      case ValueKind::kBinary:
        throw Error(ErrorKind::kSourceProtocol, "the stream holds binary values, which were not asked for");
    }
  }
}

}  // namespace

// --- Before the stream
// -----------------------------------------------------------------------------------------

Connection& PostgresCapture::control(std::stop_token stop) {
  auto now = Clock::now();
  if (control_ && now - control_used_ > kControlIdleMax) control_.reset();
  if (!control_)
    control_.emplace(settings_, ConnectionPurpose::kOrdinary, application_name_ + "-control", stop);
  control_used_ = now;
  return *control_;
}

Lsn PostgresCapture::log_end(std::stop_token stop) {
  Result end = control(stop).run("SELECT pg_current_wal_insert_lsn()", "ask for the log's end", stop);
  return parse_lsn(end.text(0, 0)).value_or(Lsn{0});
}

void PostgresCapture::set_scope(const CaptureScope& scope, std::stop_token stop) {
  if (settings_.plugin == Plugin::kTestDecoding) {
    throw Error(ErrorKind::kUnsupported,
                Error::Parts{.message = "the plugin test_decoding is not supported",
                             .remedy = "Leave PluginName out: Ferry reads pgoutput."});
  }
  task_name_ = scope.task_name;
  application_name_ = "ferry-" + scope.task_name;
  publications_ = publication_names(scope.task_name);
  tables_ = {scope.tables.begin(), scope.tables.end()};
  selects_ = scope.selects;
  if (!slot_is_ours()) {
    slot_name_ = settings_.slot_name;
    return;
  }
  auto oid =
      control(stop)
          .run("SELECT oid FROM pg_database WHERE datname = current_database()", "ask for the database", stop)
          .integer(0, 0);
  slot_name_ = fmt::format("ferry_{}_{}", scope.task_name, oid);
  if (slot_name_.size() > kIdentifierLengthMax)
    throw Error(ErrorKind::kInternal, "the task's name is too long for a slot");
}

std::optional<SlotReader> PostgresCapture::own_reader() const {
  auto note = notes_.get(kNoteReader);
  return note ? SlotReader::parse(*note) : std::nullopt;
}

StreamIdentity PostgresCapture::identity(std::stop_token stop) {
  Connection walsender(settings_, ConnectionPurpose::kReplication, application_name_ + "-identity", stop);
  Result system = walsender.run("IDENTIFY_SYSTEM", "ask for the server's identity", stop);
  auto oid =
      control(stop)
          .run("SELECT oid FROM pg_database WHERE datname = current_database()", "ask for the database", stop)
          .integer(0, 0);
  return {fmt::format("postgresql system {} timeline {} database {} (oid {})", system.text(0, 0),
                      system.text(0, 1), settings_.database, oid)};
}

// The slot as it is. Throws where it is missing or cannot be read by us.
SlotFacts PostgresCapture::checked_slot(std::stop_token stop) {
  auto slot = find_slot(control(stop), slot_name_, stop);
  if (!slot) {
    throw slot_lost(fmt::format("the source has no replication slot {}", slot_name_),
                    slot_is_ours() ? "Reload the task: changes since it stopped are lost."
                                   : "Make the slot, or correct SlotName.");
  }
  if (slot->plugin != kPgoutput) {
    throw Error(
        ErrorKind::kSourceConfiguration,
        {.message = fmt::format("the replication slot {} uses the plugin {}", slot_name_, slot->plugin),
         .remedy = "Use a slot made with the plugin pgoutput."});
  }
  if (slot->database != settings_.database) {
    throw slot_lost(
        fmt::format("the replication slot {} belongs to the database {}", slot_name_, slot->database),
        "Correct SlotName or DatabaseName.");
  }
  if (!slot->lost_because.empty()) {
    throw slot_lost(
        fmt::format("the server has invalidated the replication slot {}: {}", slot_name_, slot->lost_because),
        "Reload the task, and raise max_slot_wal_keep_size on the server.");
  }
  return *slot;
}

bool PostgresCapture::publications_are_ours() const {
  return notes_.get(kNotePublications) == publications_.full;
}

// Those that stand there without a note of ours are somebody else's, and stay.
void PostgresCapture::prepare_publications(const CaptureScope& scope, std::stop_token stop) {
  Connection& connection = control(stop);
  if (!publications_are_ours() && publications_exist(connection, publications_, stop)) {
    complete_publications(connection, publications_, scope.tables, stop);
    return;
  }
  // Noted before: a crash in between must not make them somebody else's.
  notes_.set(kNotePublications, publications_.full);
  try {
    make_publications(connection, publications_, scope.tables, stop);
  } catch (const Error& error) {
    if (error.vendor_code() == sqlstate::kInsufficientPrivilege) notes_.set(kNotePublications, "");
    throw;
  }
}

Lsn PostgresCapture::prepare_users_slot(const CaptureScope& scope, std::stop_token stop) {
  SlotFacts slot = checked_slot(stop);
  release_slot(control(stop), slot_name_, own_reader(), stop);
  prepare_ddl_artifacts(stop);
  Lsn from = slot.confirmed_flush;
  if (!scope.start_position.empty()) from = parse_start_position(scope.start_position);
  if (from < slot.confirmed_flush) {
    throw slot_lost(
        fmt::format("the start position {} is older than what the replication slot {} still has ({})",
                    to_string(from), slot_name_, to_string(slot.confirmed_flush)),
        "Start at that position or later.");
  }
  // Decoding looks the publications up as of each place in the log. So they must have been there at the
  // start; those made now can serve a start from now on.
  if (!publications_exist(control(stop), publications_, stop)) {
    prepare_publications(scope, stop);
    Lsn made = log_end(stop);
    if (!scope.start_position.empty() && from < made) {
      throw slot_lost(
          fmt::format("the log from {} on was written before the publications of this task were made at {}",
                      to_string(from), to_string(made)),
          "Start at that position or later, or let Ferry make the slot.");
    }
    from = std::max(from, made);
  }
  return from;
}

Lsn PostgresCapture::prepare_own_slot(const CaptureScope& scope, std::stop_token stop) {
  if (!scope.start_position.empty()) {
    parse_start_position(scope.start_position);
    throw Error(
        ErrorKind::kSettingConflict,
        {.message =
             "a PostgreSQL source cannot start at a position without a replication slot that kept the log "
             "from there on",
         .remedy =
             fmt::format("Name that slot in the endpoint's SlotName, or leave the start position ({}) out.",
                         scope.start_position)});
  }
  Connection& connection = control(stop);
  if (find_slot(connection, slot_name_, stop)) {
    release_slot(connection, slot_name_, own_reader(), stop);
    drop_slot(connection, slot_name_, stop);
  }
  prepare_ddl_artifacts(stop);
  prepare_publications(scope, stop);
  std::string application = fmt::format("{}-{}", application_name_, nonce());
  return create_slot(
      settings_, connection,
      {.name = slot_name_,
       .plugin = kPgoutput,
       .application_name = std::move(application),
       .transaction_timeout = scope.transaction_consistency_timeout,
       .connected = [this](const SlotReader& reader) { notes_.set(kNoteReader, reader.to_text()); }},
      stop);
}

CaptureStart PostgresCapture::prepare(const CaptureScope& scope, std::stop_token stop) {
  set_scope(scope, stop);
  StreamIdentity now = identity(stop);
  Lsn from = slot_is_ours() ? prepare_own_slot(scope, stop) : prepare_users_slot(scope, stop);
  return {.identity = std::move(now), .position = position_of(from)};
}

void PostgresCapture::verify(const CaptureScope& scope, const model::Checkpoint& checkpoint,
                             std::stop_token stop) {
  set_scope(scope, stop);
  StreamIdentity now = identity(stop);
  if (now != checkpoint.identity) {
    throw Error(
        ErrorKind::kSourceIdentity,
        {.message = fmt::format("the source is '{}', but the checkpoint was taken on '{}'", now.text,
                                checkpoint.identity.text),
         .remedy = "Point the endpoint at the server that the task was started on, or reload the task."});
  }
  SlotFacts slot = checked_slot(stop);
  Lsn resume = lsn_of(checkpoint.resume_position);
  if (slot.confirmed_flush > resume) {
    throw slot_lost(fmt::format("the replication slot {} has been moved on to {}, past the checkpoint at {}",
                                slot_name_, to_string(slot.confirmed_flush), to_string(resume)),
                    "Reload the task: another reader has taken its changes.");
  }
  if (!publications_exist(control(stop), publications_, stop)) {
    throw slot_lost(
        fmt::format("the publications {} and {} are gone", publications_.full, publications_.inserts),
        "Reload the task: the server cannot decode the log without them.");
  }
  // They may have been impossible before, or not wanted.
  prepare_ddl_artifacts(stop);
}

StreamPosition PostgresCapture::current_position(std::stop_token stop) {
  // The WAL sender sends what is flushed, and a commit returns when it is.
  Result end = control(stop).run(
      "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() "
      "END",
      "ask for the log's end", stop);
  return position_of(parse_lsn(end.text(0, 0)).value_or(Lsn{0}));
}

std::vector<std::string> PostgresCapture::created() const {
  std::vector<std::string> lines;
  if (slot_is_ours() && !slot_name_.empty()) lines.push_back("replication slot " + slot_name_);
  if (publications_are_ours()) {
    lines.push_back("publication " + publications_.full);
    lines.push_back("publication " + publications_.inserts);
  }
  for (std::string& line : created_for_ddl()) lines.push_back(std::move(line));
  return lines;
}

std::vector<std::string> PostgresCapture::clean(const CaptureScope& scope, std::stop_token stop) {
  stream_.reset();
  set_scope(scope, stop);
  std::vector<std::string> removed;
  // The slot first: no log may be decoded any more when the publications go.
  if (slot_is_ours() && find_slot(control(stop), slot_name_, stop)) {
    release_slot(control(stop), slot_name_, own_reader(), stop);
    if (drop_slot(control(stop), slot_name_, stop)) removed.push_back("replication slot " + slot_name_);
  }
  if (publications_are_ours()) {
    for (const std::string& name : drop_publications(control(stop), publications_, stop)) {
      removed.push_back("publication " + name);
    }
  }
  for (std::string& line : clean_ddl(stop)) removed.push_back(std::move(line));
  return removed;
}

// --- The stream
// ------------------------------------------------------------------------------------------------

void PostgresCapture::start(const StreamPosition& from, std::stop_token stop) {
  from_ = lsn_of(from);
  received_ = idle_through_ = yielded_through_ = from_;
  acknowledged_ = number_of(from_);
  release_slot(control(stop), slot_name_, own_reader(), stop);

  std::string application = fmt::format("{}-{}", application_name_, nonce());
  stream_.emplace(settings_, ConnectionPurpose::kReplication, application, stop);
  // Noted before the slot is taken: whoever starts after a crash of this process knows its connection again.
  notes_.set(kNoteReader,
             SlotReader{.pid = stream_->backend_pid(), .application_name = application}.to_text());

  std::int64_t timeout_ms = control(stop)
                                .run("SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'",
                                     "read the server's settings", stop)
                                .integer(0, 0);
  status_interval_ =
      timeout_ms > 0 ? std::min(kStatusIntervalMax, milliseconds(timeout_ms / 3)) : kStatusIntervalMax;
  std::string options =
      fmt::format("proto_version '1', publication_names '{},{}'", quote_identifier(publications_.full),
                  quote_identifier(publications_.inserts));
  if (stream_->server_major() >= 14) options += ", messages 'true'";
  stream_->start_copy({.sql = fmt::format("START_REPLICATION SLOT {} LOGICAL {} ({})",
                                          quote_identifier(slot_name_), to_string(from_), options),
                       .doing = fmt::format("read the replication slot {}", slot_name_)},
                      stop);
  published_at_ = new_tables_.start(from_);
  start_ddl(stop);
  auto now = Clock::now();
  status_due_ = now;
  watch_due_ = now;
  heartbeat_due_ = now + kHeartbeatInterval;
}

void PostgresCapture::next(ChangeBatch& batch, std::size_t bytes_max, milliseconds wait,
                           std::stop_token stop) {
  auto started = Clock::now();
  auto deadline = started + wait;
  // Under load the stream never pauses, so what is due by the clock is looked at here too.
  if (started >= watch_due_ && transaction_ == 0) watch_tables(batch, stop);
  if (heartbeat_ && heartbeat_->due()) heartbeat_->beat(control(stop), stop);
  while (batch.bytes() < bytes_max) {
    std::string_view message;
    CopyRead read = stream_->read_copy(message, milliseconds(0), batch.empty() ? stop : std::stop_token());
    if (read == CopyRead::kNothing) {
      // A pause is the time to say what has been made durable: the server keeps less log.
      send_status(/*even_if_not_due=*/acknowledged_.load() > reported_);
      auto now = Clock::now();
      if (now >= watch_due_ && transaction_ == 0) watch_tables(batch, stop);
      if (now >= heartbeat_due_) add_heartbeat(batch);
      if (!batch.empty() || now >= deadline) return;
      auto left = std::chrono::ceil<milliseconds>(deadline - now);
      read = stream_->read_copy(message, std::min(left, kWaitStep), stop);
    }
    if (read == CopyRead::kNothing) continue;
    if (read == CopyRead::kEnd) {
      throw Error(ErrorKind::kSourceConnectionLost, "the server has ended the stream of changes");
    }
    take_message(message, batch, stop);
  }
  send_status(/*even_if_not_due=*/false);
}

void PostgresCapture::keep_alive() {
  // The last call before the end of a stream carries the last acknowledgement.
  send_status(/*even_if_not_due=*/acknowledged_.load() > reported_);
}

void PostgresCapture::acknowledge(const StreamPosition& position) {
  std::uint64_t lsn = number_of(lsn_of(position));
  std::uint64_t before = acknowledged_.load();
  while (before < lsn && !acknowledged_.compare_exchange_weak(before, lsn)) {
  }
}

// Standby status update: PostgreSQL manual, 55.4 "Streaming Replication Protocol". Only what is acknowledged
// is said to be flushed; what is merely received is said to be written, which frees nothing on the server.
void PostgresCapture::send_status(bool even_if_not_due) {
  auto now = Clock::now();
  if (!even_if_not_due && now < status_due_) return;
  status_due_ = now + status_interval_;
  std::uint64_t flushed = acknowledged_.load();
  reported_ = flushed;
  std::string status(1, 'r');
  base::append_big_endian(status, std::max(number_of(received_), flushed));
  base::append_big_endian(status, flushed);
  base::append_big_endian(status, flushed);
  base::append_big_endian(status, server_micros_now());
  status.push_back(0);  // No reply asked for.
  stream_->write_copy(status);
}

void PostgresCapture::take_message(std::string_view message, ChangeBatch& batch, std::stop_token stop) {
  constexpr std::size_t kDataHead = 1 + 8 + 8 + 8;  // Kind, start, end, time.
  if (message.front() == 'k') return take_keepalive(message);
  if (message.front() != 'w' || message.size() < kDataHead) {
    throw Error(ErrorKind::kSourceProtocol, "the stream has a message of an unknown form");
  }
  received_ = std::max(received_, Lsn{base::load_big_endian<std::uint64_t>(message.data() + 1)});
  take_event(message.substr(kDataHead), batch, stop);
}

void PostgresCapture::take_keepalive(std::string_view message) {
  constexpr std::size_t kSize = 1 + 8 + 8 + 1;  // Kind, end, time, whether to reply at once.
  if (message.size() != kSize) throw Error(ErrorKind::kSourceProtocol, "the stream has a broken keepalive");
  Lsn end{base::load_big_endian<std::uint64_t>(message.data() + 1)};
  received_ = std::max(received_, end);
  // Between transactions it says that the log up to `end` has nothing for us. A transaction that is still
  // open on the server commits after it, and will be sent.
  if (transaction_ == 0) idle_through_ = std::max(idle_through_, end);
  if (message.back() != 0) send_status(/*even_if_not_due=*/true);
}

void PostgresCapture::add_heartbeat(ChangeBatch& batch) {
  heartbeat_due_ = Clock::now() + kHeartbeatInterval;
  if (transaction_ != 0 || idle_through_ <= yielded_through_) return;
  yielded_through_ = idle_through_;
  batch.add_heartbeat(
      {.id = 0, .commit_position = {}, .resume_position = position_of(idle_through_), .commit_time = 0});
}

void PostgresCapture::begin_transaction(ChangeBatch& batch) {
  if (std::exchange(begun_, true)) return;
  batch.add_begin(transaction_);
}

StreamTable& PostgresCapture::changed_table(std::uint32_t oid, ChangeBatch& batch) {
  StreamTable& table = relations_.find(oid);
  begin_transaction(batch);
  if (!std::exchange(table.announced, true)) {
    batch.add_table_change(ChangeKind::kSchemaChange, transaction_, transaction_, table.version);
  }
  return table;
}

void PostgresCapture::take_commit(const pgoutput::Commit& commit, ChangeBatch& batch) {
  idle_through_ = std::max(idle_through_, commit.end_lsn);
  // Without changes for us it is no more than a heartbeat.
  if (begun_) {
    batch.add_commit(transaction_, {.id = transaction_,
                                    .commit_position = position_of(commit.commit_lsn),
                                    .resume_position = position_of(commit.end_lsn),
                                    .commit_time = commit.commit_time + kServerEpochMicros});
    yielded_through_ = std::max(yielded_through_, commit.end_lsn);
  }
  transaction_ = 0;
  begun_ = false;
  skipping_ = false;
}

// A publication lists its tables, so a table that belongs to the scope and is new must be added to it, and
// one whose key went must leave the list that publishes updates, or its user's updates fail. The stream says
// neither.
void PostgresCapture::watch_tables(ChangeBatch& batch, std::stop_token stop) {
  watch_due_ = Clock::now() + kWatchInterval;
  std::map<std::uint32_t, model::TableName> before = std::exchange(listed_, {});
  for (const PublishedTable& table : list_published(control(stop), publications_, stop)) {
    take_listed(table, batch, stop);
    before.erase(table.oid);
  }
  new_tables_.settle(Lsn{acknowledged_.load()});
  if (!before.empty()) {
    Lsn end = log_end(stop);
    for (auto& [oid, name] : before) {
      auto version = std::make_shared<model::TableVersion>();
      version->name = std::move(name);
      version->source_table = oid;
      dropped_.push_back({.table = std::move(version), .noticed = end});
    }
  }
  std::erase_if(dropped_, [&](const Dropped& drop) {
    if (drop.noticed > idle_through_) return false;
    batch.add_table_change(ChangeKind::kDrop, 0, 0, drop.table);
    return true;
  });
}

void PostgresCapture::take_listed(const PublishedTable& table, ChangeBatch& batch, std::stop_token stop) {
  // A new table is said once. One that the watch found has no place in the log from where it would be said
  // again after a crash, so it is noted until a checkpoint is past it.
  bool is_new = table.in == PublishedTable::In::kNeither;
  bool again = new_tables_.again(table.oid) && !is_new;
  if (table.in == table.belongs_in()) {
    listed_.emplace(table.oid, table.name);
    if (!again) return;
  }
  if (!table.permanent || refused_.contains(table.oid) || (is_new && !wants(table.name))) return;
  try {
    bool noted = (is_new || again) && transaction_ == 0;
    if (is_new && noted) new_tables_.note(table.oid, Lsn{0});
    if (table.in != table.belongs_in() && !publish_table(control(stop), publications_, table, stop)) return;
    listed_.emplace(table.oid, table.name);
    if (!is_new && !again) return;
    Lsn& published = published_at_[table.oid];
    if (is_new || published == Lsn{0}) published = log_end(stop);
    if (noted) new_tables_.note(table.oid, published);
    DescribedTable described = describe_table(control(stop), settings_, table.name, stop);
    base::log_info(base::kSourceCapture, "table {} is new: its changes are captured from now on",
                   to_string(table.name));
    if (transaction_ != 0) begin_transaction(batch);
    batch.add_table_change(ChangeKind::kSchemaChange, transaction_, transaction_, described.version);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kSourceTable) throw;
    // It may be gone again, or belong to somebody else.
    refused_.insert(table.oid);
    new_tables_.forget(table.oid);
    base::log_warning(base::kSourceCapture, "table {} is not captured: {}", to_string(table.name),
                      error.what());
  }
}

void PostgresCapture::take_event(std::string_view data, ChangeBatch& batch, std::stop_token stop) {
  // A description that came before is known by its bytes alone.
  pgoutput::Event event = decoder_.decode(data);
  if (const auto* relation = std::get_if<pgoutput::Relation>(&event)) {
    if (relations_.knows(relation->oid, data)) return;
    relations_.take(*relation, data, ddl_shapes_.find(relation->oid), control(stop), stop);
    return;
  }
  if (const auto* begin = std::get_if<pgoutput::Begin>(&event)) {
    transaction_ = begin->xid;
    begun_ = false;
    skipping_ = begin->final_lsn < from_;
    return;
  }
  if (const auto* commit = std::get_if<pgoutput::Commit>(&event)) return take_commit(*commit, batch);
  if (skipping_) return;
  if (const auto* insert = std::get_if<pgoutput::Insert>(&event)) {
    StreamTable& table = changed_table(insert->relation, batch);
    batch.add_row_change(ChangeKind::kInsert, transaction_, transaction_, table.version, Images::kAfter);
    add_image(table, insert->after, OldTuple::kNone, {}, batch, scratch_);
    return;
  }
  if (const auto* update = std::get_if<pgoutput::Update>(&event)) {
    StreamTable& table = changed_table(update->relation, batch);
    bool has_before = update->old != OldTuple::kNone;
    batch.add_row_change(ChangeKind::kUpdate, transaction_, transaction_, table.version,
                         has_before ? Images::kBoth : Images::kAfter);
    if (has_before) add_image(table, update->before, update->old, {}, batch, scratch_);
    bool whole = update->old == OldTuple::kFull && update->before.size() == update->after.size();
    add_image(table, update->after, OldTuple::kNone, whole ? update->before : std::span<const Value>(), batch,
              scratch_);
    return;
  }
  if (const auto* deletion = std::get_if<pgoutput::Delete>(&event)) {
    StreamTable& table = changed_table(deletion->relation, batch);
    batch.add_row_change(ChangeKind::kDelete, transaction_, transaction_, table.version, Images::kBefore);
    add_image(table, deletion->before, deletion->old, {}, batch, scratch_);
    return;
  }
  if (const auto* message = std::get_if<pgoutput::Message>(&event)) {
    return take_ddl({.transactional = message->transactional,
                     .lsn = message->lsn,
                     .prefix = message->prefix,
                     .content = message->content},
                    batch, stop);
  }
  if (const auto* truncate = std::get_if<pgoutput::Truncate>(&event)) {
    for (std::uint32_t oid : truncate->relations) {
      StreamTable& table = changed_table(oid, batch);
      batch.add_table_change(ChangeKind::kTruncate, transaction_, transaction_, table.version);
    }
  }
}

}  // namespace ferry::postgres
