#!/usr/bin/env python3
"""Carries every value of tests/data/postgres_types into files, by load and as changes, and reads them back.

    types_matrix.py [--ferry build/ferry] [--majors 13 15 18]

prints what became of each type, and ends with 1 where one is not as the file says, with 77 where none of the majors is
installed. The files are read by Python's csv and by pyarrow.

All types are columns of one table, and each value has a row of its own, so that a row error has a name. Table `loaded`
is filled before the task starts and table `followed` while it follows changes, from `loaded`, in one transaction. With
Op in the load both give the same rows, and so CSV files that are equal to the byte.
"""
from __future__ import annotations

import argparse
import csv
import json
import struct
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import psycopg  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet  # noqa: E402

from ferry_command import CommandFailed, FerryCommand  # noqa: E402
from ferry_process import current_wal_position, has_confirmed  # noqa: E402
from parquet_form import form_of_column, form_of_type  # noqa: E402
from postgres_server import PASSWORD, USER, PostgresServer, installed_majors  # noqa: E402
from type_cases import TypeCase, TypesFile, TypesFileError, Value, read_types  # noqa: E402

MAJORS = (13, 15, 18)
SKIPPED = 77
NULL_MARKER = "\\N"
BUCKET = "files"
FORMATS = ("csv", "parquet")
TABLES = {"load": "loaded", "CDC": "followed"}
CELLS = [(data_format, way) for data_format in FORMATS for way in TABLES]
SHOWN_MAX = 100
FIELD_MAX = 1 << 24  # bytes of a CSV field
LAST_ID = 1_000_000  # A row without values, the last of its table.

BASE_TYPES = """
    SELECT t.typname FROM pg_type t
    WHERE t.typtype IN ('b', 'r', 'm') AND NOT EXISTS (SELECT FROM pg_type element WHERE element.typarray = t.oid)
    ORDER BY t.oid"""


@dataclass(frozen=True)
class Row:
    """One value in the tables: its row and its column."""

    id: int
    column: str
    type: TypeCase
    value: Value


@dataclass
class Cell:
    """What became of one type in one format, one way."""

    row_errors: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if self.problems:
            return "FAIL"
        return f"ok, {self.row_errors} row errors".replace("1 row errors", "1 row error") if self.row_errors else "ok"


Results = dict[tuple[str, str, str], Cell]  # By type, format and way.


def shown(text: object) -> str:
    words = repr(text)
    return words if len(words) <= SHOWN_MAX else f"{words[:SHOWN_MAX]}… ({len(words)} characters)"


# --- The source ---

def make_source(server: PostgresServer, types: TypesFile) -> list[Row]:
    rows, columns = [], []
    for number, each in enumerate(types.types, 1):
        columns.append(f"c{number} {each.type}")
        rows += [Row(0, f"c{number}", each, value) for value in each.values]
    rows = [Row(number, row.column, row.type, row.value) for number, row in enumerate(rows, 1)]
    with psycopg.connect(server.dsn()) as connection:
        for statement in types.setup:
            connection.execute(statement.encode())
        for table in TABLES.values():
            connection.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, {', '.join(columns)})".encode())
        for row in rows:
            try:
                connection.execute(f"INSERT INTO loaded (id, {row.column}) VALUES ({row.id}, {row.value.literal})".encode())
            except psycopg.Error as error:
                raise TypesFileError(f"type {row.type.type}, {row.value.literal}: {error}") from error
        connection.execute(b"INSERT INTO loaded (id) VALUES (%d)" % LAST_ID)
    return rows


def types_without_a_line(server: PostgresServer, types: TypesFile) -> list[str]:
    """Base types that the server has and the file does not."""
    with psycopg.connect(server.dsn()) as connection:
        named = set()
        for each in types.types:
            row = connection.execute(b"SELECT typname FROM pg_type WHERE oid = %s::regtype", (each.type,)).fetchone()
            assert row is not None
            named.add(row[0])
        return [name for (name,) in connection.execute(BASE_TYPES.encode())
                if name not in named and name not in types.left_out]


# --- The tasks ---

