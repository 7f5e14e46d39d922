#pragma once

#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "tests/conformance/source_fixture.h"
#include "tests/conformance/source_stream.h"

namespace ferry::conformance {

// One task's notes. They outlive sources.
class SuiteNotes : public connector::TaskNotes {
 public:
  std::optional<std::string> get(std::string_view name) const override;
  void set(std::string_view name, std::string_view value) override;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> notes_;
};

// The promises of connector/source.h. INSTANTIATE_TEST_SUITE_P(<connector>, SourceConformance, …) runs them
// all.
class SourceConformance : public testing::TestWithParam<SourceCase> {
 protected:
  static constexpr std::string_view kTask = "suite_task";
  static constexpr std::string_view kOtherTask = "suite_task_2";

  void SetUp() override;
  void open_again();  // source_ and unloads(), as after a restart
  connector::SourceUnload& unloads() { return *unload_; }

  // --- writing to the source ---

  // One committed transaction.
  void commit(const std::function<void(SourceSession&)>& statements);
  void create(const model::TableName& table, model::RowIdentity identity = model::RowIdentity::kKey);
  void insert(const model::TableName& table, const std::vector<SuiteRow>& rows);
  static std::vector<SuiteRow> numbered(std::int32_t from, std::int32_t to);  // ids from … to-1, with names

  // --- reading it ---

  connector::UnloadRequest request(const model::TableName& table) const;
  // Every row that the unload's slices yield, sorted.
  static std::vector<SuiteRow> read_all(connector::TableUnload& unload);
  std::vector<SuiteRow> rows(const model::TableName& table);

  connector::CaptureScope scope(std::vector<model::TableName> tables) const;
  // A capture that is prepared and started.
  struct Running {
    std::unique_ptr<connector::Source> source;
    std::unique_ptr<connector::SourceCapture> capture;
    connector::CaptureStart start;
  };
  Running prepare_and_start(const connector::CaptureScope& wanted);
  // A capture after a restart: verified, and started from a checkpoint's resume position.
  Running resume(const connector::CaptureScope& wanted, const connector::CaptureStart& from);

  // Runs `call` until it blocks, requests stop, and expects it back within a second, returned or with
  // kStopped.
  static void expect_stops(const std::function<void(std::stop_token)>& call);
  // The same with stop requested before the call.
  static void expect_stops_at_once(const std::function<void(std::stop_token)>& call);

  std::unique_ptr<SourceFixture> fixture_;
  SuiteNotes notes_;        // Of the task kTask.
  SuiteNotes other_notes_;  // Of the task kOtherTask.
  std::unique_ptr<connector::Source> source_;
  std::unique_ptr<connector::SourceUnload> unload_;
  model::TableName table_;  // Made by SetUp(): keyed and empty.
};

}  // namespace ferry::conformance
