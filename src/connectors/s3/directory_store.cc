#include "connectors/s3/directory_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace ferry::s3 {
namespace {

using base::Error;
using base::ErrorKind;
namespace fs = std::filesystem;

constexpr std::string_view kStagedPrefix = ".ferry-";
constexpr std::string_view kStagedSuffix = ".partial";
// What is written to see whether a folder can be written to.
constexpr std::string_view kProbe = "ferry";

[[noreturn]] void fail(int error, std::string_view action, const fs::path& path) {
  bool full = error == ENOSPC || error == EDQUOT;
  std::string_view remedy =
      "Give the user Ferry runs as the right to write there, or name another directory.";
  if (full) remedy = "Free space on the target and run the same command again; it goes on where it was.";
  if (error == EMFILE || error == ENFILE)
    remedy = "Raise the limit of open files (ulimit -Hn), then run the same command again.";
  throw Error(full ? ErrorKind::kTargetFull : ErrorKind::kTargetUnwritable,
              {.message = fmt::format("cannot {} {}: {}", action, path.string(), ::strerror(error)),
               .remedy = std::string(remedy),
               .vendor_code = ::strerrorname_np(error) == nullptr ? "" : ::strerrorname_np(error)});
}

// Closes the descriptor it owns.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }

 private:
  int number_;
};

void sync_folder(const fs::path& folder) {
  Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0 || ::fsync(descriptor.get()) != 0) fail(errno, "sync the folder", folder);
}

// Makes the folder and those above it, each durable in the one above.
void make_folder(const fs::path& folder) {
  if (::mkdir(folder.c_str(), 0777) == 0) {
    sync_folder(folder.parent_path());
    return;
  }
  if (errno == EEXIST) {
    if (fs::is_directory(folder)) return;
    fail(ENOTDIR, "make the folder", folder);
  }
  if (errno != ENOENT || !folder.has_relative_path()) fail(errno, "make the folder", folder);
  make_folder(folder.parent_path());
  if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) fail(errno, "make the folder", folder);
  sync_folder(folder.parent_path());
}

// Removes the folder and those above it, below `root`, as long as they are empty.
void remove_empty_folders(fs::path folder, const fs::path& root) {
  while (folder != root && folder.native().size() > root.native().size()) {
    if (::rmdir(folder.c_str()) != 0) return;
    folder = folder.parent_path();
  }
}

bool is_staged(const fs::path& path) {
  std::string name = path.filename().string();
  return name.starts_with(kStagedPrefix) && name.ends_with(kStagedSuffix);
}

class StagedFile final : public StagedObject {
 public:
  StagedFile(const fs::path& root, fs::path folder, std::uint64_t number)
      : root_(root),
        folder_(std::move(folder)),
        path_(folder_ / fmt::format("{}{}-{}{}", kStagedPrefix, ::getpid(), number, kStagedSuffix)),
        descriptor_(create()) {}

  ~StagedFile() override {
    if (published_) return;
    ::unlink(path_.c_str());
    remove_empty_folders(folder_, root_);
  }

  void write(std::string_view bytes) override {
    while (!bytes.empty()) {
      ssize_t written = ::write(descriptor_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail(errno, "write", path_);
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  void publish(const std::string& key) override {
    fs::path final_path = root_ / key;
    if (::fsync(descriptor_.get()) != 0) fail(errno, "sync", path_);
    if (final_path.parent_path() != folder_) make_folder(final_path.parent_path());
    if (::rename(path_.c_str(), final_path.c_str()) != 0) fail(errno, "rename to", final_path);
    published_ = true;
    sync_folder(final_path.parent_path());
  }

 private:
  int create() const {
    make_folder(folder_);
    int descriptor = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor < 0) fail(errno, "create", path_);
    return descriptor;
  }

  const fs::path root_;
  const fs::path folder_;
  const fs::path path_;
  Descriptor descriptor_;
  bool published_ = false;
};

class DirectoryStore final : public ObjectStore {
 public:
  explicit DirectoryStore(fs::path root) : root_(std::move(root)) {}

  std::unique_ptr<StagedObject> stage(const ObjectPlace& place) override {
    return std::make_unique<StagedFile>(root_, folder_of(place.prefix), ++staged_);
  }

  std::vector<std::string> list(const std::string& prefix) override {
    std::vector<std::string> keys;
    for (const fs::path& path : files_below(folder_of(prefix))) {
      if (!is_staged(path)) keys.push_back(path.lexically_relative(root_).generic_string());
    }
    std::sort(keys.begin(), keys.end());
    return keys;
  }

  void remove(const std::string& key) override {
    fs::path path = root_ / key;
    if (::unlink(path.c_str()) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) return;
      fail(errno, "remove", path);
    }
    sync_folder(path.parent_path());
    remove_empty_folders(path.parent_path(), root_);
  }

  void sweep(const std::string& prefix) override {
    fs::path folder = folder_of(prefix);
    for (const fs::path& path : files_below(folder)) {
      if (is_staged(path) && ::unlink(path.c_str()) != 0 && errno != ENOENT) fail(errno, "remove", path);
    }
    remove_empty_folders(folder, root_);
  }

  void probe() override {
    fs::path existing = root_;
    while (existing.has_relative_path() && !fs::exists(existing)) existing = existing.parent_path();
    try_to_write();
    // A start that fails later leaves no trace; the first object makes the folders again.
    remove_empty_folders(root_, existing);
  }

 private:
  // Into a file without a name, which a kill at the wrong moment does not leave behind; not every file system
  // has such files.
  void try_to_write() {
    make_folder(root_);
    Descriptor unnamed(::open(root_.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666));
    if (unnamed.get() < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
      StagedFile(root_, root_, ++staged_).write(kProbe);
      return;
    }
    if (unnamed.get() < 0) fail(errno, "create a file in", root_);
    if (::write(unnamed.get(), kProbe.data(), kProbe.size()) < 0) fail(errno, "write a file in", root_);
  }

  fs::path folder_of(const std::string& prefix) const {
    return prefix.empty() ? root_ : root_ / std::string_view(prefix).substr(0, prefix.size() - 1);
  }

  std::vector<fs::path> files_below(const fs::path& folder) const {
    std::vector<fs::path> files;
    std::error_code error;
    fs::recursive_directory_iterator entries(folder, error);
    if (error == std::errc::no_such_file_or_directory) return files;
    if (error) fail(error.value(), "list", folder);
    for (; entries != fs::recursive_directory_iterator(); entries.increment(error)) {
      if (error) fail(error.value(), "list", folder);
      if (!entries->is_directory(error)) files.push_back(entries->path());
    }
    return files;
  }

  const fs::path root_;
  std::atomic<std::uint64_t> staged_{0};
};

}  // namespace

std::unique_ptr<ObjectStore> make_directory_store(const fs::path& root) {
  return std::make_unique<DirectoryStore>(root.lexically_normal());
}

}  // namespace ferry::s3