def task_document(server: PostgresServer, data_format: str, target: Path) -> dict:
    return {
        "SourceEndpoint": {"EngineName": "postgres", "ServerName": "127.0.0.1", "Port": server.port, "Username": USER,
                           "Password": PASSWORD, "DatabaseName": "postgres", "SslMode": "none"},
        "TargetEndpoint": {"EngineName": "s3", "EndpointUrl": f"file://{target}", "S3Settings": {
            "BucketName": BUCKET, "DataFormat": data_format, "CsvNullValue": NULL_MARKER, "CdcMaxBatchInterval": 1,
            "IncludeOpForFullLoad": True}},
        "ReplicationTask": {
            "ReplicationTaskIdentifier": f"types-{data_format}", "MigrationType": "full-load-and-cdc",
            "TableMappings": {"rules": [{
                "rule-type": "selection", "rule-id": "1", "rule-name": "1", "rule-action": "include",
                "object-locator": {"schema-name": "public", "table-name": "%"}}]}}}


class Task:
    """One format's task, its files and what it counted."""

    def __init__(self, ferry: Path, server: PostgresServer, data_format: str, folder: Path) -> None:
        self._folder = folder / data_format
        self._folder.mkdir()
        self._target = self._folder / "target"
        document = self._folder / "task.json"
        document.write_text(json.dumps(task_document(server, data_format, self._target)), encoding="utf-8")
        self.ferry = FerryCommand(ferry, ["run", document, "--state", self._folder / "state"], folder=self._folder)

    def files(self, way: str) -> list[Path]:
        """The files of one table, in their order, each of which must be of that way."""
        folder = self._target / BUCKET / "public" / TABLES[way]
        files = sorted(folder.iterdir())
        if not files or any(path.name.startswith("LOAD") != (way == "load") for path in files):
            raise AssertionError(f"{way}: not the files of this way only: {[path.name for path in files]}")
        return files

    def row_errors(self) -> Counter[tuple[str, str, str]]:
        """The lines of the row_errors file: table, key and column."""
        found: Counter[tuple[str, str, str]] = Counter()
        for file in self._folder.rglob("row_errors"):
            for line in file.read_text(encoding="utf-8").splitlines():
                _, table, key, column, _ = line.split("\t")
                found[table, key, column] += 1
        return found


def run_tasks(ferry: Path, server: PostgresServer, folder: Path) -> dict[str, Task]:
    tasks = {data_format: Task(ferry, server, data_format, folder) for data_format in FORMATS}
    try:
        for task in tasks.values():
            task.ferry.wait_for_output("following changes")
        with psycopg.connect(server.dsn()) as connection:
            connection.execute("INSERT INTO followed SELECT * FROM loaded ORDER BY id")
            connection.commit()
            position = current_wal_position(connection)
            for task in tasks.values():
                task.ferry.wait_until(lambda: has_confirmed(connection, position), "the changes in files")
        for task in tasks.values():
            task.ferry.stop()
    finally:
        for task in tasks.values():
            task.ferry.kill()
    return tasks


# --- The files ---

def read_csv(files: list[Path], columns: list[str]) -> dict[int, dict[str, str]]:
    """The values of each row that are not NULL, by id."""
    csv.field_size_limit(FIELD_MAX)
    rows: dict[int, dict[str, str]] = {}
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            for op, *fields in csv.reader(file, strict=True):
                assert len(fields) == len(columns), f"{path.name}: a row of {len(fields)} fields, not {len(columns)}"
                values = {name: value for name, value in zip(columns, fields) if value != NULL_MARKER}
                assert op == "I" and int(values["id"]) not in rows, f"{path.name}: row {values['id']} twice, or no I"
                rows[int(values.pop("id"))] = values
    return rows


def plain(column: pa.ChunkedArray) -> list[object]:
    """Times as the whole numbers that are stored: Python has no date before year 1 and none after 9999."""
    if pa.types.is_date32(column.type) or pa.types.is_time32(column.type):
        return column.cast(pa.int32()).to_pylist()
    if pa.types.is_time64(column.type) or pa.types.is_timestamp(column.type):
        return column.cast(pa.int64()).to_pylist()
    return column.to_pylist()


