#!/usr/bin/env python3
"""Replays a table's LOAD and change files into its final rows, strictly, and compares them with the source.

Replay follows the contract of the files: LOAD files first, then the change files in the order of their names,
and in a file from the first row to the last. A row that does not follow from the rows before it is an error,
for it shows a lost, doubled or misplaced change:

  * a table with a key: a second row for a key in the load, an I for a key that is there, a U or D for a key
    that is not there, a U that breaks what the writers are known to keep to (`WriterRules`);
  * a table whose whole row is its key: a D of a row of which no copy is left, or any U;
  * a table of which only inserts are captured: any U or D.

The rows never become Python objects. DuckDB keeps for each row its key and the MD5 of its text, and the checks
look at all keys at once, each key's changes in order.

    replay.py --source postgresql://user:password@host:port/database --directory DIR schema.table…
"""
from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa

from canonical_text import NULL_MARK, SEPARATOR, quoted, readable
from source_tables import (Digest, Identity, Table, describe_table, find_source_rows, prepare_session, source_digest,
                           source_text)
from table_files import (OPERATIONS, FilesError, Layout, TableFiles, check_no_other_tables, find_rows,
                         list_table_files, read_table_files)

MEMORY_LIMIT = "2GB"  # DuckDB spills beyond it
SHOWN_MAX = 10  # examples in a message
SHOWN_CHARACTERS_MAX = 60
SOURCE_BATCH_ROWS = 50_000


class ReplayError(Exception):
    """The rows of the files do not follow from one another."""


@dataclass(frozen=True)
class WriterRules:
    """What the source's writers keep to, so that also a lost, doubled or misplaced U shows.

    `version_column` grows by one with every update of a row, in the tables that have it; `updates_change` says
    that every update changes its row, so that a U equal to the row before it is a doubled one.
    """

    version_column: str = ""
    updates_change: bool = False


NO_RULES = WriterRules()


@dataclass(frozen=True)
class Replay:
    """What replaying one table gave."""

    digest: Digest
    files: TableFiles
    loaded: int
    operations: dict[str, int]  # rows in the change files for each Op


# Each of the three views `wrong` lists rows that do not follow, and `why`; `previous_*` is the place of the
# event before it on the same key. A loaded row counts as Op L; a key that no change touches is not looked at.
KEYED_EVENTS = """
CREATE TEMP VIEW wrong AS
SELECT *
FROM (SELECT *, CASE
        WHEN op IN ('I', 'L') AND previous_op IN ('I', 'U', 'L') THEN 'after ' || previous_op
        WHEN op IN ('U', 'D') AND (previous_op IS NULL OR previous_op = 'D')
          THEN 'after ' || coalesce(previous_op, 'nothing')
        WHEN op = 'U' AND version <> previous_version + 1
          THEN 'of version ' || version || ' after version ' || previous_version
        WHEN op = 'U' AND {updates_change} AND high = previous_high AND low = previous_low
          THEN 'that changes nothing'
        END AS why
      FROM (SELECT file, row, op, key, high, low, version,
                   lag(file) OVER place AS previous_file, lag(row) OVER place AS previous_row,
                   lag(op) OVER place AS previous_op, lag(version) OVER place AS previous_version,
                   lag(high) OVER place AS previous_high, lag(low) OVER place AS previous_low
            FROM (SELECT file, row, op, key, high, low, version FROM changes
                  UNION ALL SELECT file, row, 'L', key, high, low, version FROM loaded
                            WHERE key IN (SELECT key FROM changes))
            WINDOW place AS (PARTITION BY key ORDER BY file, row)))
WHERE why IS NOT NULL
"""

KEYED_DUPLICATES = """
SELECT key, count(*), min(file), max(file) FROM loaded WHERE key NOT IN (SELECT key FROM changes)
GROUP BY key HAVING count(*) > 1 ORDER BY key LIMIT {shown_max}
"""

KEYED_FINAL = """
CREATE TEMP VIEW final AS
SELECT key, high, low, 1 AS copies FROM loaded WHERE key NOT IN (SELECT key FROM changes)
UNION ALL
SELECT key, last.high, last.low, 1
FROM (SELECT key, arg_max({{'op': op, 'high': high, 'low': low}}, {{'file': file, 'row': row}}) AS last
      FROM changes GROUP BY key)
WHERE last.op <> 'D'
"""

