"""The files of one table in a DMS target folder: their names, and their rows inside DuckDB.

`list_table_files` accepts DMS's names only, so a foreign name, a dot-file or a gap in the LOAD numbers is an
error. `read_table_files` fills two DuckDB tables:

    loaded(file, row, key, high, low, version)        one row for each row of the LOAD files
    changes(file, row, op, key, high, low, version)   one row for each row of the change files

`file` is the file's place in the order of replay, `row` the row's place in the file, `key` the canonical text
of the columns that identify the row, `high` and `low` the halves of the MD5 of the whole row's canonical text,
`version` the value of the table's version column, or NULL.
"""
from __future__ import annotations

import csv
import datetime
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from canonical_text import TEXT_TYPES, quoted, row_text
from source_tables import Column, Table

LOAD_NAME = re.compile(r"(?P<segment>SEGMENT[1-9]\d*_)?LOAD(?P<number>[0-9A-F]{8})\.(?P<extension>csv|csv\.gz|parquet)")
CHANGE_NAME = re.compile(r"(?P<time>\d{8}-\d{9})\.(?P<extension>csv|csv\.gz|parquet)")
CSV_BLOCK_BYTES = 64 << 20  # a row must fit in a block
OPERATIONS = ("I", "U", "D")


class FilesError(Exception):
    """A file that should not be there, is not whole, or does not look as the layout says."""


@dataclass(frozen=True)
class Layout:
    """What the task's settings say about the files."""

    format: str = "parquet"  # or csv
    null_marker: str = ""  # CsvNullValue
    delimiter: str = ","  # CsvDelimiter, one character
    header: bool = False  # AddColumnName
    operation_in_load: bool = False  # IncludeOpForFullLoad
    timestamp_column: str = ""  # TimestampColumnName
    # The table was altered meanwhile: a file may lack columns that were added later, which then are NULL, and have
    # others that were dropped since, which then are nobody's.
    columns_change: bool = False
    # A regular expression for what renames have put at the end of a name, with their number as its one group. Columns
    # whose names are equal before it are one column, and so are tables, whose files then lie in a folder for each name.
    renamed: str = ""

    def first_name(self, name: str) -> str:
        """What a column or table was called before it was ever renamed."""
        return re.sub(f"{self.renamed}$", "", name) if self.renamed else name

    def renames(self, name: str) -> int:
        found = re.search(f"{self.renamed}$", name) if self.renamed else None
        return int(found[1]) if found else 0

    @property
    def empty_is_null(self) -> bool:
        """Whether an empty string and NULL are the same bytes."""
        return self.format == "csv" and self.null_marker == ""

    def column_names(self, table: Table, *, with_operation: bool) -> list[str]:
        names = ["Op"] if with_operation else []
        if self.timestamp_column:
            names.append(self.timestamp_column)
        return names + [column.name for column in table.columns]


@dataclass(frozen=True)
class TableFiles:
    """A table's files in the order of replay."""

    load: tuple[Path, ...]
    changes: tuple[Path, ...]

    @property
    def all(self) -> tuple[Path, ...]:
        return self.load + self.changes

    @property
    def total_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.all)


def fits_format(extension: str, layout: Layout) -> bool:
    return extension.startswith("csv") if layout.format == "csv" else extension == "parquet"


def check_load_numbers(found: list[re.Match[str]], folder: Path) -> None:
    """Every segment, and the part without one, counts its files from 1 without a gap."""
    numbers: dict[str, list[int]] = {}
    for match in found:
        numbers.setdefault(match["segment"] or "", []).append(int(match["number"], 16))
    for segment, present in numbers.items():
        if sorted(present) != list(range(1, len(present) + 1)):
            raise FilesError(
                f"{folder}: the {segment}LOAD files are not numbered from 1 without gaps: {sorted(present)}")


def check_times(found: list[re.Match[str]], folder: Path) -> None:
    """Every change file has a real time for its name, and one that no other file has."""
    times = [match["time"] for match in found]
    for time in times:
        try:
            time_of_name(time)
        except ValueError as error:
            raise FilesError(f"{folder}: no such time as the name {time} says") from error
    if len(set(times)) != len(times):
        raise FilesError(f"{folder}: two change files have the same time: {sorted(times)}")


def time_of_name(name: str) -> datetime.datetime:
    """Returns the time in a change file's name, which ends with three digits of milliseconds."""
    return datetime.datetime.strptime(name[:18] + "000", "%Y%m%d-%H%M%S%f")


def list_table_files(root: Path, table: Table, layout: Layout) -> TableFiles:
    """Lists the files of one table, under each name that it has had. A table without rows has no folder."""
    schema = root / table.schema
    names = [path.name for path in (schema.iterdir() if schema.exists() else ())
             if layout.first_name(path.name) == layout.first_name(table.name)]
    parts = [list_folder(schema / name, layout) for name in sorted(names, key=layout.renames)]
    return TableFiles(tuple(path for part in parts for path in part.load),
                      tuple(path for part in parts for path in part.changes))