def read_parquet(files: list[Path], columns: list[str]) -> dict[int, dict[str, object]]:
    rows: dict[int, dict[str, object]] = {}
    for path in files:
        table = pyarrow.parquet.read_table(path)
        assert table.column_names == ["Op", *columns], f"{path.name}: columns {table.column_names}"
        values = {name: plain(table[name]) for name in table.column_names}
        for at, number in enumerate(values["id"]):
            assert values["Op"][at] == "I" and number not in rows, f"{path.name}: row {number} twice, or no I"
            rows[number] = {name: values[name][at] for name in columns[1:] if values[name][at] is not None}
    return rows


def equals(found: object, wanted: str, physical: str) -> bool:
    """Whether a value of a Parquet file is what the text says."""
    if isinstance(found, float):
        form = "<f" if physical == "FLOAT" else "<d"
        if found != found:
            return wanted == "nan"
        return struct.pack(form, found) == struct.pack(form, float(wanted))
    if isinstance(found, Decimal):
        return format(found, "f") == wanted
    return (found.hex() if isinstance(found, bytes) else str(found)) == wanted


# --- The comparison ---

def compare_rows(rows: list[Row], task: Task, data_format: str, way: str, results: Results) -> None:
    files = task.files(way)
    columns = ["id", *dict.fromkeys(row.column for row in rows)]
    found = read_csv(files, columns) if data_format == "csv" else read_parquet(files, columns)
    errors = task.row_errors()
    if found.pop(LAST_ID, None) != {}:
        raise AssertionError(f"{data_format}, {way}: the row without values is not there, or has some")
    for row in rows:
        cell = results[row.type.type, data_format, way]
        wanted = row.value.of(data_format).text
        in_file = found.pop(row.id, None)
        counted = errors[f"public.{TABLES[way]}", f"id={row.id}", row.column]
        problem = ""
        if wanted is None:
            cell.row_errors += 1
            if in_file is not None:
                problem = f"a row error was expected, and there is {shown(in_file)}"
            elif counted != 1:
                problem = f"the row error is {counted} times in the row_errors file"
        elif in_file is None:
            problem = "the row is not there" + (", but a row error" if counted else ", and no row error tells why")
        elif set(in_file) != {row.column}:
            problem = f"values in {sorted(in_file)}"
        elif data_format == "csv" and in_file[row.column] != wanted:
            problem = f"{shown(in_file[row.column])} instead of {shown(wanted)}"
        elif data_format == "parquet" and not equals(in_file[row.column], wanted, form_of_type(row.type.dms).physical):
            problem = f"{shown(in_file[row.column])} instead of {shown(wanted)}"
        if problem:
            cell.problems.append(f"{row.value.literal[:SHOWN_MAX]}: {problem}")
    if found:
        raise AssertionError(f"{data_format}, {way}: rows that the source does not have: {sorted(found)}")


def compare_forms(rows: list[Row], task: Task, way: str, results: Results) -> None:
    """The Parquet columns are those of the DMS types."""
    for path in task.files(way):
        schema = pyarrow.parquet.ParquetFile(path).schema
        forms = {schema.column(at).name: form_of_column(schema.column(at)) for at in range(len(schema))}
        for column, each in dict.fromkeys((row.column, row.type.type) for row in rows):
            dms = next(row.type.dms for row in rows if row.column == column)
            if forms[column] != form_of_type(dms):
                results[each, "parquet", way].problems.append(f"{path.name}: {forms[column]} instead of {form_of_type(dms)}")


def compare_counts(rows: list[Row], task: Task, data_format: str) -> list[str]:
    """What the task counted is what was expected of it: in each table's line, in all, and in the row_errors file."""
    wanted = [row.value.of(data_format) for row in rows]
    errors = sum(each.text is None for each in wanted)
    warnings = sum(each.warnings for each in wanted)
    captured = len(rows) + 1  # with the row without values
    output = task.ferry.output
    # Table, rows loaded, inserts, updates, deletes, ddls, errors, warnings. What the stream says of a table is what the
    # load saw.
    statistics = {words[0]: words[1:8] for words in map(str.split, output.splitlines()) if len(words) == 8}
    problems = []
    for way, numbers in (("load", [captured - errors, 0, 0, 0, 0, errors, warnings]),
                         ("CDC", [0, captured - errors, 0, 0, 0, errors, warnings])):
        if statistics.get(f"public.{TABLES[way]}") != [str(number) for number in numbers]:
            problems.append(f"{data_format}, {way}: the statistics are not {numbers}")
    if sum(task.row_errors().values()) != errors * len(TABLES):
        problems.append(f"{data_format}: {sum(task.row_errors().values())} lines in the row_errors file, not "
                        f"{errors * len(TABLES)}")
    for count, text in ((errors, "rows could not be carried over"), (warnings, "values were carried over in another form")):
        if (f"{count * len(TABLES)} {text}" in output) != (count > 0):
            problems.append(f"{data_format}: the summary does not say: {count * len(TABLES)} {text}")
    if problems:
        problems.append(output)
    return problems


