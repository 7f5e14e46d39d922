#!/usr/bin/env python3
"""Tests of replay: right files are accepted, and every kind of wrong file is refused and named."""
from __future__ import annotations

import csv
import dataclasses
import datetime
import decimal
import hashlib
import io
import sys
import tempfile
import unittest
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet

sys.path.insert(0, str(Path(__file__).parent))

import replay  # noqa: E402
from canonical_text import NULL_MARK, SEPARATOR, form_of  # noqa: E402
from postgres_server import PostgresServer  # noqa: E402
from source_tables import HALF, Column, Digest, Identity, Table, describe_table, prepare_session  # noqa: E402
from table_files import FilesError, Layout  # noqa: E402

Row = tuple[Any, ...]

CSV = Layout(format="csv", null_marker="\\N")
PARQUET = Layout(format="parquet")


def table_of(identity: Identity) -> Table:
    """A table of id, name and city."""
    columns = (Column("id", "integer", form_of("integer", -1)), Column("name", "text", form_of("text", -1)),
               Column("city", "text", form_of("text", -1)))
    return Table("hr", "emp", columns, identity, ("id",) if identity is Identity.KEY else ())


def digest_of(rows: list[Row]) -> Digest:
    """The digest as its definition says it, without DuckDB or PostgreSQL."""
    hashes = [hashlib.md5(chr(SEPARATOR).join(chr(NULL_MARK) if value is None else str(value) for value in row)
                          .encode()).digest() for row in rows]
    return Digest(len(rows), sum(int.from_bytes(hash[:8], "big") for hash in hashes) % HALF,
                  sum(int.from_bytes(hash[8:], "big") for hash in hashes) % HALF)


class Folder:
    """Writes a table's files as DMS would, in either format."""

    def __init__(self, root: Path, layout: Layout) -> None:
        self.root = root
        self.layout = layout
        self.path = root / "hr" / "emp"
        self.path.mkdir(parents=True)
        self._changes = 0

    def _csv(self, rows: list[Row]) -> bytes:
        output = io.StringIO(newline="")
        writer = csv.writer(output, lineterminator="\n")
        writer.writerows([self.layout.null_marker if value is None else value for value in row] for row in rows)
        return output.getvalue().encode()

    def _parquet(self, names: list[str], rows: list[Row]) -> bytes:
        types = [pa.int32() if name in ("id", "number", "gone") else pa.string() for name in names]
        columns = [pa.array([row[place] for row in rows], kind) for place, kind in enumerate(types)]
        output = io.BytesIO()
        pyarrow.parquet.write_table(pa.table(columns, names=names), output)
        return output.getvalue()

    def _write(self, stem: str, names: list[str], rows: list[Row]) -> Path:
        path = self.path / f"{stem}.{self.layout.format}"
        path.write_bytes(self._csv(rows) if self.layout.format == "csv" else self._parquet(names, rows))
        return path

    def write_named(self, stem: str, names: list[str], rows: list[Row]) -> None:
        """A file of just these columns, with their names in it."""
        header: list[Row] = [tuple(names)] if self.layout.format == "csv" else []
        self._write(stem, names, header + rows)

    def load(self, number: int, rows: list[Row]) -> Path:
        return self._write(f"LOAD{number:08X}", ["id", "name", "city"], rows)

    def change(self, rows: list[Row]) -> Path:
        self._changes += 1
        names = ["Op", "id", "name", "city"]
        if self.layout.timestamp_column:
            names.insert(1, self.layout.timestamp_column)
        return self._write(f"20240102-030405{self._changes:03d}", names, rows)


class FolderTest(unittest.TestCase):
    """A test that writes files and replays them. Every test runs in both formats."""

    identity = Identity.KEY
    rules = replay.NO_RULES

    def setUp(self) -> None:
        self._folders: list[tempfile.TemporaryDirectory[str]] = []

    def tearDown(self) -> None:
        for folder in self._folders:
            folder.cleanup()

    def folder(self, layout: Layout) -> Folder:
        self._folders.append(tempfile.TemporaryDirectory(prefix="replay-test-"))
        return Folder(Path(self._folders[-1].name), layout)

    def replay(self, folder: Folder) -> replay.Replay:
        return replay.replay_table(folder.root, table_of(self.identity), folder.layout, self.rules)

    def expect_rows(self, load: list[list[Row]], changes: list[list[Row]], final: list[Row]) -> None:
        for layout in (CSV, PARQUET):
            with self.subTest(layout.format):
                folder = self.folder(layout)
                for number, rows in enumerate(load, start=1):
                    folder.load(number, rows)
                for rows in changes:
                    folder.change(rows)
                self.assertEqual(self.replay(folder).digest, digest_of(final))

    def expect_error(self, load: list[list[Row]], changes: list[list[Row]], *words: str) -> None:
        for layout in (CSV, PARQUET):
            with self.subTest(layout.format):
                folder = self.folder(layout)
                for number, rows in enumerate(load, start=1):
                    folder.load(number, rows)
                for rows in changes:
                    folder.change(rows)
                with self.assertRaises(replay.ReplayError) as caught:
                    self.replay(folder)
                for word in words:
                    self.assertIn(word, str(caught.exception))


