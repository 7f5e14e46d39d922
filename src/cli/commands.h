#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "connector/connector.h"

namespace ferry::cli {

// What copy, run and clean have in common.
struct TaskArguments {
  bool overwrite = false;
  bool restart = false;
  std::optional<std::filesystem::path> state;
};

struct CopyArguments {
  std::string source;  // URI.
  std::string target;  // "file:///directory" or "s3://bucket/folder"
  std::vector<std::string> tables;
  std::string format = "parquet";
  bool follow = false;
  std::vector<std::string> settings;  // "NAME=VALUE"
  TaskArguments task;
};

struct RunArguments {
  std::filesystem::path document;
  TaskArguments task;
};

// Each returns the exit code, and throws base::Error for what ends the command.
int copy_command(const CopyArguments& arguments, const connector::Registry& registry);
int run_command(const RunArguments& arguments, const connector::Registry& registry);
// Of a copy where `document` is empty, else of a run.
int clean_command(const CopyArguments& copy, const RunArguments& run, const connector::Registry& registry);

}  // namespace ferry::cli
