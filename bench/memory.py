#!/usr/bin/env python3
"""Measures the most memory that Ferry's process takes for the cases that could take much, and checks the bound.

The bound is 256 MB and three times the largest value. Each case has a throw-away PostgreSQL and folder; rows are
counted in source and files. `--scale 1` are the sizes of the promise; smaller scales are for a quick look.
"""
from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import psycopg  # noqa: E402
import pyarrow.parquet  # noqa: E402

from ferry_process import FerryError, FerryProcess, current_wal_position, drain, has_confirmed  # noqa: E402
from postgres_server import PASSWORD, USER, PostgresServer  # noqa: E402

MB = 1 << 20
GB = 1 << 30
PROMISED_MB = 256
POSTGRES_MAJOR = 15
SERVER_SETTINGS = ("shared_buffers = 256MB", "max_wal_size = 8GB", "checkpoint_timeout = 30min", "fsync = off",
                   "synchronous_commit = off", "jit = off", "autovacuum = off",
                   "max_replication_slots = 20", "max_wal_senders = 20", "wal_keep_size = 0")
DEADLINE_S = 3600
MARKER = "memory_marker"
# Files of changes are closed soon, so that the end of a case is not a wait for the clock.
QUICK = ("--set", "CdcMaxBatchInterval=2")


@dataclass
class Bench:
    """One case's source and folder."""

    ferry: Path
    folder: Path
    server: PostgresServer
    format: str
    processes: list[FerryProcess] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.server.port}/postgres"

    def sql(self, statement: str) -> None:
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def rows(self, table: str) -> int:
        with psycopg.connect(self.server.dsn()) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()[0][0])

    def copy(self, *words: str, name: str = "task") -> FerryProcess:
        target = self.folder / name / "files"
        target.mkdir(parents=True, exist_ok=True)
        process = FerryProcess([self.ferry, "copy", self.url, f"file://{target}", "--format", self.format, *words,
                                "--state", self.folder / name / "state"], self.folder / f"{name}.log")
        self.processes.append(process)
        return process

    def finish(self, process: FerryProcess) -> None:
        if not process.wait(DEADLINE_S) or process.exit_code != 0:
            raise FerryError(f"ferry ended with {process.exit_code}:\n{process.log_end()}")

    def follow(self, process: FerryProcess, name: str = "task") -> None:
        """Waits until the process reads changes."""
        log = self.folder / f"{name}.log"
        process.wait_until(lambda: "following" in log.read_text(errors="replace").lower(), "following", DEADLINE_S)

    def drain(self, process: FerryProcess) -> None:
        with psycopg.connect(self.server.dsn()) as connection:
            drain(process, connection, MARKER, DEADLINE_S)

    def file_rows(self, table: str, name: str = "task") -> int:
        folder = self.folder / name / "files" / "public" / table
        if self.format == "parquet":
            return sum(pyarrow.parquet.read_metadata(path).num_rows for path in folder.iterdir())
        count = 0
        for path in folder.iterdir():
            with path.open("rb") as file:
                while block := file.read(MB):
                    count += block.count(b"\n")
        return count

    def require(self, table: str, rows: int, name: str = "task") -> None:
        found = self.file_rows(table, name)
        if found != rows:
            raise FerryError(f"the files of {table} hold {found} rows, where {rows} are expected")


# Rows of 1 KB that no compression makes small are put together from so many parts, which costs the server little.
PARTS = 9973
PART_CHARACTERS = 992
ROW_BYTES = 1100  # with the other columns and what the server adds


def make_parts(bench: Bench) -> None:
    bench.sql(f"CREATE UNLOGGED TABLE parts AS SELECT n, (SELECT string_agg(md5(n::text || j::text), '') "
              f"FROM generate_series(1, {PART_CHARACTERS // 32}) j) AS text FROM generate_series(0, {PARTS - 1}) n")
    bench.sql("ANALYZE parts")


def fill_big(bench: Bench, first: int, rows: int) -> None:
    bench.sql("INSERT INTO big SELECT i, now(), i / 7.0, md5(i::text) || parts.text "
              f"FROM generate_series({first}, {first + rows - 1}) i JOIN parts ON parts.n = i % {PARTS}")