def compare_ways(task: dict[str, Task]) -> list[str]:
    """Load and changes give the same bytes in CSV and the same values in Parquet."""
    csv_bytes = {way: b"".join(path.read_bytes() for path in task["csv"].files(way)) for way in TABLES}
    problems = []
    if csv_bytes["load"] != csv_bytes["CDC"]:
        problems.append("the CSV files of load and changes differ")
    tables = {way: pa.concat_tables([pyarrow.parquet.read_table(path) for path in task["parquet"].files(way)])
              for way in TABLES}
    for name in tables["load"].column_names:
        # repr() tells NaN and -0 as equal to themselves, and they are compared bit by bit with the file of types.
        if repr(plain(tables["load"][name])) != repr(plain(tables["CDC"][name])):
            problems.append(f"the Parquet values of load and changes differ in column {name}")
    return problems


def check_major(ferry: Path, major: int) -> tuple[Results, list[str]]:
    types = read_types(major)
    with PostgresServer(major) as server, tempfile.TemporaryDirectory(prefix="types-") as folder:
        rows = make_source(server, types)
        problems = [f"the server's type {name} has no line in the file of types"
                    for name in types_without_a_line(server, types)]
        tasks = run_tasks(ferry, server, Path(folder))
        results: Results = {(each.type, data_format, way): Cell()
                            for each in types.types for data_format, way in CELLS}
        for data_format, way in CELLS:
            compare_rows(rows, tasks[data_format], data_format, way, results)
        for way in TABLES:
            compare_forms(rows, tasks["parquet"], way, results)
        for data_format in FORMATS:
            problems += compare_counts(rows, tasks[data_format], data_format)
        problems += compare_ways(tasks)
    return results, problems


def print_matrix(results: dict[int, Results]) -> None:
    width = max(len(each) for one in results.values() for each, _, _ in one)
    heads = [f"{major} {data_format} {way}" for major in results for data_format, way in CELLS]
    names = list(dict.fromkeys(each for one in results.values() for each, _, _ in one))
    lines = [[name, *("-" if (name, *cell) not in one else str(one[name, *cell])
                      for one in results.values() for cell in CELLS)] for name in names]
    widths = [max(len(head), *(len(line[at]) for line in lines)) for at, head in enumerate(heads, 1)]
    print("  ".join([" " * width, *(head.ljust(size) for head, size in zip(heads, widths))]).rstrip())
    for line in lines:
        print("  ".join([line[0].ljust(width), *(text.ljust(size) for text, size in zip(line[1:], widths))]).rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferry", type=Path, default=REPOSITORY / "build" / "ferry")
    parser.add_argument("--majors", type=int, nargs="+", default=MAJORS)
    arguments = parser.parse_args()
    majors = [major for major in arguments.majors if major in installed_majors()]
    if not majors:
        print("none of the PostgreSQL servers is installed")
        return SKIPPED

    results: dict[int, Results] = {}
    all_problems = []
    for major in majors:
        try:
            results[major], problems = check_major(arguments.ferry.resolve(), major)
        except (AssertionError, csv.Error, CommandFailed, TypesFileError) as error:
            print(f"PostgreSQL {major}: {error}")
            return 1
        all_problems += [f"PostgreSQL {major}: {problem}" for problem in problems]
        for (name, data_format, way), cell in results[major].items():
            all_problems += [f"PostgreSQL {major}, {name}, {data_format}, {way}: {problem}" for problem in cell.problems]
    print_matrix(results)
    for problem in all_problems:
        print(problem)
    print(f"{len(all_problems)} problems")
    return 1 if all_problems else 0


if __name__ == "__main__":
    sys.exit(main())
