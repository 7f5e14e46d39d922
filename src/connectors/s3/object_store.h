#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/object_writer.h"

namespace ferry::s3 {

// An object that is being written and that no reader sees. Destroying it before publish() removes it. Used by
// one thread.
class StagedObject : public formats::ByteSink {
 public:
  // The object is durable and visible under `key`, in place of one that was there. Called once, last.
  virtual void publish(const std::string& key) = 0;
};

// Where objects lie: a bucket, or a folder of the file system. A key is a relative path with '/'.
// Thread-safe. Throws Error(kTargetUnwritable, kTargetFull, kTargetUnreachable).
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // Begins an object whose key will start with `prefix`, which ends with '/'.
  virtual std::unique_ptr<StagedObject> stage(const std::string& prefix) = 0;

  // How many objects may be staged at once.
  virtual std::size_t staged_max() const = 0;

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