class KeyedTable(FolderTest):
    def test_load_only(self) -> None:
        self.expect_rows([[(1, "A", "X"), (2, "B", None)], [(3, "C", "")]], [],
                         [(3, "C", ""), (1, "A", "X"), (2, "B", None)])

    def test_nothing_at_all(self) -> None:
        self.expect_rows([], [], [])

    def test_changes_in_order(self) -> None:
        self.expect_rows([[(1, "A", "X"), (2, "B", None), (3, "C", "Z")]],
                         [[("I", 4, "D", "W"), ("U", 1, "a", "x"), ("D", 2, None, None)],
                          [("U", 4, "d", "w"), ("I", 2, "again", None), ("D", 3, "C", "Z")]],
                         [(1, "a", "x"), (2, "again", None), (4, "d", "w")])

    def test_key_change_is_delete_and_insert(self) -> None:
        self.expect_rows([[(5, "A", "X")]], [[("D", 5, None, None), ("I", 7, "A", "X")]], [(7, "A", "X")])

    def test_text_with_every_csv_peril(self) -> None:
        rows = [(1, 'He said "hi", ok', "a\nb"), (2, "a\r\nb", "\\N "), (3, " lead", "trail "), (4, "NULL", "'")]
        self.expect_rows([rows], [[("U", 1, 'still "quoted"', "a\n\nb")]],
                         [(1, 'still "quoted"', "a\n\nb"), *rows[1:]])

    def test_lost_insert_is_noticed_by_its_update(self) -> None:
        self.expect_error([[(1, "A", "X")]], [[("U", 9, "a", "x")]],
                          "20240102-030405001", "row 0", "U of (9) after nothing")

    def test_lost_row_without_later_change_changes_the_digest(self) -> None:
        folder = self.folder(PARQUET)
        folder.load(1, [(1, "A", "X")])
        self.assertNotEqual(self.replay(folder).digest, digest_of([(1, "A", "X"), (2, "B", "Y")]))

    def test_delete_of_an_unknown_key(self) -> None:
        self.expect_error([[(1, "A", "X")]], [[("D", 2, None, None)]], "D of (2) after nothing")

    def test_doubled_delete(self) -> None:
        self.expect_error([[(1, "A", "X")]], [[("D", 1, None, None)], [("D", 1, None, None)]],
                          "20240102-030405002", "D of (1) after D at 20240102-030405001")

    def test_doubled_insert(self) -> None:
        self.expect_error([], [[("I", 1, "A", "X"), ("I", 1, "A", "X")]], "row 1: I of (1) after I", "row 0")

    def test_insert_of_a_loaded_row(self) -> None:
        self.expect_error([[(1, "A", "X")]], [[("I", 1, "A", "X")]], "I of (1) after L", "LOAD00000001")

    def test_doubled_file(self) -> None:
        change = [("I", 4, "D", "W"), ("U", 4, "d", "w")]
        self.expect_error([[(1, "A", "X")]], [change, change], "I of (4) after U")

    def test_row_loaded_twice(self) -> None:
        self.expect_error([[(1, "A", "X")], [(1, "A", "X")]], [], "(1): 2 times", "LOAD00000002")

    def test_row_loaded_twice_and_changed_later(self) -> None:
        self.expect_error([[(1, "A", "X"), (1, "A", "X")]], [[("D", 1, None, None)]], "L of (1) after L")

    def test_wrong_order_in_a_file(self) -> None:
        self.expect_error([], [[("D", 1, None, None), ("I", 1, "A", "X")]], "D of (1) after nothing")

    def test_wrong_order_of_files(self) -> None:
        self.expect_error([], [[("U", 1, "a", "x")], [("I", 1, "A", "X")]], "20240102-030405001", "U of (1)")

    def test_swapped_updates_change_the_digest(self) -> None:
        folder = self.folder(CSV)
        folder.load(1, [(1, "A", "X")])
        folder.change([("U", 1, "second", "X"), ("U", 1, "first", "X")])
        self.assertNotEqual(self.replay(folder).digest, digest_of([(1, "second", "X")]))

    def test_unknown_operation(self) -> None:
        self.expect_error([], [[("X", 1, "A", "X")]], "row 0: Op is 'X'")


