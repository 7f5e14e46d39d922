#include "connectors/postgres/capture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <sstream>
#include <utility>

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
using model::ChangeBatch;
using model::ChangeKind;
using model::StreamIdentity;
using model::StreamPosition;
using std::chrono::milliseconds;

// The names under which the task's notes keep what a restart must know.
constexpr std::string_view kNotePublications = "postgres.publications_created";
constexpr std::string_view kNoteReader = "postgres.walsender";
constexpr std::string_view kNotePlugin = "postgres.plugin";
constexpr std::string_view kNoteDatabase = "postgres.database";
constexpr std::string_view kNoteWhole = "postgres.whole_transactions";
// Numbers of the task's tables that could not be published at its start, because they were UNLOGGED.
constexpr std::string_view kNoteUnlogged = "postgres.unlogged";

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

// Of an identity, what a promotion of a standby does not change.
std::string database_of(const StreamIdentity& identity) {
  constexpr std::string_view kTimeline = " timeline ";
  std::string text = identity.text;
  std::size_t from = text.find(kTimeline);
  if (from != std::string::npos) text.erase(from, text.find(' ', from + kTimeline.size()) - from);
  return text;
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
  task_name_ = scope.task_name;
  application_name_ = "ferry-" + scope.task_name;
  publications_ = publication_names(scope.task_name);
  tables_ = {scope.tables.begin(), scope.tables.end()};
  selects_ = scope.selects;
  known_tables_ = scope.known_tables;
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

// Before any other replication connection: the one of a killed process of ours may hold the server's last WAL
// sender.
void PostgresCapture::release_own_reader(std::stop_token stop) {
  release_slot(control(stop), slot_name_, own_reader(), stop);
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
  if (slot->plugin != kPgoutput && slot->plugin != kTestDecoding) {
    throw Error(
        ErrorKind::kSourceConfiguration,
        {.message = fmt::format("the replication slot {} uses the plugin {}", slot_name_, slot->plugin),
         .remedy = "Use a slot made with the plugin pgoutput or test_decoding."});
  }
  if (slot->plugin == kTestDecoding && slot->two_phase) {
    // Such a slot sends a prepared transaction once, before it commits.
    throw Error(ErrorKind::kSourceConfiguration,
                {.message = fmt::format("the replication slot {} decodes prepared transactions", slot_name_),
                 .remedy = "Use a slot made without two_phase."});
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

// The server converts what pgoutput says into the client's encoding. What test_decoding prints it sends as
// the database has it.
void PostgresCapture::require_readable_text(std::stop_token stop) {
  if (plugin_ != kTestDecoding) return;
  std::string encoding(control(stop)
                           .run("SELECT current_setting('server_encoding')", "ask for the encoding", stop)
                           .text(0, 0));
  if (encoding == "UTF8") return;
  throw Error(
      ErrorKind::kSourceConfiguration,
      {.message = fmt::format("changes would be read with test_decoding, which prints them in the database's "
                              "encoding {} instead of UTF8",
                              encoding),
       .remedy =
           "Let changes be read with pgoutput: give the source user the right to make publications of the "
           "tables, and leave PluginName out."});
}

// A server that was set back, by restoring its files or a snapshot of its disk, writes other changes under
// positions that the task has already passed.
void PostgresCapture::require_log(Lsn resume, std::stop_token stop) {
  Lsn end = log_end(stop);
  if (resume <= end) return;
  throw Error(
      ErrorKind::kSourceIdentity,
      {.message =
           fmt::format("the source's log ends at {}, before the checkpoint at {}: the server has been set "
                       "back to an older state",
                       to_string(end), to_string(resume)),
       .remedy = "Point the endpoint at the server that the task was started on, or reload the task."});
}

// Those that an administrator made publish what he wants.
void PostgresCapture::require_publications(std::stop_token stop) {
  if (plugin_ != kPgoutput || !publications_are_ours()) return;
  if (!publications_leave_out(control(stop), publications_, stop)) return;
  throw slot_lost(fmt::format("the publications {} and {} have been altered and leave changes out",
                              publications_.full, publications_.inserts),
                  "Reload the task, and alter its publications no more.");
}

void PostgresCapture::note_unlogged(std::stop_token stop) {
  std::string oids;
  for (const PublishedTable& table : list_published(control(stop), publications_, stop)) {
    if (!table.permanent && wants(table.name)) oids += fmt::format("{} ", table.oid);
  }
  notes_.set(kNoteUnlogged, oids);
}

// Tasks from before the note read pgoutput.
std::string_view PostgresCapture::noted_plugin() const {
  return notes_.get(kNotePlugin) == kTestDecoding ? kTestDecoding : kPgoutput;
}

void PostgresCapture::choose_plugin(const CaptureScope& scope, std::stop_token stop) {
  plugin_ = kTestDecoding;
  if (settings_.plugin != Plugin::kTestDecoding) {
    try {
      prepare_publications(scope, stop);
      plugin_ = kPgoutput;
    } catch (const Error& error) {
      if (error.vendor_code() != sqlstate::kInsufficientPrivilege) throw;
      base::log_warning(base::kSourceCapture,
                        "the publications that pgoutput needs cannot be made, so changes are read with "
                        "test_decoding: {}",
                        error.message());
    }
  } else if (publications_are_ours()) {
    drop_publications(control(stop), publications_, stop);
    notes_.set(kNotePublications, "");
  }
  require_readable_text(stop);
  notes_.set(kNotePlugin, plugin_);
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
  plugin_ = slot.plugin == kTestDecoding ? kTestDecoding : kPgoutput;
  if (settings_.plugin == Plugin::kTestDecoding && plugin_ != kTestDecoding) {
    throw Error(
        ErrorKind::kSourceConfiguration,
        {.message = fmt::format("the replication slot {} uses the plugin {}, where PluginName says {}",
                                slot_name_, slot.plugin, kTestDecoding),
         .remedy = "Leave PluginName out, or name a slot made with that plugin."});
  }
  require_readable_text(stop);
  notes_.set(kNotePlugin, plugin_);
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
  if (plugin_ == kPgoutput && !publications_exist(control(stop), publications_, stop)) {
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
  drop_slot(connection, slot_name_, stop);
  prepare_ddl_artifacts(stop);
  choose_plugin(scope, stop);
  std::string application = fmt::format("{}-{}", application_name_, nonce());
  return create_slot(
      settings_, connection,
      {.name = slot_name_,
       .plugin = plugin_,
       .application_name = std::move(application),
       .transaction_timeout = scope.transaction_consistency_timeout,
       .connected = [this](const SlotReader& reader) { notes_.set(kNoteReader, reader.to_text()); }},
      stop);
}

CaptureStart PostgresCapture::prepare(const CaptureScope& scope, std::stop_token stop) {
  set_scope(scope, stop);
  release_own_reader(stop);
  StreamIdentity now = identity(stop);
  notes_.set(kNoteDatabase, database_of(now));
  warn_of_idle_slots(control(stop), slot_name_, stop);
  Lsn from = slot_is_ours() ? prepare_own_slot(scope, stop) : prepare_users_slot(scope, stop);
  note_unlogged(stop);
  return {.identity = std::move(now), .position = position_of(from)};
}

void PostgresCapture::verify(const CaptureScope& scope, const model::Checkpoint& checkpoint,
                             std::stop_token stop) {
  set_scope(scope, stop);
  release_own_reader(stop);
  StreamIdentity now = identity(stop);
  if (now != checkpoint.identity) {
    throw Error(
        ErrorKind::kSourceIdentity,
        {.message = fmt::format("the source is '{}', but the checkpoint was taken on '{}'", now.text,
                                checkpoint.identity.text),
         .remedy = "Point the endpoint at the server that the task was started on, or reload the task."});
  }
  SlotFacts slot = checked_slot(stop);
  plugin_ = noted_plugin();
  if (slot.plugin != plugin_) {
    throw slot_lost(
        fmt::format("the replication slot {} uses the plugin {}, but the task was started with {}",
                    slot_name_, slot.plugin, plugin_),
        "Reload the task: the slot is not the one that was made for it.");
  }
  require_readable_text(stop);
  Lsn resume = lsn_of(checkpoint.resume_position);
  require_log(resume, stop);
  if (slot.confirmed_flush > resume) {
    throw slot_lost(fmt::format("the replication slot {} has been moved on to {}, past the checkpoint at {}",
                                slot_name_, to_string(slot.confirmed_flush), to_string(resume)),
                    "Reload the task: another reader has taken its changes.");
  }
  if (plugin_ == kPgoutput && !publications_exist(control(stop), publications_, stop)) {
    throw slot_lost(
        fmt::format("the publications {} and {} are gone", publications_.full, publications_.inserts),
        "Reload the task: the server cannot decode the log without them.");
  }
  require_publications(stop);
  // They may have been impossible before, or not wanted.
  if (!ddl_prepared_) prepare_ddl_artifacts(stop);
}

StreamPosition PostgresCapture::current_position(std::stop_token stop) {
  // The WAL sender sends what is flushed, and a commit returns when it is. What is flushed may end inside a
  // record whose rest an idle server leaves unwritten, so that its stream would not come that far; the commit
  // of this statement's own transaction has it written.
  Result end = control(stop).run(
      "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() "
      "END, "
      "CASE WHEN NOT pg_is_in_recovery() THEN txid_current() END",
      "ask for the log's end", stop);
  return position_of(parse_lsn(end.text(0, 0)).value_or(Lsn{0}));
}

std::int64_t PostgresCapture::log_bytes_since(const StreamPosition& from, std::stop_token stop) {
  // A position of the log is the number of bytes before it.
  return static_cast<std::int64_t>(number_of(lsn_of(current_position(stop))) - number_of(lsn_of(from)));
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
  if (slot_is_ours()) release_own_reader(stop);
  if (auto noted = notes_.get(kNoteDatabase)) {
    if (std::string now = database_of(identity(stop)); now != *noted) {
      throw Error(
          ErrorKind::kSourceIdentity,
          {.message = fmt::format("the source is '{}', but what the task made is on '{}'", now, *noted),
           .remedy = "Point the endpoint at the server that the task was started on."});
    }
  }
  std::vector<std::string> removed;
  // The slot first: no log may be decoded any more when the publications go.
  if (slot_is_ours() && drop_slot(control(stop), slot_name_, stop)) {
    removed.push_back("replication slot " + slot_name_);
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
  received_ = lsn_of(from);
  acknowledged_ = number_of(received_);
  writer_.start(received_);
  start_ddl(stop);
  // In a piece, a message does not say its subtransaction, so that nobody knows whether it was rolled back.
  in_pieces_ = plugin_ == kPgoutput && ddl_key_.empty() && !notes_.get(kNoteWhole);
  DecoderContext context{.settings = settings_,
                         .writer = writer_,
                         .control = [this](std::stop_token token) -> Connection& { return control(token); },
                         .shapes = ddl_shapes_,
                         .in_pieces = in_pieces_,
                         .wants = [this](const model::TableName& table) { return wants(table); },
                         .take_message = [this](const LoggedMessage& logged, ChangeBatch& changes,
                                                std::stop_token token) { take_ddl(logged, changes, token); }};
  decoder_ = plugin_ == kTestDecoding ? make_test_decoding_decoder(std::move(context))
                                      : make_pgoutput_decoder(std::move(context), publications_);
  release_own_reader(stop);

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
  stream_->start_copy(
      {.sql = fmt::format("START_REPLICATION SLOT {} LOGICAL {} ({})", quote_identifier(slot_name_),
                          to_string(received_), decoder_->options(stream_->server_major())),
       .doing = fmt::format("read the replication slot {}", slot_name_)},
      stop);
  published_at_ = new_tables_.start(received_);
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
  watch_tables_when_due(batch, stop);
  if (heartbeat_ && heartbeat_->due()) heartbeat_->beat(control(stop), stop);
  while (batch.bytes() < bytes_max) {
    std::string_view message;
    CopyRead read = read_stream(message, milliseconds(0), batch.empty() ? stop : std::stop_token());
    if (read == CopyRead::kNothing) {
      // A pause is the time to say what has been made durable: the server keeps less log.
      send_status(/*even_if_not_due=*/acknowledged_.load() > reported_);
      watch_tables_when_due(batch, stop);
      auto now = Clock::now();
      if (now >= heartbeat_due_) {
        heartbeat_due_ = now + kHeartbeatInterval;
        writer_.add_heartbeat(batch);
      }
      if (!batch.empty() || now >= deadline) return;
      auto left = std::chrono::ceil<milliseconds>(deadline - now);
      read = read_stream(message, std::min(left, kWaitStep), stop);
    }
    if (read == CopyRead::kNothing) continue;
    if (read == CopyRead::kEnd) {
      throw Error(ErrorKind::kSourceConnectionLost, "the server has ended the stream of changes");
    }
    take_message(message, batch, stop);
    stream_->release_copy();
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

// Servers of every version fail to decode, piece by piece, some transactions that altered a table in a
// subtransaction and rolled that back ("could not map filenode … to relation OID"). Read whole, once they
// have committed, the same transactions decode.
CopyRead PostgresCapture::read_stream(std::string_view& message, milliseconds wait, std::stop_token stop) {
  try {
    return stream_->read_copy(message, wait, stop);
  } catch (const Error& error) {
    if (!in_pieces_ || error.vendor_code() != sqlstate::kInternalError) throw;
    notes_.set(kNoteWhole, "yes");
    throw Error(
        ErrorKind::kSourceConnectionLost,
        {.message = fmt::format("{}; from now on transactions are read when they have committed, which "
                                "this server may decode",
                                error.message()),
         .remedy = error.remedy(),
         .vendor_code = error.vendor_code()});
  }
}

void PostgresCapture::take_message(std::string_view message, ChangeBatch& batch, std::stop_token stop) {
  constexpr std::size_t kDataHead = 1 + 8 + 8 + 8;  // Kind, start, end, time.
  if (message.front() == 'k') return take_keepalive(message);
  if (message.front() != 'w' || message.size() < kDataHead) {
    throw Error(ErrorKind::kSourceProtocol, "the stream has a message of an unknown form");
  }
  Lsn end{base::load_big_endian<std::uint64_t>(message.data() + 1)};
  received_ = std::max(received_, end);
  if (end > doubt_until_) {
    ddl_shapes_.forget_doubtful();
    doubt_until_ = Lsn{UINT64_MAX};
  }
  decoder_->take(message.substr(kDataHead), end, batch, stop);
}

void PostgresCapture::take_keepalive(std::string_view message) {
  constexpr std::size_t kSize = 1 + 8 + 8 + 1;  // Kind, end, time, whether to reply at once.
  if (message.size() != kSize) throw Error(ErrorKind::kSourceProtocol, "the stream has a broken keepalive");
  Lsn end{base::load_big_endian<std::uint64_t>(message.data() + 1)};
  received_ = std::max(received_, end);
  writer_.idle(end);
  if (message.back() != 0) send_status(/*even_if_not_due=*/true);
}

void PostgresCapture::watch_tables_when_due(ChangeBatch& batch, std::stop_token stop) {
  if (Clock::now() < watch_due_ || writer_.current() != 0) return;
  watch_due_ = Clock::now() + kWatchInterval;
  watch_tables(batch, stop);
  decoder_->look_again(stop);
}

// The stream does not say that a table came or went. And a publication lists its tables, so a table that
// belongs to the scope and is new must be added to it, and one whose key went must leave the list that
// publishes updates, or its user's updates fail. The first look after a start also finds the tables that the
// task does not have: made while no stream ran, or said to an engine that died of it.
void PostgresCapture::watch_tables(ChangeBatch& batch, std::stop_token stop) {
  bool published = plugin_ == kPgoutput;
  if (watched_) require_publications(stop);
  std::map<std::uint32_t, model::TableName> before = listed_;
  std::vector<PublishedTable> all =
      list_published(control(stop), published ? publications_ : PublicationNames(), stop);
  for (const PublishedTable& table : all) require_published(table);
  listed_.clear();
  for (const PublishedTable& table : all) {
    bool is_new = watched_ ? !published && !before.contains(table.oid) : is_unknown(table);
    is_new |= published && table.in == PublishedTable::In::kNeither;
    take_listed(table, is_new, batch, stop);
    before.erase(table.oid);
  }
  watched_ = true;
  new_tables_.settle(Lsn{acknowledged_.load()}, listed_);
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
    if (drop.noticed > writer_.idle_through()) return false;
    batch.add_table_change(ChangeKind::kDrop, 0, 0, drop.table);
    return true;
  });
}

bool PostgresCapture::was_published(const PublishedTable& table) const {
  if (listed_.contains(table.oid)) return true;
  // The first look after a start knows only what the task had then; where it had no numbers yet, one of the
  // same name may be another table.
  return !watched_ && tables_.contains(table.name) && known_tables_.contains(table.oid);
}

// A table that the task has is taken out of the publications by nobody but a stranger: what was changed since
// is not in the stream. One that was UNLOGGED when it was loaded has never been published; publishing it now
// would add changes to rows that are out of date.
void PostgresCapture::require_published(const PublishedTable& table) {
  bool left_out = plugin_ == kPgoutput && table.in == PublishedTable::In::kNeither && table.permanent;
  if (!left_out || refused_.contains(table.oid)) return;
  if (was_unlogged(table.oid)) {
    refused_.insert(table.oid);
    base::log_for_table(
        base::Severity::kWarning, base::kSourceCapture,
        "table {} was UNLOGGED when the task began: its changes are still not captured. Load the task "
        "anew with --restart to have them",
        to_string(table.name));
    return;
  }
  if (!was_published(table)) return;
  throw slot_lost(
      fmt::format("the table {} is no longer in the publications {} and {}: changes of it are missing",
                  to_string(table.name), publications_.full, publications_.inserts),
      "Reload the task, and alter its publications no more.");
}

bool PostgresCapture::was_unlogged(std::uint32_t oid) const {
  std::istringstream unlogged(notes_.get(kNoteUnlogged).value_or(""));
  for (std::uint32_t noted = 0; unlogged >> noted;) {
    if (noted == oid) return true;
  }
  return false;
}

void PostgresCapture::tell_lost_identity(std::uint32_t oid, const model::TableName& name) {
  if (!without_identity_.insert(oid).second) return;
  base::log_for_table(
      base::Severity::kWarning, base::kSourceCapture,
      "table {} has lost its key and replica identity: from now on only inserts and truncates are captured",
      to_string(name));
}

void PostgresCapture::take_listed(const PublishedTable& table, bool is_new, ChangeBatch& batch,
                                  std::stop_token stop) {
  // Without publications every table is in the stream.
  bool in_place = plugin_ != kPgoutput || table.in == table.belongs_in();
  if (in_place && !is_new) {
    listed_.emplace(table.oid, table.name);
    return;
  }
  if (!table.permanent || refused_.contains(table.oid) || (is_new && !wants(table.name))) return;
  try {
    if (!in_place && !publish_table(control(stop), publications_, table, stop)) return;
    listed_.emplace(table.oid, table.name);
    if (!is_new) {
      if (table.belongs_in() == PublishedTable::In::kInserts) tell_lost_identity(table.oid, table.name);
      return;
    }
    Lsn published = published_at_[table.oid] = log_end(stop);
    DescribedTable described = describe_table(control(stop), settings_, table.name, stop);
    base::log_info(base::kSourceCapture, "table {} is new: its changes are captured from now on",
                   to_string(table.name));
    if (watched_ && plugin_ == kTestDecoding && ddl_key_.empty() && tables_.contains(table.name)) {
      base::log_warning(
          base::kSourceCapture,
          "the name {} is another table's since a few seconds, and the log does not say since when: "
          "rows that were written to the new one meanwhile may be in the files twice. Where the "
          "source user may make event triggers (CaptureDdls), the log says it",
          to_string(table.name));
    }
    if (writer_.current() != 0) {
      writer_.add_table_change(ChangeKind::kSchemaChange, 0, described.version, batch);
      return;
    }
    new_tables_.note(table.oid, published);
    batch.add_table_change(ChangeKind::kSchemaChange, 0, 0, described.version);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kSourceTable) throw;
    // It may be gone again, or belong to somebody else.
    refused_.insert(table.oid);
    base::log_for_table(base::Severity::kWarning, base::kSourceCapture, "table {} is not captured: {}",
                        to_string(table.name), error.what());
  }
}

}  // namespace ferry::postgres
