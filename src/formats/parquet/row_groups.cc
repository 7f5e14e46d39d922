#include "formats/parquet/row_groups.h"

#include <arrow/array.h>
#include <parquet/column_writer.h>
#include <parquet/exception.h>
#include <parquet/file_writer.h>
#include <parquet/metadata.h>
#include <parquet/properties.h>
#include <parquet/schema.h>

#include <utility>

#include "formats/parquet/arrow_status.h"
#include "formats/parquet/column_pages.h"
#include "formats/parquet/page_compressor.h"
#include "formats/parquet/parquet_schema.h"
#include "formats/parquet/sink_stream.h"

namespace ferry::formats {
namespace {

// A Parquet file begins and ends with it.
constexpr std::string_view kMagic = "PAR1";

}  // namespace

struct RowGroups::File {
  File(ByteSink& sink, const ObjectShape& shape, const ParquetOptions& options, arrow::MemoryPool* pool)
      : stream(std::make_shared<SinkStream>(sink)),
        properties(parquet_properties(shape, options, pool)),
        compressor(options.codec) {
    schema.Init(parquet_schema(shape, options));
    footer = parquet::FileMetaDataBuilder::Make(&schema, properties);
  }

  std::shared_ptr<SinkStream> stream;
  std::shared_ptr<parquet::WriterProperties> properties;
  parquet::SchemaDescriptor schema;
  PageCompressor compressor;
  std::unique_ptr<parquet::FileMetaDataBuilder> footer;
  std::vector<std::unique_ptr<ColumnPages>> columns;  // From the first rows on.
  std::int16_t groups = 0;

  // The library's exceptions as ours, the sink's own first.
  template <typename Work>
  void guarded(Work&& work) {
    try {
      work();
    } catch (const parquet::ParquetException& error) {
      stream->rethrow_sink_error();
      throw base::Error(base::ErrorKind::kInternal, std::string("Writing Parquet failed: ") + error.what());
    }
  }

  void write(std::string_view bytes) {
    arrow::Status written = stream->Write(bytes.data(), static_cast<std::int64_t>(bytes.size()));
    stream->rethrow_sink_error();
    require_ok(written);
  }

  void write_group(std::int64_t rows) {
    parquet::RowGroupMetaDataBuilder* group = footer->AppendRowGroup();
    std::int64_t bytes = 0;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      parquet::ColumnChunkMetaDataBuilder* chunk = group->NextColumnChunk();
      auto pages = parquet::PageWriter::Open(stream, properties->compression(chunk->descr()->path()), chunk,
                                             groups, static_cast<std::int16_t>(i), properties->memory_pool());
      bytes += columns[i]->write(*pages, *chunk);
    }
    group->set_num_rows(rows);
    group->Finish(bytes, groups++);
  }
};

RowGroups::RowGroups(ByteSink& sink, const ObjectShape& shape, const ParquetOptions& options,
                     arrow::MemoryPool* pool)
    : file_(std::make_unique<File>(sink, shape, options, pool)) {
  file_->write(kMagic);
}

RowGroups::~RowGroups() = default;

void RowGroups::append(const std::vector<std::shared_ptr<arrow::Array>>& columns) {
  file_->guarded([&] {
    group_bytes_ = 0;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (i == file_->columns.size()) {
        file_->columns.push_back(make_column_pages(*file_->schema.Column(static_cast<int>(i)),
                                                   *columns[i]->type(), *file_->properties,
                                                   file_->compressor));
      }
      file_->columns[i]->append(*columns[i]);
      group_bytes_ += file_->columns[i]->held_bytes();
    }
  });
  group_rows_ += columns.front()->length();
}

void RowGroups::close_group() {
  if (group_rows_ == 0) return;
  file_->guarded([&] { file_->write_group(group_rows_); });
  group_rows_ = 0;
  group_bytes_ = 0;
}

void RowGroups::finish() {
  close_group();
  file_->guarded([&] { parquet::WriteFileMetaData(*file_->footer->Finish(), file_->stream.get()); });
}

std::int64_t RowGroups::written_bytes() const { return file_->stream->written(); }

}  // namespace ferry::formats