class UpdatesChangeTheirRow(FolderTest):
    rules = replay.WriterRules(updates_change=True)

    def test_changing_updates(self) -> None:
        self.expect_rows([[(1, "A", "X")]], [[("U", 1, "B", "X")], [("U", 1, "A", "X")]], [(1, "A", "X")])

    def test_doubled_update(self) -> None:
        self.expect_error([[(1, "A", "X")]], [[("U", 1, "B", "X")], [("U", 1, "B", "X")]],
                          "20240102-030405002", "U of (1) that changes nothing at 20240102-030405001")

    def test_update_that_the_load_holds_already(self) -> None:
        self.expect_error([[(1, "A", "X")]], [[("U", 1, "A", "X")]], "U of (1) that changes nothing at LOAD00000001")


class VersionedRows(FolderTest):
    """The column city holds the version."""

    rules = replay.WriterRules(version_column="city")

    def test_each_update_counts_one(self) -> None:
        self.expect_rows([[(1, "A", "7")]], [[("U", 1, "B", "8"), ("U", 1, "C", "9"), ("D", 1, None, None)],
                                             [("I", 1, "D", "3"), ("U", 1, "E", "4")]], [(1, "E", "4")])

    def test_lost_update_before_another(self) -> None:
        self.expect_error([[(1, "A", "7")]], [[("U", 1, "C", "9")]], "U of (1) of version 9 after version 7")

    def test_swapped_updates(self) -> None:
        self.expect_error([[(1, "A", "7")]], [[("U", 1, "C", "9"), ("U", 1, "B", "8")]],
                          "version 9 after version 7", "version 8 after version 9")

    def test_doubled_update(self) -> None:
        self.expect_error([[(1, "A", "7")]], [[("U", 1, "B", "8"), ("U", 1, "B", "8")]], "version 8 after version 8")


class WholeRowTable(FolderTest):
    identity = Identity.WHOLE_ROW

    def test_copies_of_a_row_are_counted(self) -> None:
        self.expect_rows([[(1, "A", None), (1, "A", None), (2, "B", "Y")]],
                         [[("D", 1, "A", None), ("I", 1, "a", None), ("I", 2, "B", "Y")], [("D", 2, "B", "Y")]],
                         [(1, "A", None), (1, "a", None), (2, "B", "Y")])

    def test_delete_of_more_copies_than_there_are(self) -> None:
        self.expect_error([[(1, "A", "X")]], [[("D", 1, "A", "X"), ("D", 1, "A", "X"), ("I", 1, "A", "X")]],
                          "row 1: D of (1, A, X) when no copy is left")

    def test_delete_before_insert(self) -> None:
        self.expect_error([], [[("D", 1, "A", "X"), ("I", 1, "A", "X")]], "row 0: D of (1, A, X)")

    def test_update(self) -> None:
        self.expect_error([[(1, "A", "X")]], [[("U", 1, "A", "X")]], "U of (1, A, X) of a whole row")


class InsertOnlyTable(FolderTest):
    identity = Identity.INSERT_ONLY

    def test_inserts(self) -> None:
        self.expect_rows([[(1, "A", "X")]], [[("I", 1, "A", "X")]], [(1, "A", "X"), (1, "A", "X")])

    def test_delete(self) -> None:
        self.expect_error([[(1, "A", "X")]], [[("D", 1, "A", "X")]], "D of (1, A, X) in an insert-only table")