def list_folder(folder: Path, layout: Layout) -> TableFiles:
    load: list[re.Match[str]] = []
    changes: list[re.Match[str]] = []
    for path in sorted(folder.iterdir()):
        match = LOAD_NAME.fullmatch(path.name) or CHANGE_NAME.fullmatch(path.name)
        if match is None or not path.is_file() or not fits_format(match["extension"], layout):
            raise FilesError(f"{path}: foreign to a folder of {layout.format} files")
        (load if match.re is LOAD_NAME else changes).append(match)
    check_load_numbers(load, folder)
    check_times(changes, folder)
    return TableFiles(tuple(folder / match.string for match in load), tuple(folder / match.string for match in changes))


def check_no_other_tables(root: Path, tables: list[Table], layout: Layout) -> None:
    """Fails when the target folder holds anything that belongs to none of the tables."""
    schemas = {table.schema for table in tables}
    folders = {root / table.schema / layout.first_name(table.name) for table in tables}
    for path in sorted(root.iterdir()) if root.exists() else []:
        if path.name not in schemas:
            raise FilesError(f"{path}: foreign to the target folder")
        for inner in sorted(path.iterdir()):
            if inner.with_name(layout.first_name(inner.name)) not in folders:
                raise FilesError(f"{inner}: belongs to none of the tables")


def create_row_tables(database: duckdb.DuckDBPyConnection) -> None:
    database.execute(
        "CREATE TABLE loaded (file INTEGER, row BIGINT, key VARCHAR, high UBIGINT, low UBIGINT, version BIGINT);"
        "CREATE TABLE changes (file INTEGER, row BIGINT, op VARCHAR, key VARCHAR, high UBIGINT, low UBIGINT, "
        "version BIGINT)")


def file_text(columns: tuple[Column, ...], layout: Layout, names: list[str]) -> str:
    """Returns the DuckDB expression of the canonical text of some columns of a file; those not in it are NULL."""
    present = {layout.first_name(name): name for name in names}
    values = []
    for column in columns:
        name = present.get(layout.first_name(column.name))
        if name is None:
            values.append("NULL")
            continue
        form = column.form.csv if layout.format == "csv" else column.form.parquet
        value = form.format(quoted(name))
        if layout.empty_is_null and column.type_name in TEXT_TYPES:
            value = f"nullif({value}, '')"
        values.append(value)
    return row_text(values)


def check_names(path: Path, found: list[str], expected: list[str]) -> None:
    if found != expected:
        raise FilesError(f"{path}: has the columns {', '.join(found)} instead of {', '.join(expected)}")


def check_names_after_changes(path: Path, found: list[str], expected: list[str], required: set[str]) -> None:
    """Columns that file and table have in common stand in the table's order, and no required one is missing."""
    in_common = [name for name in found if name in expected]
    if in_common != [name for name in expected if name in found] or not required <= set(found):
        raise FilesError(f"{path}: has the columns {', '.join(found)}, which {', '.join(expected)} cannot have been")


def csv_header(path: Path, layout: Layout) -> list[str]:
    opened = gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="")
    with opened as file:
        return next(csv.reader(file, delimiter=layout.delimiter))


def numbered_csv_batches(path: Path, names: list[str], layout: Layout) -> Iterator[pa.RecordBatch]:
    """Yields a CSV file's fields as text, with their row's number as the last column, `file_row_number`."""
    reader = pyarrow.csv.open_csv(
        path,
        pyarrow.csv.ReadOptions(use_threads=False, block_size=CSV_BLOCK_BYTES,
                                column_names=None if layout.header else names),
        pyarrow.csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True, ignore_empty_lines=False),
        pyarrow.csv.ConvertOptions(column_types={name: pa.string() for name in names}, strings_can_be_null=True,
                                   null_values=[layout.null_marker], quoted_strings_can_be_null=False))
    check_names(path, reader.schema.names, names)
    first = 0
    for batch in reader:
        numbers = pa.arange(first, first + batch.num_rows)
        yield batch.append_column("file_row_number", numbers)
        first += batch.num_rows


def open_csv(path: Path, names: list[str], layout: Layout) -> pa.RecordBatchReader:
    schema = pa.schema([(name, pa.string()) for name in names] + [("file_row_number", pa.int64())])
    if path.suffix == ".csv":
        with path.open("rb") as file:
            file.seek(-1, 2)
            if file.read() != b"\n":
                raise FilesError(f"{path}: the last row has no end")
    return pa.RecordBatchReader.from_batches(schema, numbered_csv_batches(path, names, layout))