def make_big(bench: Bench, size: int) -> None:
    """A table of about `size` bytes."""
    make_parts(bench)
    bench.sql("CREATE TABLE big (id bigint PRIMARY KEY, made timestamptz, price numeric(12,2), note text)")
    fill_big(bench, 1, max(1, size // ROW_BYTES))


def large_table(bench: Bench, scale: float) -> int:
    make_big(bench, int(20 * GB * scale))
    process = bench.copy("--tables", "public.big")
    process.start()
    bench.finish(process)
    bench.require("big", bench.rows("big"))
    return 0


def large_transaction(bench: Bench, scale: float) -> int:
    rows = int(5_000_000 * scale)
    bench.sql("CREATE TABLE t (id bigint PRIMARY KEY, a int, b text)")
    process = bench.copy("--follow", *QUICK)
    process.start()
    bench.follow(process)
    bench.sql(f"INSERT INTO t SELECT i, i % 100, 'row ' || i FROM generate_series(1, {rows}) i")
    bench.drain(process)
    bench.require("t", rows)
    return 0


def large_value(bench: Bench, scale: float) -> int:
    size = int(900 * MB * scale)
    bench.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    bench.sql(f"INSERT INTO t VALUES (1, repeat('0123456789', {size // 10}))")
    process = bench.copy("--follow", *QUICK)
    process.start()
    bench.follow(process)
    bench.sql(f"INSERT INTO t VALUES (2, repeat('abcdefghij', {size // 10}))")
    bench.drain(process)
    bench.require("t", 2)
    return size


def wide_tables(bench: Bench, scale: float) -> int:
    types = ("bigint", "numeric(20,4)", "text", "timestamptz", "double precision")
    values = ("i", "i / 3.0", "md5(i::text)", "now()", "random()")
    columns = [f"c{n} {types[n % 5]}" for n in range(299)]
    row = ", ".join(values[n % 5] for n in range(299))
    rows = int(60_000 * scale) + 1
    for table in range(8):
        bench.sql(f"CREATE TABLE w{table} (id int PRIMARY KEY, {', '.join(columns)})")
        bench.sql(f"INSERT INTO w{table} SELECT i, {row} FROM generate_series(1, {rows}) i")
    process = bench.copy("--follow", *QUICK)
    process.start()
    bench.follow(process)
    for table in range(8):
        bench.sql(f"UPDATE w{table} SET c0 = c0 + 1 WHERE id <= {rows // 4}")
    bench.drain(process)
    for table in range(8):
        bench.require(f"w{table}", rows + rows // 4)
    return 0


def log_left_behind(bench: Bench, scale: float) -> int:
    make_big(bench, 0)
    process = bench.copy("--follow", "--tables", "public.big", "--tables", f"public.{MARKER}", *QUICK)
    process.start()
    bench.follow(process)
    process.stop()
    fill_big(bench, bench.rows("big") + 1, int(10 * GB * scale) // ROW_BYTES)
    process.start()
    bench.drain(process)
    bench.require("big", bench.rows("big"))
    return 0


def five_tasks(bench: Bench, scale: float) -> int:
    make_big(bench, int(GB * scale))
    tables = ("--tables", "public.big", "--tables", f"public.{MARKER}")
    processes = [bench.copy("--follow", *tables, *QUICK, name=f"task{n}") for n in range(5)]
    for process in processes:
        process.start()
    for number, process in enumerate(processes):
        bench.follow(process, f"task{number}")
    bench.sql("UPDATE big SET price = price + 1 WHERE id % 10 = 0")
    rows = bench.rows("big")
    with psycopg.connect(bench.server.dsn()) as connection:
        position = current_wal_position(connection)
        connection.execute(f"INSERT INTO {MARKER} DEFAULT VALUES".encode())
        connection.commit()
        for process in processes:
            process.wait_until(lambda: has_confirmed(connection, position), f"confirming {position}", DEADLINE_S)
    for process in processes:
        process.stop()
    for number in range(5):
        bench.require("big", rows + rows // 10, f"task{number}")
    return 0


CASES: dict[str, Callable[[Bench, float], int]] = {
    "a table of 20 GB": large_table,
    "a transaction of 5 M rows": large_transaction,
    "a value of 900 MB, in load and in changes": large_value,
    "eight tables of 300 columns at once": wide_tables,
    "10 GB of WAL left behind": log_left_behind,
    "five tasks at once (each)": five_tasks,
}


def run_case(name: str, arguments: argparse.Namespace, file_format: str) -> tuple[int, int, float]:
    """Peak memory of the largest process and the largest value in bytes, and the seconds taken."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="ferry-memory-")))
        server = cleanup.enter_context(PostgresServer(POSTGRES_MAJOR, SERVER_SETTINGS))
        bench = Bench(arguments.ferry, folder, server, file_format)
        bench.sql(f"CREATE TABLE {MARKER} (id bigserial PRIMARY KEY)")
        cleanup.callback(lambda: [process.kill() for process in bench.processes])
        started = time.monotonic()
        value = CASES[name](bench, arguments.scale)
        return max(process.peak_memory_bytes for process in bench.processes), value, time.monotonic() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferry", type=Path, default=REPOSITORY / "build" / "ferry", help="the program")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the promised sizes (default %(default)s)")
    parser.add_argument("--only", default="", help="only the cases whose name holds this text")
    parser.add_argument("--format", choices=("csv", "parquet", "both"), default="parquet")
    arguments = parser.parse_args()
    arguments.ferry = arguments.ferry.resolve()
    formats = ("csv", "parquet") if arguments.format == "both" else (arguments.format,)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    print(f"scale {arguments.scale:g}, {free / GB:.0f} GB free on the disk\n")
    print(f"{'case':44} {'format':8} {'peak MB':>8} {'bound MB':>9} {'s':>7}  result")
    failed = False
    for name in CASES:
        if arguments.only not in name:
            continue
        for file_format in formats:
            try:
                peak, value, seconds = run_case(name, arguments, file_format)
            except (FerryError, psycopg.Error) as error:
                failed = True
                print(f"{name:44} {file_format:8} FAILED: {error}", flush=True)
                continue
            bound = PROMISED_MB * MB + 3 * value
            failed |= peak > bound
            print(f"{name:44} {file_format:8} {peak / MB:8.0f} {bound / MB:9.0f} {seconds:7.0f}  "
                  f"{'within' if peak <= bound else 'BEYOND'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