# `left_over` is how many copies of the row there are after the event.
WHOLE_ROW_EVENTS = """
CREATE TEMP VIEW wrong AS
SELECT file, row, op, key, CASE op WHEN 'U' THEN 'of a whole row' ELSE 'when no copy is left' END AS why,
       NULL AS previous_file, NULL AS previous_row
FROM (SELECT *, sum(CASE op WHEN 'D' THEN -1 ELSE 1 END) OVER (PARTITION BY high, low ORDER BY file, row) AS left_over
      FROM (SELECT file, row, op, key, high, low FROM changes
            UNION ALL SELECT file, row, 'L', key, high, low FROM loaded
                      WHERE (high, low) IN (SELECT (high, low) FROM changes)))
WHERE op = 'U' OR left_over < 0
"""

INSERT_ONLY_EVENTS = """
CREATE TEMP VIEW wrong AS
SELECT file, row, op, key, 'in an insert-only table' AS why, NULL AS previous_file, NULL AS previous_row
FROM changes WHERE op <> 'I'
"""

MULTISET_FINAL = """
CREATE TEMP VIEW final AS
SELECT any_value(key) AS key, high, low, sum(CASE op WHEN 'D' THEN -1 ELSE 1 END)::BIGINT AS copies
FROM (SELECT key, high, low, op FROM changes UNION ALL SELECT key, high, low, 'L' FROM loaded)
GROUP BY high, low HAVING copies <> 0
"""

VIEWS: dict[Identity, tuple[str, str]] = {
    Identity.KEY: (KEYED_EVENTS, KEYED_FINAL),
    Identity.WHOLE_ROW: (WHOLE_ROW_EVENTS, MULTISET_FINAL),
    Identity.INSERT_ONLY: (INSERT_ONLY_EVENTS, MULTISET_FINAL),
}


@contextmanager
def open_database() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty DuckDB that spills to its own temporary folder."""
    with tempfile.TemporaryDirectory(prefix="replay-") as folder, duckdb.connect() as database:
        database.execute(f"SET memory_limit = '{MEMORY_LIMIT}'; SET temp_directory = '{folder}'; "
                         "SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        yield database


def place(files: TableFiles, file: int, row: int) -> str:
    return f"{files.all[file].name} row {row}"


def count_rows(database: duckdb.DuckDBPyConnection, relation: str) -> int:
    return int(database.execute(f"SELECT count(*) FROM {relation}").fetchall()[0][0])


def require_known_operations(database: duckdb.DuckDBPyConnection, files: TableFiles) -> None:
    unknown = database.execute(f"SELECT file, row, op FROM changes WHERE op IS NULL OR op NOT IN {OPERATIONS} "
                               "ORDER BY file, row LIMIT 1").fetchall()
    for file, row, op in unknown:
        raise ReplayError(f"{place(files, file, row)}: Op is {op!r}")


def require_one_load_of_each_key(database: duckdb.DuckDBPyConnection, table: Table, files: TableFiles) -> None:
    doubled = database.execute(KEYED_DUPLICATES.format(shown_max=SHOWN_MAX)).fetchall()
    if doubled:
        keys = [f"  ({readable(key)}): {count} times, from {files.all[first].name} to {files.all[last].name}"
                for key, count, first, last in doubled]
        raise ReplayError("\n".join([f"{table}: keys loaded more than once:"] + keys))


def require_each_change_to_follow(database: duckdb.DuckDBPyConnection, table: Table, files: TableFiles) -> None:
    count = count_rows(database, "wrong")
    if count == 0:
        return
    lines = [f"{table}: {count} rows do not follow from the rows before them:"]
    found = database.execute("SELECT file, row, op, key, why, previous_file, previous_row FROM wrong "
                             f"ORDER BY file, row LIMIT {SHOWN_MAX}").fetchall()
    for file, row, op, key, why, previous_file, previous_row in found:
        before = f" at {place(files, previous_file, previous_row)}" if previous_file is not None else ""
        lines.append(f"  {place(files, file, row)}: {op} of ({readable(key)}) {why}{before}")
    raise ReplayError("\n".join(lines))


def build_final_rows(database: duckdb.DuckDBPyConnection, root: Path, table: Table, layout: Layout,
                     rules: WriterRules) -> TableFiles:
    """Reads and checks a table's files and leaves its final rows in the view `final(key, high, low, copies)`."""
    files = list_table_files(root, table, layout)
    read_table_files(database, table, files, layout, rules.version_column)
    require_known_operations(database, files)
    for view in VIEWS[table.identity]:
        database.execute(view.format(updates_change=rules.updates_change))
    if table.identity is Identity.KEY:
        require_one_load_of_each_key(database, table, files)
    require_each_change_to_follow(database, table, files)
    return files