class TableReader:
    """Reads the files of one table into DuckDB, one by one in their order."""

    def __init__(self, database: duckdb.DuckDBPyConnection, table: Table, layout: Layout,
                 version_column: str) -> None:
        self._database = database
        self._table = table
        self._layout = layout
        has_version = any(column.name == version_column for column in table.columns)
        self._version = f"CAST({quoted(version_column)} AS BIGINT)" if has_version else "NULL"

    def _names(self, path: Path, expected: list[str]) -> list[str]:
        """The file's columns, checked."""
        if self._layout.format == "csv" and not self._layout.columns_change:
            return expected  # Checked where the file is read, as far as that is possible.
        found = (csv_header(path, self._layout) if self._layout.format == "csv"
                 else pyarrow.parquet.read_schema(path).names)
        if self._layout.columns_change:
            required = {*expected} - {column.name for column in self._table.columns} | {*self._table.key}
            check_names_after_changes(path, *([self._layout.first_name(name) for name in each]
                                              for each in (found, expected)), required)
        else:
            check_names(path, found, expected)
        return found

    def _relation(self, path: Path, expected: list[str]) -> tuple[str, str, str]:
        """Checks that the file is one of ours and returns how a query names its rows, a row's key and a row's text."""
        if path.stat().st_size == 0:
            raise FilesError(f"{path}: is empty")
        names = self._names(path, expected)
        key, row = (file_text(columns, self._layout, names)
                    for columns in (self._table.identifying_columns, self._table.columns))
        if self._layout.format == "csv":
            self._database.register("csv_file", open_csv(path, names, self._layout))
            return "csv_file", key, row
        return "read_parquet('{}', file_row_number = true)".format(str(path).replace("'", "''")), key, row

    def _insert(self, path: Path, number: int, target: str, operation: str, names: list[str]) -> None:
        relation, key, text = self._relation(path, names)
        rows = self._database.execute(
            f"INSERT INTO {target} SELECT file, row, {operation} key, "
            "('0x' || left(hash, 16))::UBIGINT, ('0x' || right(hash, 16))::UBIGINT, version "
            f"FROM (SELECT {number} AS file, file_row_number AS row, {operation} {key} AS key, "
            f"md5({text}) AS hash, {self._version} AS version FROM {relation})").fetchall()
        if rows[0][0] == 0:
            raise FilesError(f"{path}: has no rows")

    def read_load(self, path: Path, number: int) -> None:
        names = self._layout.column_names(self._table, with_operation=self._layout.operation_in_load)
        self._insert(path, number, "loaded", "", names)
        if self._layout.operation_in_load:
            self._require(path, names, "Op IS DISTINCT FROM 'I'", "a loaded row whose Op is not I")

    def read_changes(self, path: Path, number: int) -> None:
        names = self._layout.column_names(self._table, with_operation=True)
        self._insert(path, number, "changes", "Op,", names)
        if self._layout.timestamp_column:
            # Consumers rely on it that no change in a file was committed after the time in the file's name.
            self._require(path, names,
                          f"{quoted(self._layout.timestamp_column)}[:23]::TIMESTAMP > '{time_of_name(path.name)}'",
                          "a change committed after the time in the file's name")

    def find_rows(self, path: Path, names: list[str], hashes: list[str]) -> list[tuple[str, str]]:
        """Returns MD5 and canonical text of those rows of a file whose MD5 is one of `hashes`."""
        relation, _, text = self._relation(path, names)
        return self._database.execute(
            f"SELECT DISTINCT hash, text FROM (SELECT md5({text}) AS hash, {text} AS text "
            f"FROM {relation}) WHERE hash IN (SELECT unnest(?))", [hashes]).fetchall()

    def _require(self, path: Path, names: list[str], wrong: str, what: str) -> None:
        relation, _, _ = self._relation(path, names)
        query = f"SELECT count(*), min(file_row_number) FROM {relation} WHERE {wrong}"
        count, first = self._database.execute(query).fetchall()[0]
        if count:
            raise FilesError(f"{path}: row {first} is {what} ({count} such rows)")


def find_rows(database: duckdb.DuckDBPyConnection, table: Table, files: TableFiles, layout: Layout,
              hashes: list[str]) -> dict[str, str]:
    """Returns the canonical texts of rows given by their MD5s, from whichever files have them."""
    reader = TableReader(database, table, layout, "")
    found: dict[str, str] = {}
    for path in files.all:
        with_operation = layout.operation_in_load or path in files.changes
        found.update(reader.find_rows(path, layout.column_names(table, with_operation=with_operation), hashes))
    return found


def read_table_files(database: duckdb.DuckDBPyConnection, table: Table, files: TableFiles, layout: Layout,
                     version_column: str = "") -> None:
    """Creates and fills `loaded` and `changes` from a table's files."""
    create_row_tables(database)
    reader = TableReader(database, table, layout, version_column)
    for number, path in enumerate(files.all):
        try:
            if number < len(files.load):
                reader.read_load(path, number)
            else:
                reader.read_changes(path, number)
        except (duckdb.Error, pa.ArrowException) as error:
            raise FilesError(f"{path}: cannot be read: {error}") from error