class NamesAndBytes(FolderTest):
    def expect_files_error(self, folder: Folder, *words: str) -> None:
        with self.assertRaises(FilesError) as caught:
            self.replay(folder)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_foreign_names(self) -> None:
        for name in (".LOAD00000002.csv.tmp", "_SUCCESS", "load00000002.csv", "LOAD2.csv", "20240102-030405.csv",
                     "20240102-0304050001.csv", "LOAD00000002.parquet", "20240102-030405001.csv.crc"):
            with self.subTest(name):
                folder = self.folder(CSV)
                folder.load(1, [(1, "A", "X")])
                (folder.path / name).write_text("1,A,X\n")
                self.expect_files_error(folder, name, "foreign")

    def test_folder_in_the_table_folder(self) -> None:
        folder = self.folder(PARQUET)
        (folder.path / "LOAD00000001.parquet").mkdir()
        self.expect_files_error(folder, "foreign")

    def test_gap_in_the_load_numbers(self) -> None:
        folder = self.folder(CSV)
        folder.load(1, [(1, "A", "X")])
        folder.load(3, [(3, "C", "Z")])
        self.expect_files_error(folder, "[1, 3]")

    def test_impossible_time(self) -> None:
        folder = self.folder(CSV)
        (folder.path / "20241302-030405001.csv").write_text("I,1,A,X\n")
        self.expect_files_error(folder, "20241302-030405001")

    def test_two_files_of_one_time(self) -> None:
        folder = self.folder(CSV)
        folder.change([("I", 1, "A", "X")])
        (folder.path / "20240102-030405001.csv.gz").write_text("")
        self.expect_files_error(folder, "the same time")

    def test_other_tables(self) -> None:
        folder = self.folder(CSV)
        folder.load(1, [(1, "A", "X")])
        replay.check_no_other_tables(folder.root, [table_of(Identity.KEY)], Layout())
        for name in ("hr/emp_old", "sales", ".state"):
            with self.subTest(name):
                (folder.root / name).mkdir()
                with self.assertRaises(FilesError):
                    replay.check_no_other_tables(folder.root, [table_of(Identity.KEY)], Layout())
                (folder.root / name).rmdir()

    def test_wrong_columns(self) -> None:
        folder = self.folder(PARQUET)
        folder.change([("I", 1, "A", "X")]).rename(folder.path / "LOAD00000001.parquet")
        self.expect_files_error(folder, "Op, id, name, city instead of id, name, city")

    def test_row_with_too_few_fields(self) -> None:
        folder = self.folder(CSV)
        folder.load(1, [(1, "A", "X"), (2, "B")])
        self.expect_files_error(folder, "LOAD00000001.csv", "cannot be read")

    def test_cut_file(self) -> None:
        for layout in (CSV, PARQUET):
            with self.subTest(layout.format):
                folder = self.folder(layout)
                path = folder.load(1, [(1, "A", "X"), (2, "B", "Y")])
                path.write_bytes(path.read_bytes()[:-1])
                self.expect_files_error(folder, "LOAD00000001")

    def test_file_without_rows(self) -> None:
        for layout in (CSV, PARQUET):
            with self.subTest(layout.format):
                folder = self.folder(layout)
                folder.change([])
                self.expect_files_error(folder, "20240102-030405001")

    def test_quoted_null_marker_is_text(self) -> None:
        folder = self.folder(CSV)
        (folder.path / "LOAD00000001.csv").write_text('1,\\N,"\\N"\n2,,""\n')
        self.assertEqual(self.replay(folder).digest, digest_of([(1, None, "\\N"), (2, "", "")]))

    def test_empty_field_is_null_without_a_marker(self) -> None:
        folder = self.folder(Layout(format="csv"))
        (folder.path / "LOAD00000001.csv").write_text('1,,""\n')
        self.assertEqual(self.replay(folder).digest, digest_of([(1, None, None)]))

    def test_header(self) -> None:
        folder = self.folder(Layout(format="csv", header=True))
        (folder.path / "LOAD00000001.csv").write_text("id,name,city\n1,A,X\n")
        self.assertEqual(self.replay(folder).digest, digest_of([(1, "A", "X")]))
        (folder.path / "LOAD00000001.csv").write_text("id,city,name\n1,A,X\n")
        self.expect_files_error(folder, "id, city, name")

    def test_commit_after_the_time_in_the_name(self) -> None:
        for format in ("csv", "parquet"):
            with self.subTest(format):
                folder = self.folder(Layout(format=format, timestamp_column="committed"))
                folder.change([("I", "2024-01-02 03:04:05.001999", 1, "A", "X")])
                self.assertEqual(self.replay(folder).digest, digest_of([(1, "A", "X")]))
                folder.change([("I", "2024-01-02 03:04:05.003000", 2, "A", "X")])
                self.expect_files_error(folder, "20240102-030405002", "committed after")


