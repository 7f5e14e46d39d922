#include "formats/csv/csv_column.h"

#include <arrow/array.h>

#include <type_traits>

#include "formats/text_form.h"

namespace ferry::formats {
namespace {

// Numbers, dates, bytes: fields that hold nothing to quote unless a delimiter is a character of theirs.
template <typename Form>
class PlainColumn final : public CsvColumn {
 public:
  using Native = typename Form::Native;

  PlainColumn(Form form, const CsvQuoting& quoting, Appended uncut)
      : form_(form), quoting_(quoting), uncut_(uncut) {}

  Appended append_row(ByteBuffer& out, std::int64_t row) const override {
    return append(out, view_.value<Native>(row));
  }
  Appended append_cell(ByteBuffer& out, std::string_view bytes) const override {
    return append(out, cell_value<Native>(bytes));
  }

 private:
  Appended append(ByteBuffer& out, Native value) const {
    std::size_t start = out.size();
    out.grow_to(form_.put(out.room(form_.text_max(value)), value));
    if (quoting_.concerns_numbers()) quoting_.quote_from(out, start);
    return form_.loses(value) ? Appended::kCut : uncut_;
  }

  Form form_;
  const CsvQuoting& quoting_;
  const Appended uncut_;
};

// The source's own text. When a bound array holds nothing to quote, which one fast look at all its bytes
// says, its rows are copied as they are.
class TextColumn final : public CsvColumn {
 public:
  explicit TextColumn(const CsvQuoting& quoting) : quoting_(quoting) {}

  Appended append_row(ByteBuffer& out, std::int64_t row) const override {
    auto text = view_.value<std::string_view>(row);
    if (nothing_to_quote_) {
      out.append(text);
    } else {
      quoting_.append_field(out, text);
    }
    return Appended::kWhole;
  }
  Appended append_cell(ByteBuffer& out, std::string_view bytes) const override {
    quoting_.append_field(out, bytes);
    return Appended::kWhole;
  }

 private:
  void look_at_text(std::string_view text) override { nothing_to_quote_ = !quoting_.needs_quotes(text); }

  const CsvQuoting& quoting_;
  bool nothing_to_quote_ = false;
};

}  // namespace

void CsvColumn::bind(const arrow::Array& array, std::int64_t first) {
  view_ = view_of(array);
  if (view_.offsets != nullptr) look_at_text(view_.bytes_of_rows(first, array.length() - first));
}

std::unique_ptr<CsvColumn> make_csv_column(const model::LogicalType& type, const CsvQuoting& quoting) {
  return with_text_form(type, [&](auto form) -> std::unique_ptr<CsvColumn> {
    if constexpr (std::is_same_v<decltype(form), TextForm>) {
      return std::make_unique<TextColumn>(quoting);
    } else {
      auto uncut = type.without_offset ? CsvColumn::Appended::kWithoutOffset : CsvColumn::Appended::kWhole;
      return std::make_unique<PlainColumn<decltype(form)>>(form, quoting, uncut);
    }
  });
}

}  // namespace ferry::formats
