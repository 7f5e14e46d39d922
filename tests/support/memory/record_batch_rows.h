#pragma once

#include <span>
#include <vector>

#include "model/record_batch.h"
#include "tests/support/memory/memory_row.h"

namespace ferry::test_support {

// Rows in Arrow's columns, and back. Throws std::runtime_error where Arrow does.
model::RecordBatch record_batch_of(const model::TableVersionPtr& table, std::span<const Row> rows);
std::vector<Row> rows_of(const model::RecordBatch& batch);

}  // namespace ferry::test_support