def replay_table(root: Path, table: Table, layout: Layout, rules: WriterRules = NO_RULES) -> Replay:
    """Replays the files of one table below `root`. Raises FilesError or ReplayError on anything irregular."""
    with open_database() as database:
        files = build_final_rows(database, root, table, layout, rules)
        rows, high, low = database.execute("SELECT coalesce(sum(copies), 0), sum(high::HUGEINT * copies), "
                                           "sum(low::HUGEINT * copies) FROM final").fetchall()[0]
        loaded = count_rows(database, "loaded")
        counts = dict(database.execute("SELECT op, count(*) FROM changes GROUP BY op").fetchall())
    return Replay(Digest.of_sums(int(rows), high, low), files, loaded,
                  {operation: counts.get(operation, 0) for operation in OPERATIONS})


def fetch_source_rows(connection: psycopg.Connection, database: duckdb.DuckDBPyConnection, table: Table,
                      layout: Layout) -> None:
    """Fills the DuckDB table `source(key, hash)` from the source's rows."""
    key = source_text(table.identifying_columns, empty_is_null=layout.empty_is_null)
    row = source_text(table.columns, empty_is_null=layout.empty_is_null)
    database.execute("CREATE TABLE source (key VARCHAR, hash VARCHAR)")
    with connection.cursor(name="replay_rows") as cursor:
        cursor.execute(f"SELECT {key}, md5({row}) FROM {quoted(table.schema)}.{quoted(table.name)}".encode())
        while rows := cursor.fetchmany(SOURCE_BATCH_ROWS):
            batch = pa.table({"key": [row[0] for row in rows], "hash": [row[1] for row in rows]})
            database.register("source_batch", batch)
            database.execute("INSERT INTO source SELECT key, hash FROM source_batch")
            database.unregister("source_batch")
    connection.rollback()


DIFFERENCES = """
WITH target_rows AS (SELECT key, printf('%016x%016x', high, low) AS hash, copies FROM final),
     source_rows AS (SELECT key, hash, count(*) AS copies FROM source GROUP BY key, hash)
SELECT coalesce(s.key, t.key), coalesce(s.hash, t.hash), coalesce(s.copies, 0), coalesce(t.copies, 0)
FROM source_rows s FULL JOIN target_rows t ON s.key = t.key AND s.hash = t.hash
WHERE s.copies IS DISTINCT FROM t.copies ORDER BY 1, 2 LIMIT {shown_max}
"""


def shown(text: str) -> str:
    """Returns a value as a message shows it."""
    if text == chr(NULL_MARK):
        return "NULL"
    if len(text) > SHOWN_CHARACTERS_MAX:
        return f"{text[:SHOWN_CHARACTERS_MAX]!r}… ({len(text)} characters)"
    return repr(text)


def differing_columns(table: Table, in_source: str, in_files: str) -> str:
    """Names the columns in which the two texts of one row differ."""
    values = zip(table.columns, in_source.split(chr(SEPARATOR)), in_files.split(chr(SEPARATOR)))
    return "; ".join(f"{column.name} is {shown(ours)} in the source, {shown(theirs)} in the files"
                     for column, ours, theirs in values if ours != theirs)


def list_differences(connection: psycopg.Connection, root: Path, table: Table, layout: Layout) -> list[str]:
    """Names rows that differ between source and files, to explain two digests that differ."""
    with open_database() as database:
        files = build_final_rows(database, root, table, layout, NO_RULES)
        fetch_source_rows(connection, database, table, layout)
        found = database.execute(DIFFERENCES.format(shown_max=2 * SHOWN_MAX)).fetchall()
        hashes = [hash for _, hash, _, _ in found]
        in_files = find_rows(database, table, files, layout, hashes)
    in_source = find_source_rows(connection, table, hashes, empty_is_null=layout.empty_is_null)
    connection.rollback()
    lines = []
    for key, rows in itertools.groupby(found, key=lambda row: row[0]):
        group = list(rows)
        ours = [in_source[hash] for _, hash, source_copies, _ in group if source_copies]
        theirs = [in_files[hash] for _, hash, _, file_copies in group if file_copies]
        if table.identity is Identity.KEY and len(ours) == len(theirs) == 1:
            lines.append(f"({readable(key)}): {differing_columns(table, ours[0], theirs[0])}")
        else:
            lines += [f"({readable(key)}): {source_copies} in the source, {file_copies} in the files"
                      for _, _, source_copies, file_copies in group]
    return lines


