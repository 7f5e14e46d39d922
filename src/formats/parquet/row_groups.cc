#include "formats/parquet/row_groups.h"

#include <arrow/array.h>
#include <parquet/column_writer.h>
#include <parquet/exception.h>
#include <parquet/file_writer.h>
#include <parquet/properties.h>

#include "formats/array_view.h"
#include "formats/parquet/arrow_status.h"
#include "formats/parquet/parquet_schema.h"
#include "formats/parquet/sink_stream.h"

namespace ferry::formats {

struct RowGroups::File {
  std::shared_ptr<SinkStream> stream;
  std::unique_ptr<parquet::ParquetFileWriter> writer;
  parquet::RowGroupWriter* group = nullptr;
  parquet::ArrowWriteContext context;

  // The encoder's exceptions as ours, the sink's own first.
  template <typename Work>
  void guarded(Work&& work) {
    try {
      work();
    } catch (const parquet::ParquetException& error) {
      stream->rethrow_sink_error();
      throw base::Error(base::ErrorKind::kInternal, std::string("Writing Parquet failed: ") + error.what());
    }
  }
};

RowGroups::RowGroups(ByteSink& sink, const ObjectShape& shape, const ParquetOptions& options,
                     arrow::MemoryPool* pool)
    : file_(std::make_unique<File>(File{
          .stream = std::make_shared<SinkStream>(sink),
          .writer = nullptr,
          .context = parquet::ArrowWriteContext(pool, parquet::default_arrow_writer_properties().get())})) {
  file_->guarded([&] {
    file_->writer = parquet::ParquetFileWriter::Open(file_->stream, parquet_schema(shape, options),
                                                     parquet_properties(shape, options, pool));
  });
}

RowGroups::~RowGroups() { file_->stream->abandon(); }

void RowGroups::append(const std::vector<std::shared_ptr<arrow::Array>>& columns) {
  file_->guarded([&] {
    if (file_->group == nullptr) file_->group = file_->writer->AppendBufferedRowGroup();
    for (std::size_t i = 0; i < columns.size(); ++i) append_column(static_cast<int>(i), *columns[i]);
    measure();
  });
  group_rows_ += columns.front()->length();
}

void RowGroups::append_column(int index, const arrow::Array& values) {
  parquet::ColumnWriter* writer = file_->group->column(index);
  bool optional = writer->descr()->max_definition_level() > 0;
  if (optional) {
    levels_.assign(static_cast<std::size_t>(values.length()), 1);
    if (values.null_count() > 0) {
      ArrayView view = view_of(values);
      for (std::int64_t row = 0; row < values.length(); ++row) {
        levels_[static_cast<std::size_t>(row)] = view.is_null(row) ? 0 : 1;
      }
    }
  }
  require_ok(writer->WriteArrow(optional ? levels_.data() : nullptr, nullptr, values.length(), values,
                                &file_->context, optional));
}

void RowGroups::measure() {
  const parquet::RowGroupWriter& group = *file_->group;
  auto held = group.estimated_buffered_stats();
  group_bytes_ = group.total_compressed_bytes() + group.total_compressed_bytes_written() +
                 held.def_level_bytes + held.rep_level_bytes + held.value_bytes + held.dict_bytes;
}

void RowGroups::close_group() {
  if (file_->group == nullptr) return;
  file_->guarded([&] { file_->group->Close(); });
  file_->group = nullptr;
  group_rows_ = 0;
  group_bytes_ = 0;
}

void RowGroups::finish() {
  close_group();
  file_->guarded([&] { file_->writer->Close(); });
}

std::int64_t RowGroups::written_bytes() const { return file_->stream->written(); }

}  // namespace ferry::formats
