#include "engine/cdc/looked_up_values.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <unistd.h>

#include <utility>

#include "base/bytes.h"
#include "base/error.h"

namespace ferry::engine {
namespace {

using base::Error;
using base::ErrorKind;
using connector::ChangePoint;

// Beyond this a file is emptied as soon as nothing in it is needed; below, it is not worth the call.
constexpr std::int64_t kEmptyAbove = 64 << 10;

Error unusable(const std::filesystem::path& path) {
  return Error(
      ErrorKind::kStateUnusable,
      {.message = fmt::format("cannot keep looked-up values in {}: {}", path.string(), ::strerror(errno)),
       .remedy = "Free disk space there, or move the state folder with --state.",
       .vendor_code = {}});
}

// A name of only safe characters that no two tables share.
std::string file_name(const model::TableName& table) {
  std::string name;
  for (unsigned char c : table.schema + '\0' + table.table) name += fmt::format("{:02x}", c);
  // A file name has at most 255 bytes; two 63-byte identifiers make 254 digits.
  return name.substr(0, 254);
}

void append_text(std::string& out, std::string_view text) {
  base::append_native(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

}  // namespace

// A record: size of what follows, commit key, commit text, ordinal, column, state, value. A torn last record,
// from a kill in the middle of a write, is of a value that no object holds yet.
class LookedUpValues::TableFile {
 public:
  explicit TableFile(std::filesystem::path path) : path_(std::move(path)) {
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor_ < 0) throw unusable(path_);
    read_index();
  }
  ~TableFile() {
    ::close(descriptor_);
    if (size_ == 0) ::unlink(path_.c_str());
  }
  TableFile(const TableFile&) = delete;
  TableFile& operator=(const TableFile&) = delete;

  std::optional<Value> find(const LookedUpCell& cell) const {
    auto found = earlier_.find(cell);
    if (found == earlier_.end()) return std::nullopt;
    return Value{found->second.state, read(found->second.at, found->second.size)};
  }

  void remember(const LookedUpCell& cell, const Value& value) {
    std::string record;
    base::append_native(record, std::uint64_t{0});
    append_text(record, cell.point.commit.key());
    append_text(record, cell.point.commit.text());
    base::append_native(record, cell.point.ordinal);
    base::append_native(record, cell.column);
    record += static_cast<char>(value.state);
    record += value.bytes;
    std::uint64_t size = record.size() - sizeof size;
    std::memcpy(record.data(), &size, sizeof size);
    write(record);
    last_ = std::max(last_, cell.point);
    synced_ = false;
  }

  void sync() {
    if (synced_) return;
    if (::fdatasync(descriptor_) != 0) throw unusable(path_);
    synced_ = true;
  }

  void forget(const ChangePoint& last) {
    earlier_.erase(earlier_.begin(), earlier_.upper_bound({.point = last, .column = UINT32_MAX}));
    if (!earlier_.empty() || last < last_ || size_ < kEmptyAbove) return;
    if (::ftruncate(descriptor_, 0) != 0) throw unusable(path_);
    size_ = 0;
  }

 private:
  struct Place {
    model::CellState state;
    std::int64_t at;
    std::size_t size;
  };

  void read_index() {
    std::int64_t at = 0;
    std::int64_t end = ::lseek(descriptor_, 0, SEEK_END);
    constexpr std::int64_t kHead = sizeof(std::uint64_t);
    while (end - at >= kHead) {
      auto size = base::load_native<std::uint64_t>(read(at, kHead).data());
      if (size > static_cast<std::uint64_t>(end - at - kHead) || !index_record(at + kHead, size)) break;
      at += kHead + static_cast<std::int64_t>(size);
    }
    size_ = at;
    if (::ftruncate(descriptor_, size_) != 0) throw unusable(path_);
  }

  bool index_record(std::int64_t at, std::size_t size) {
    // Only the head of the record is needed; keys and texts of positions are short.
    constexpr std::size_t kHeadMax = 4096;
    std::string bytes = read(at, std::min(size, kHeadMax));
    std::string_view left = bytes;
    auto take = [&left](std::size_t count) {
      std::string_view taken = left.substr(0, std::min(count, left.size()));
      left.remove_prefix(taken.size());
      return taken;
    };
    auto take_text = [&]() -> std::string {
      std::string_view length = take(sizeof(std::uint32_t));
      if (length.size() != sizeof(std::uint32_t)) return {};
      return std::string(take(base::load_native<std::uint32_t>(length.data())));
    };
    LookedUpCell cell;
    std::string key = take_text();
    std::string text = take_text();
    cell.point.commit = {std::move(key), std::move(text)};
    std::string_view fixed = take(sizeof(std::uint64_t) + sizeof(std::uint32_t) + 1);
    if (fixed.size() != sizeof(std::uint64_t) + sizeof(std::uint32_t) + 1) return false;
    cell.point.ordinal = base::load_native<std::uint64_t>(fixed.data());
    cell.column = base::load_native<std::uint32_t>(fixed.data() + sizeof(std::uint64_t));
    auto state = static_cast<model::CellState>(fixed.back());
    std::size_t head = bytes.size() - left.size();
    earlier_[cell] = {state, at + static_cast<std::int64_t>(head), size - head};
    last_ = std::max(last_, cell.point);
    return true;
  }

  std::string read(std::int64_t at, std::size_t size) const {
    std::string bytes(size, '\0');
    std::size_t done = 0;
    while (done < size) {
      ssize_t got =
          ::pread(descriptor_, bytes.data() + done, size - done, at + static_cast<std::int64_t>(done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) throw unusable(path_);
      done += static_cast<std::size_t>(got);
    }
    return bytes;
  }

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), size_);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw unusable(path_);
      bytes.remove_prefix(static_cast<std::size_t>(written));
      size_ += written;
    }
  }

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::int64_t size_ = 0;
  bool synced_ = true;
  ChangePoint last_;                       // The greatest point in the file.
  std::map<LookedUpCell, Place> earlier_;  // What an earlier run left.
};

LookedUpValues::LookedUpValues(std::filesystem::path folder) : folder_(std::move(folder)) {
  std::filesystem::create_directories(folder_);
}
LookedUpValues::~LookedUpValues() = default;

LookedUpValues::TableFile& LookedUpValues::file_of(const model::TableName& table) {
  std::unique_ptr<TableFile>& file = files_[table];
  if (!file) file = std::make_unique<TableFile>(folder_ / file_name(table));
  return *file;
}

std::optional<LookedUpValues::Value> LookedUpValues::find(const model::TableName& table,
                                                          const LookedUpCell& cell) {
  std::lock_guard lock(mutex_);
  return file_of(table).find(cell);
}

void LookedUpValues::remember(const model::TableName& table, const LookedUpCell& cell, const Value& value) {
  std::lock_guard lock(mutex_);
  file_of(table).remember(cell, value);
}

void LookedUpValues::sync(const model::TableName& table) {
  std::lock_guard lock(mutex_);
  for (auto& [name, file] : files_) {
    if (name == table || table == model::TableName()) file->sync();
  }
}

void LookedUpValues::forget(const model::TableName& table, const ChangePoint& last) {
  std::lock_guard lock(mutex_);
  ChangePoint end{.commit = last.commit, .ordinal = std::numeric_limits<std::uint64_t>::max()};
  bool is_of_all = table == model::TableName();
  for (auto& [name, file] : files_) {
    if (is_of_all || name == table) file->forget(is_of_all ? end : last);
  }
}

}  // namespace ferry::engine