@dataclass(frozen=True)
class Comparison:
    """One table, seen from both sides."""

    table: Table
    source: Digest
    replay: Replay | None
    problem: str = ""

    @property
    def equal(self) -> bool:
        return self.replay is not None and self.replay.digest == self.source


def compare_table(connection: psycopg.Connection, root: Path, table: Table, layout: Layout,
                  rules: WriterRules = NO_RULES) -> Comparison:
    """Compares one table; what is wrong with its files becomes the comparison's problem."""
    source = source_digest(connection, table, empty_is_null=layout.empty_is_null)
    connection.rollback()
    try:
        replay = replay_table(root, table, layout, rules)
        problem = ""
        if replay.digest != source:
            problem = "\n".join([f"{table}: rows that differ:"] +
                                [f"  {line}" for line in list_differences(connection, root, table, layout)])
        return Comparison(table, source, replay, problem)
    except (FilesError, ReplayError) as error:
        return Comparison(table, source, None, str(error))


def compare_tables(connection: psycopg.Connection, root: Path, tables: list[Table], layout: Layout,
                   rules: WriterRules = NO_RULES, ignored: tuple[Table, ...] = ()) -> list[Comparison]:
    """Compares tables one after another. Nothing but their folders and the ignored tables' may be below `root`."""
    check_no_other_tables(root, [*tables, *ignored], layout)
    return [compare_table(connection, root, table, layout, rules) for table in tables]


def print_comparisons(comparisons: list[Comparison]) -> bool:
    """Prints both sides of every table and returns whether all are equal."""
    width = max([len("table")] + [len(str(comparison.table)) for comparison in comparisons])
    print(f"{'table':{width}} {'source rows':>12} {'file rows':>12}  {'source digest':32}  {'file digest':32}")
    for comparison in comparisons:
        rows = comparison.replay.digest.rows if comparison.replay else "-"
        digest = comparison.replay.digest if comparison.replay else "-"
        print(f"{str(comparison.table):{width}} {comparison.source.rows:>12} {rows:>12}  {comparison.source!s:32}  "
              f"{digest!s:32}  {'equal' if comparison.equal else 'DIFFERENT'}")
    for comparison in comparisons:
        if comparison.problem:
            print(comparison.problem)
    return all(comparison.equal for comparison in comparisons)


def add_layout_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    parser.add_argument("--null-marker", default="", help="CsvNullValue of the task")
    parser.add_argument("--header", action="store_true", help="AddColumnName of the task")
    parser.add_argument("--operation-in-load", action="store_true", help="IncludeOpForFullLoad of the task")
    parser.add_argument("--timestamp-column", default="", help="TimestampColumnName of the task")


def add_rule_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version-column", default="", help="a column that grows by one with every update of a row")
    parser.add_argument("--updates-change", action="store_true", help="every update changes its row")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="postgresql://user:password@host:port/database")
    parser.add_argument("--directory", type=Path, required=True, help="the target folder")
    parser.add_argument("tables", nargs="+", metavar="schema.table")
    add_layout_options(parser)
    add_rule_options(parser)
    arguments = parser.parse_args()
    layout = Layout(format=arguments.format, null_marker=arguments.null_marker, header=arguments.header,
                    operation_in_load=arguments.operation_in_load, timestamp_column=arguments.timestamp_column)
    rules = WriterRules(arguments.version_column, arguments.updates_change)
    with psycopg.connect(arguments.source) as connection:
        prepare_session(connection)
        tables = [describe_table(connection, *name.split(".", 1)) for name in arguments.tables]
        try:
            comparisons = compare_tables(connection, arguments.directory, tables, layout, rules)
        except FilesError as error:
            print(error)
            return 1
    return 0 if print_comparisons(comparisons) else 1


if __name__ == "__main__":
    sys.exit(main())
