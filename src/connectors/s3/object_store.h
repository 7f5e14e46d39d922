#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/object_writer.h"
#include "model/object_tag.h"

namespace ferry::s3 {

// An object that is being written and that no reader sees. Destroying it before publish() removes it. May
// hold one open file. Used by one thread.
class StagedObject : public formats::ByteSink {
 public:
  // The object is durable and visible under `key`, in place of one that was there. Called once, last.
  virtual void publish(const std::string& key) = 0;

  // What the object holds in memory beside its writer.
  virtual std::int64_t memory_bytes() const { return 0; }
};

// What is known of an object's key when it is begun.
struct ObjectPlace {
  std::string prefix;  // The key will begin with it; ends with '/'.
  // Tells the key that publish() will be given. Empty where only publish() can tell: a store may then have to
  // keep a large object on this machine until it is complete. Called at most once, by the object's thread,
  // not for an object that remains without bytes.
  std::function<std::string()> key = {};
  std::vector<model::ObjectTag> tags = {};  // A directory has none.
};

// Where objects lie: a bucket, or a folder of the file system. A key is a relative path with '/'.
// Thread-safe. Throws Error(kTargetUnwritable, kTargetFull, kTargetUnreachable), a bucket also
// kTargetAuthentication, kTargetPrivilege, kTargetConfiguration and kTargetTls.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // The object lives no longer than the store.
  virtual std::unique_ptr<StagedObject> stage(const ObjectPlace& place) = 0;

  // The keys below `prefix` (which ends with '/'), at any depth, sorted. Staged objects are not among them.
  virtual std::vector<std::string> list(const std::string& prefix) = 0;

  // A key that is not there is no error.
  virtual void remove(const std::string& key) = 0;

  // Removes what killed processes left staged below `prefix`.
  virtual void sweep(const std::string& prefix) = 0;

  // Proves that objects can be written, and leaves nothing behind.
  virtual void probe() = 0;
};

}  // namespace ferry::s3