ALL_TYPES = """
CREATE SCHEMA hr;
CREATE TABLE hr.emp (
  id integer PRIMARY KEY, small smallint, big bigint, price numeric(12,3), share numeric(4,4), anything numeric,
  single real, double double precision, flag boolean, born date, at_time time(3), at timestamp(3),
  at_zone timestamptz, words text, short varchar(20), padded char(8), bytes bytea, code uuid, document jsonb,
  amount money);
INSERT INTO hr.emp VALUES
  (1, -5, 9007199254740993, 1234.5, 0.25, 12.500, 1.1, 1e23, true, '2024-02-29', '01:02:03.4',
   '2024-01-02 03:04:05.67', '2024-01-02 03:04:05.678901+05', E'two\nlines, "quoted"', 'short', 'padded', '\\x00ff',
   'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": [1, 2]}', -12.34),
  (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (3, 0, -1, -0.001, -0.25, 100, '-0', 5e-324, false, '0001-01-01', '23:59:59.999', '1987-06-17',
   '1969-12-31 23:59:59Z', '', '', '', '', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '[]', 0)
"""

D = decimal.Decimal
FIRST_AT = datetime.datetime(2024, 1, 2, 3, 4, 5, 670000, datetime.timezone.utc)
FIRST_AT_ZONE = datetime.datetime(2024, 1, 1, 22, 4, 5, 678901, datetime.timezone.utc)
LAST_AT = datetime.datetime(1987, 6, 17, tzinfo=datetime.timezone.utc)
LAST_AT_ZONE = datetime.datetime(1969, 12, 31, 23, 59, 59, tzinfo=datetime.timezone.utc)

