#pragma once

#include <filesystem>
#include <memory>

#include "connectors/s3/object_store.h"

namespace ferry::s3 {

// Objects as files below `root`, which is made when the first object is. An object is written under a
// dot-name in its own folder, synced, renamed, and the folder synced, so that after a crash it is there whole
// or not at all.
std::unique_ptr<ObjectStore> make_directory_store(const std::filesystem::path& root);

}  // namespace ferry::s3
