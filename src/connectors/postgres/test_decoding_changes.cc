#include <fmt/format.h>

#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "connectors/postgres/change_decoder.h"
#include "connectors/postgres/printed_tables.h"
#include "connectors/postgres/test_decoding.h"
#include "connectors/postgres/values.h"

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;
using model::ChangeBatch;
using model::ChangeKind;
using test_decoding::Operation;

// Puts the columns of a row in the places of its table.
void place(const PrintedTable& table, std::span<const test_decoding::Column> columns, ValueKind absent,
           std::vector<Value>& values) {
  values.assign(table.shape->row_size, {.kind = absent, .bytes = {}});
  std::size_t next = 0;
  for (const test_decoding::Column& column : columns) {
    while (next < table.columns.size() && table.columns[next].name != column.name) ++next;
    if (next == table.columns.size()) {
      throw Error(ErrorKind::kSourceProtocol,
                  fmt::format("an old row of {} has a column that the new one lacks",
                              to_string(table.shape->version->name)));
    }
    std::int32_t at = table.columns[next].place;
    if (at >= 0) values[static_cast<std::size_t>(at)] = column.value;
  }
}

// Events of test_decoding → changes. The stream has all tables of the database; those that nobody asked for
// are left out before their values are read.
class TestDecodingDecoder final : public ChangeDecoder {
 public:
  explicit TestDecodingDecoder(DecoderContext context)
      : context_(std::move(context)),
        tables_(context_.settings, context_.control, context_.shapes, context_.wants) {}

  std::string options(int) const override { return std::string(test_decoding::kOptions); }

  void take(std::string_view message, Lsn end, ChangeBatch& batch, std::stop_token stop) override {
    end_ = end;
    std::visit([&](const auto& event) { take_event(event, batch, stop); }, decoder_.decode(message));
  }

  void look_again(std::stop_token stop) override { tables_.look_again(stop); }

 private:
  void take_event(const test_decoding::Message& message, ChangeBatch& batch, std::stop_token stop) {
    if (!message.transactional) return;
    context_.take_message(
        {.transactional = true, .lsn = end_, .prefix = message.prefix, .content = message.content}, batch,
        stop);
  }

  void take_event(const test_decoding::Begin& begin, ChangeBatch&, std::stop_token) {
    context_.writer.begin(begin.xid);
  }

  void take_event(const test_decoding::Commit& commit, ChangeBatch& batch, std::stop_token) {
    auto time = timestamp_of_text(commit.time);
    if (!time) throw Error(ErrorKind::kSourceProtocol, "the stream has a commit of an unknown time");
    // A commit's message stands at the end of its record; where that starts is not said. Its last byte orders
    // commits as well, and no position to go on from lies within a record.
    context_.writer.commit(commit.xid, {.position = Lsn{number_of(end_) - 1}, .end = end_, .time = *time},
                           batch);
  }

  void take_event(const test_decoding::RowLine& line, ChangeBatch& batch, std::stop_token stop) {
    PrintedTable& table = tables_.find(line.table);
    if (!table.wanted) return;
    test_decoding::RowValues row = decoder_.read_values(line);
    bool has_after = line.operation != Operation::kDelete;
    if (!has_after && !row.has_before) return leave_out(table, line.table);
    auto fit = [&] {
      tables_.fit(table, line.table, has_after ? row.after : row.before,
                  has_after ? PrintedTables::Has::kAll : PrintedTables::Has::kSome, stop);
    };
    fit();
    if (row.has_before && !tables_.fits_identity(table, row.before)) fit();
    bool names_row = table.shape->version->identity != model::RowIdentity::kNone;
    if (line.operation != Operation::kInsert && !names_row) return leave_out(table, line.table);

    RowChange change{.kind = kind_of(line.operation)};
    if (row.has_before) {
      // The plugin leaves nulls out. So what is absent is null in a whole old row, but was not logged in a
      // key.
      change.old = OldTuple::kFull;
      place(table, row.before, table.shape->whole_old_rows ? ValueKind::kNull : ValueKind::kNotSent, before_);
      change.before = before_;
    }
    if (has_after) {
      place(table, row.after, ValueKind::kNull, after_);
      change.after = after_;
    }
    context_.writer.add_row(*table.shape, change, batch);
  }

  void take_event(const test_decoding::Truncate& truncate, ChangeBatch& batch, std::stop_token stop) {
    for (std::string_view printed : truncate.tables) {
      PrintedTable& table = tables_.find(printed);
      if (!table.wanted) continue;
      tables_.fit(table, printed, {}, PrintedTables::Has::kSome, stop);
      context_.writer.add_truncate(*table.shape, 0, batch);
    }
  }

  static ChangeKind kind_of(Operation operation) {
    if (operation == Operation::kInsert) return ChangeKind::kInsert;
    return operation == Operation::kUpdate ? ChangeKind::kUpdate : ChangeKind::kDelete;
  }

  // With pgoutput such a table is published for inserts and truncates only.
  static void leave_out(PrintedTable& table, std::string_view printed) {
    if (table.left_out++ > 0) return;
    if (table.shape && table.shape->version->source_table == 0) {
      base::log_warning(
          base::kSourceCapture,
          "table {} is gone, and the task never knew its key: its updates and deletes are left out", printed);
      return;
    }
    base::log_warning(base::kSourceCapture,
                      "table {} has no primary key and no replica identity: its updates and deletes are left "
                      "out",
                      printed);
  }

  DecoderContext context_;
  test_decoding::Decoder decoder_;
  PrintedTables tables_;
  Lsn end_{};
  std::vector<Value> before_;
  std::vector<Value> after_;
};

}  // namespace

std::unique_ptr<ChangeDecoder> make_test_decoding_decoder(DecoderContext context) {
  return std::make_unique<TestDecodingDecoder>(std::move(context));
}

}  // namespace ferry::postgres