PARQUET_COLUMNS: dict[str, tuple[pa.DataType, Any, Any]] = {
    "id": (pa.int32(), 1, 3),
    "small": (pa.int16(), -5, 0),
    "big": (pa.int64(), 9007199254740993, -1),
    "price": (pa.decimal128(12, 3), D("1234.500"), D("-0.001")),
    "share": (pa.decimal128(4, 4), D("0.2500"), D("-0.2500")),
    "anything": (pa.decimal128(28, 6), D("12.500000"), D("100.000000")),
    "single": (pa.float32(), 1.1, -0.0),
    "double": (pa.float64(), 1e23, 5e-324),
    "flag": (pa.string(), "true", "false"),
    "born": (pa.date32(), datetime.date(2024, 2, 29), datetime.date(1, 1, 1)),
    "at_time": (pa.time32("ms"), datetime.time(1, 2, 3, 400000), datetime.time(23, 59, 59, 999000)),
    "at": (pa.timestamp("us", "UTC"), FIRST_AT, LAST_AT),
    "at_zone": (pa.timestamp("us", "UTC"), FIRST_AT_ZONE, LAST_AT_ZONE),
    "words": (pa.string(), 'two\nlines, "quoted"', ""),
    "short": (pa.string(), "short", ""),
    "padded": (pa.string(), "padded", ""),
    "bytes": (pa.binary(), b"\x00\xff", b""),
    "code": (pa.string(), str(uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")), str(uuid.UUID(int=2**128 - 1))),
    "document": (pa.string(), '{"a": [1, 2]}', "[]"),
    "amount": (pa.decimal128(38, 4), D("-12.3400"), D("0.0000")),
}

CSV_ROWS = (
    "1,-5,9007199254740993,1234.500,0.2500,12.500000,+1.10000002e+00,+9.9999999999999992e+22,true,2024-02-29,"
    "01:02:03.400,2024-01-02 03:04:05.670,2024-01-01 22:04:05.678901,\"two\nlines, \"\"quoted\"\"\",short,padded,00FF,"
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,\"{\"\"a\"\": [1, 2]}\",-12.3400\n"
    "2" + ",\\N" * 19 + "\n"
    "3,0,-1,-0.001,-0.2500,100.000000,-0.00000000e+00,+4.9406564584124654e-324,false,0001-01-01,23:59:59.999,"
    "1987-06-17 00:00:00.000,1969-12-31 23:59:59.000000,,,,,ffffffff-ffff-ffff-ffff-ffffffffffff,[],0.0000\n")


class ColumnsThatChange(FolderTest):
    """A table that was altered between its files; it has id, name and city now."""

    FINAL = [(1, "a", None), (2, "b", "Rome"), (3, "c", "Oslo")]

    def files(self, layout: Layout, change_names: list[str]) -> Folder:
        folder = self.folder(layout)
        folder.write_named("LOAD00000001", ["id", "name"], [(1, "a"), (2, "b")])
        folder.write_named("20240102-030405001", change_names, [("U", 2, 77, "b", "Rome")])
        folder.write_named("20240102-030405002", ["Op", "id", "name", "city"], [("I", 3, "c", "Oslo")])
        return folder

    def layouts(self, *, columns_change: bool) -> list[Layout]:
        return [Layout(format=format, null_marker="\\N", header=format == "csv", columns_change=columns_change)
                for format in ("csv", "parquet")]

    def test_added_columns_are_null_before_and_dropped_ones_are_left_out(self) -> None:
        for layout in self.layouts(columns_change=True):
            with self.subTest(layout.format):
                found = self.replay(self.files(layout, ["Op", "id", "gone", "name", "city"]))
                self.assertEqual(found.digest, digest_of(self.FINAL))

    def test_columns_in_another_order_are_wrong(self) -> None:
        for layout in self.layouts(columns_change=True):
            with self.subTest(layout.format), self.assertRaisesRegex(FilesError, "cannot have been"):
                self.replay(self.files(layout, ["Op", "id", "gone", "city", "name"]))

    def test_a_missing_key_is_wrong(self) -> None:
        for layout in self.layouts(columns_change=True):
            with self.subTest(layout.format), self.assertRaisesRegex(FilesError, "cannot have been"):
                self.replay(self.files(layout, ["Op", "number", "gone", "name", "city"]))

    def test_is_an_error_where_nobody_altered_the_table(self) -> None:
        for layout in self.layouts(columns_change=False):
            with self.subTest(layout.format), self.assertRaises(FilesError):
                self.replay(self.files(layout, ["Op", "id", "gone", "name", "city"]))


class NamesThatChange(FolderTest):
    """A table that was renamed twice, and so were its columns; the folders of its names are read one after another."""

    RENAMED = r"_renamed(\d+)"

    def setUp(self) -> None:
        super().setUp()
        now = {"name": "name_renamed2", "city": "city_renamed1"}
        table = table_of(Identity.KEY)
        columns = tuple(dataclasses.replace(column, name=now.get(column.name, column.name)) for column in table.columns)
        self.table = dataclasses.replace(table, name="emp_renamed10", columns=columns)

    def files(self, data_format: str) -> Folder:
        folder = self.folder(Layout(format=data_format, null_marker="\\N", header=data_format == "csv",
                                    columns_change=True, renamed=self.RENAMED))
        folder.write_named("LOAD00000001", ["id", "name"], [(1, "a"), (2, "b")])
        # The later folder has the earlier time and sorts before the other one.
        for name, stem, columns, row in (("emp_renamed9", "20240102-030405002", ["name_renamed1", "city"], ("b", "Rome")),
                                         ("emp_renamed10", "20240102-030405001", ["name_renamed2", "city_renamed1"],
                                          ("c", "Oslo"))):
            folder.path = folder.root / "hr" / name
            folder.path.mkdir()
            folder.write_named(stem, ["Op", "id", *columns], [("U", 2, *row)])
        return folder

    def test_values_stay_with_their_columns_and_the_last_folder_counts(self) -> None:
        for data_format in ("csv", "parquet"):
            with self.subTest(data_format):
                folder = self.files(data_format)
                replay.check_no_other_tables(folder.root, [self.table], folder.layout)
                found = replay.replay_table(folder.root, self.table, folder.layout)
                self.assertEqual(found.digest, digest_of([(1, "a", None), (2, "c", "Oslo")]))

    def test_a_folder_of_another_table_is_foreign(self) -> None:
        folder = self.files("csv")
        (folder.root / "hr" / "employees_renamed1").mkdir()
        with self.assertRaisesRegex(FilesError, "belongs to none"):
            replay.check_no_other_tables(folder.root, [self.table], folder.layout)


class AgainstServer(unittest.TestCase):
    """Both sides give one digest for every type, and a difference is named."""

    connection: psycopg.Connection
    table: Table

    @classmethod
    def setUpClass(cls) -> None:
        server = PostgresServer(15)
        cls.addClassCleanup(server.close)
        server.start()
        cls.connection = psycopg.connect(server.dsn())
        cls.addClassCleanup(cls.connection.close)
        prepare_session(cls.connection)
        cls.connection.execute(ALL_TYPES.encode())
        cls.connection.commit()
        cls.table = describe_table(cls.connection, "hr", "emp")

    def compare(self, layout: Layout, name: str, content: bytes) -> replay.Comparison:
        with tempfile.TemporaryDirectory(prefix="replay-test-") as root:
            folder = Path(root) / "hr" / "emp"
            folder.mkdir(parents=True)
            (folder / name).write_bytes(content)
            return replay.compare_tables(self.connection, Path(root), [self.table], layout)[0]

    def parquet_bytes(self) -> bytes:
        columns = [pa.array([first, None if name != "id" else 2, last], kind)
                   for name, (kind, first, last) in PARQUET_COLUMNS.items()]
        output = io.BytesIO()
        pyarrow.parquet.write_table(pa.table(columns, names=list(PARQUET_COLUMNS)), output)
        return output.getvalue()

    def test_description(self) -> None:
        self.assertEqual(self.table.identity, Identity.KEY)
        self.assertEqual(self.table.key, ("id",))

    def test_all_types_from_parquet(self) -> None:
        comparison = self.compare(PARQUET, "LOAD00000001.parquet", self.parquet_bytes())
        self.assertTrue(comparison.equal, comparison.problem)

    def test_all_types_from_csv(self) -> None:
        comparison = self.compare(CSV, "LOAD00000001.csv", CSV_ROWS.encode())
        self.assertTrue(comparison.equal, comparison.problem)

    def test_all_types_from_csv_without_null_marker(self) -> None:
        # Only text may be empty without being NULL, so the empty bytea of row 3 is given some content here.
        with self.connection.transaction(force_rollback=True):
            self.connection.execute("UPDATE hr.emp SET bytes = '\\x01' WHERE id = 3")
            rows = CSV_ROWS.replace("\\N", "").replace(",,,,,ffffffff", ",,,,01,ffffffff")
            layout = Layout(format="csv")
            with tempfile.TemporaryDirectory(prefix="replay-test-") as root:
                folder = Path(root) / "hr" / "emp"
                folder.mkdir(parents=True)
                (folder / "LOAD00000001.csv").write_text(rows)
                source = replay.source_digest(self.connection, self.table, empty_is_null=True)
                self.assertEqual(replay.replay_table(Path(root), self.table, layout).digest, source)

    def test_one_changed_digit_is_named(self) -> None:
        comparison = self.compare(CSV, "LOAD00000001.csv", CSV_ROWS.replace("-0.001", "-0.002").encode())
        self.assertFalse(comparison.equal)
        self.assertIn("(3): price is '-0.001' in the source, '-0.002' in the files", comparison.problem)
        self.assertNotIn("(1)", comparison.problem)

    def test_lost_row_is_named(self) -> None:
        rows = CSV_ROWS.replace("2" + ",\\N" * 19 + "\n", "")
        comparison = self.compare(CSV, "LOAD00000001.csv", rows.encode())
        self.assertIn("(2): 1 in the source, 0 in the files", comparison.problem)

    def test_identities(self) -> None:
        with self.connection.transaction(force_rollback=True):
            self.connection.execute(
                "CREATE TABLE hr.append_only (a int); CREATE TABLE hr.whole (a int);"
                "ALTER TABLE hr.whole REPLICA IDENTITY FULL;"
                "CREATE TABLE hr.full_and_key (a int PRIMARY KEY); ALTER TABLE hr.full_and_key REPLICA IDENTITY FULL;"
                "CREATE TABLE hr.by_index (a int PRIMARY KEY, b int NOT NULL, c int, d int NOT NULL);"
                "CREATE UNIQUE INDEX by_index_d_b ON hr.by_index (d, b) INCLUDE (c);"
                "ALTER TABLE hr.by_index REPLICA IDENTITY USING INDEX by_index_d_b;"
                "CREATE TABLE hr.deferred (a int PRIMARY KEY DEFERRABLE)")
            expected = {"append_only": (Identity.INSERT_ONLY, ()), "whole": (Identity.WHOLE_ROW, ()),
                        "full_and_key": (Identity.KEY, ("a",)), "by_index": (Identity.KEY, ("b", "d")),
                        "deferred": (Identity.INSERT_ONLY, ())}
            for name, identity in expected.items():
                with self.subTest(name):
                    table = describe_table(self.connection, "hr", name)
                    self.assertEqual((table.identity, table.key), identity)


if __name__ == "__main__":
    unittest.main()
