#include "cli/cli.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/one_line.h"
#include "base/passwords.h"
#include "cli/commands.h"
#include "cli/source_uri.h"

#ifndef FERRY_VERSION
#define FERRY_VERSION "0.1.0"
#endif

namespace ferry::cli {
namespace {

using base::Error;
using base::ErrorKind;

constexpr const char* kFooter =
    "Exit codes and errors are listed in docs/errors.md. A run that was killed or stopped goes on when the "
    "same command "
    "is given again.";

void add_task_options(CLI::App& command, TaskArguments& arguments) {
  command.add_flag("--overwrite", arguments.overwrite,
                   "Remove objects in DMS's forms that this task did not write from the tables' folders");
  command.add_flag("--restart", arguments.restart, "Forget how far earlier runs came and load anew");
  command.add_option("--state", arguments.state, "Folder of the task's state [under XDG_STATE_HOME]")
      ->option_text("DIR");
}

void add_copy_options(CLI::App& command, CopyArguments& arguments, bool required) {
  CLI::Option* source =
      command.add_option("source", arguments.source, "postgresql://user:password@host:port/database");
  CLI::Option* target =
      command.add_option("target", arguments.target, "file:///directory or s3://bucket/folder");
  if (required) {
    source->required();
    target->required();
  }
  command.add_option("--format", arguments.format, "csv or parquet [parquet]")
      ->check(CLI::IsMember({"csv", "parquet"}))
      ->option_text("FORMAT");
}

// What keeps secrets in and the world out of the process.
void harden_process() {
  ::signal(SIGPIPE, SIG_IGN);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // No core dump may hold a password. The sanitizers' leak check needs a process that can be traced.
  ::prctl(PR_SET_DUMPABLE, 0);
#endif
  // One descriptor per table with an open object.
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

int print_error(const Error& error) {
  const base::ErrorKindFacts& facts = base::facts_of(error.kind());
  std::fflush(stdout);
  fmt::print(stderr, "ferry: error {}: {}\n", facts.code, base::one_line(base::hide_password(error.what())));
  return facts.exit_code;
}

}  // namespace

int run(int argc, char** argv, const connector::Registry& registry) {
  harden_process();
  CLI::App app(
      "Ferry moves data from PostgreSQL into files in AWS DMS's layout, and keeps following its changes.",
      "ferry");
  app.set_version_flag("--version", std::string("ferry ") + FERRY_VERSION);
  app.footer(kFooter);

  CopyArguments copy_arguments;
  CLI::App* copy =
      app.add_subcommand("copy", "Copy tables of a PostgreSQL database into CSV or Parquet files");
  add_copy_options(*copy, copy_arguments, true);
  // Without extra arguments a repeatable option takes one value each time, so that it may stand before SOURCE
  // and TARGET.
  copy->add_option("--tables", copy_arguments.tables,
                   "schema.table with DMS's wildcards % and _; repeatable [all tables]")
      ->option_text("PATTERN")
      ->allow_extra_args(false);
  copy->add_flag("--follow", copy_arguments.follow, "Keep following changes until interrupted");
  copy->add_option("--set", copy_arguments.settings,
                   "A member of DMS's S3Settings or PostgreSQLSettings; repeatable")
      ->option_text("NAME=VALUE")
      ->allow_extra_args(false);
  add_task_options(*copy, copy_arguments.task);

  RunArguments run_arguments;
  CLI::App* run_task = app.add_subcommand("run", "Run a replication task described by DMS's own documents");
  run_task
      ->add_option("document", run_arguments.document,
                   "JSON with SourceEndpoint, TargetEndpoint, ReplicationTask")
      ->required()
      ->option_text("TASK.json");
  add_task_options(*run_task, run_arguments.task);

  CopyArguments clean_copy;
  RunArguments clean_run;
  CLI::App* clean =
      app.add_subcommand("clean", "Remove what a task made on its source, and its state; files stay");
  add_copy_options(*clean, clean_copy, true);
  clean->get_option("target")->required(false);
  clean->get_option("--format")->description("As the copy had it: csv or parquet [parquet]");
  clean->get_option("source")->description("postgresql://user:password@host:port/database, or TASK.json");
  clean->add_option("--state", clean_copy.task.state, "Folder of the task's state")->option_text("DIR");

  CLI::App* failpoints =
      app.add_subcommand("failpoints", "List the names that FERRY_FAILPOINT takes (for tests)");
  failpoints->group("");

  try {
    app.parse(argc, argv);
    // Not by require_subcommand(): that would hide the name of a command that does not exist.
    if (app.get_subcommands().empty()) throw CLI::RequiredError("One of the commands copy, run and clean");
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    for (int i = 1; i < argc; ++i) wipe_password(argv[i]);
    Error::Parts parts{.message = error.what(), .remedy = "See `ferry --help`."};
    return print_error(Error(ErrorKind::kUsage, std::move(parts)));
  }
  for (int i = 1; i < argc; ++i) wipe_password(argv[i]);

  try {
    if (*copy) return copy_command(copy_arguments, registry);
    if (*run_task) return run_command(run_arguments, registry);
    if (*clean) {
      if (clean_copy.source.find("://") == std::string::npos) {
        clean_run.document = clean_copy.source;
        clean_run.task = clean_copy.task;
      } else if (clean_copy.target.empty()) {
        return print_error(
            Error(ErrorKind::kUsage, "`ferry clean` needs the copy's target as its second argument"));
      }
      return clean_command(clean_copy, clean_run, registry);
    }
    for (std::string_view name : base::kFailpoints) fmt::print("{}\n", name);
    return 0;
  } catch (const Error& error) {
    return print_error(error);
  } catch (const std::exception& error) {
    Error::Parts parts{.message = error.what(), .remedy = "Please report this with the task's log."};
    return print_error(Error(ErrorKind::kInternal, std::move(parts)));
  }
}

}  // namespace ferry::cli
