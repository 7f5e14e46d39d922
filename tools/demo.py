#!/usr/bin/env python3
"""Shows Ferry at work: a busy PostgreSQL copied into files, Ferry killed on the way, and nothing lost.

The source is a throw-away PostgreSQL with TPC-H-shaped tables. While writers insert, update and delete, Ferry
copies the tables and follows the changes; it is killed with SIGKILL in the middle of that and started again
with the same command. In the end the files are replayed, and the rows they give are counted and digested beside
the source's. Exit code 1 means that they differ.
"""
from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import FrameType

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import psycopg  # noqa: E402

import tpch_tables  # noqa: E402
from ferry_process import FerryError, FerryProcess, drain  # noqa: E402
from postgres_server import PASSWORD, USER, PostgresServer  # noqa: E402
from replay import Comparison, WriterRules, compare_tables, print_comparisons  # noqa: E402
from source_tables import describe_table, prepare_session  # noqa: E402
from table_files import CHANGE_NAME, FilesError, Layout  # noqa: E402

POSTGRES_MAJOR = 15
SERVER_SETTINGS = ("shared_buffers = 256MB", "max_wal_size = 4GB", "checkpoint_timeout = 30min")
CDC_MAX_BATCH_INTERVAL_S = 2
FILES_BEFORE_KILL = 3  # change files of each busy table that show steady CDC
FILES_AFTER_RESTART = 2
BUSY_TABLES = ("orders", "lineitem", "customer", "partsupp")
MARKER_TABLE = "demo_marker"
DEADLINE_S = 300
RULES = WriterRules(updates_change=True)


@dataclass(frozen=True)
class Source:
    dsn: str
    url: str
    sizes: tpch_tables.Sizes


class Writer:
    """One connection that works on its own orders, so that writers never wait for one another for long.

    Every transaction changes several rows of several tables: a new order, a changed order, a cancelled order.
    """

    def __init__(self, source: Source, number: int, count: int, stop: threading.Event) -> None:
        self.name = f"writer-{number}"
        self.transactions = 0
        self.rows = 0
        self.error: Exception | None = None
        self._source = source
        self._random = random.Random(number)
        # The orders of this writer: every count-th of the loaded ones, then its own new ones.
        self._count = count
        self._next_order = source.sizes.orders + 1 + number
        self._orders = list(range(1 + number, source.sizes.orders + 1, count * 7))
        self._stop = stop

    def run(self) -> None:
        try:
            with psycopg.connect(self._source.dsn) as connection, connection.cursor() as cursor:
                while not self._stop.is_set():
                    action = self._random.choices((self._insert, self._update, self._delete), (5, 4, 1))[0]
                    rows = action(cursor) + self._update_shared_rows(cursor)
                    connection.commit()
                    self.transactions += 1
                    self.rows += rows
        except Exception as error:  # Reported by the main thread.
            self.error = error

    def _insert(self, cursor: psycopg.Cursor) -> int:
        order, lines = self._next_order, self._random.randint(1, 7)
        self._next_order += self._count
        price = Decimal(self._random.randint(90_000, 45_000_000)) / 100
        cursor.execute(
            "INSERT INTO orders VALUES (%s, %s, 'O', %s, current_date, '3-MEDIUM', 'Clerk#000000001', 0, %s)",
            (order, self._random.randint(1, self._source.sizes.customers), price, f"placed by {self.name}"))
        cursor.execute(
            "INSERT INTO lineitem SELECT %s, %s + l, l, l, l, %s / l, 0.05, 0.02, 'N', 'O', current_date, "
            "current_date + 30, current_date + l, 'NONE', 'TRUCK', 'line ' || l FROM generate_series(1, %s) AS l",
            (order, self._random.randint(1, 1000), price, lines))
        self._orders.append(order)
        return 1 + lines

    def _update(self, cursor: psycopg.Cursor) -> int:
        order = self._random.choice(self._orders)
        cursor.execute("UPDATE lineitem SET l_linestatus = 'F', l_extendedprice = l_extendedprice + 0.01 "
                       "WHERE l_orderkey = %s", (order,))
        lines = cursor.rowcount
        cursor.execute("UPDATE orders SET o_orderstatus = 'P', o_totalprice = o_totalprice + %s WHERE o_orderkey = %s",
                       (Decimal(lines) / 100, order))
        return lines + cursor.rowcount

    def _delete(self, cursor: psycopg.Cursor) -> int:
        place = self._random.randrange(len(self._orders))
        self._orders[place], self._orders[-1] = self._orders[-1], self._orders[place]
        order = self._orders.pop()
        cursor.execute("DELETE FROM lineitem WHERE l_orderkey = %s", (order,))
        lines = cursor.rowcount
        cursor.execute("DELETE FROM orders WHERE o_orderkey = %s", (order,))
        return lines + cursor.rowcount

    def _update_shared_rows(self, cursor: psycopg.Cursor) -> int:
        """One row of two tables that all writers share, always in this order: no deadlocks."""
        cursor.execute("UPDATE customer SET c_acctbal = c_acctbal + 1 WHERE c_custkey = %s",
                       (self._random.randint(1, self._source.sizes.customers),))
        changed = cursor.rowcount
        cursor.execute("UPDATE partsupp SET ps_availqty = ps_availqty + 1 WHERE ps_partkey = %s",
                       (self._random.randint(1, self._source.sizes.parts),))
        return changed + cursor.rowcount


class Writers:
    """All writers together."""

    def __init__(self, source: Source, count: int) -> None:
        self._stop = threading.Event()
        self._writers = [Writer(source, number, count, self._stop) for number in range(count)]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for writer in self._writers:
            self._threads.append(threading.Thread(target=writer.run, name=writer.name, daemon=True))
            self._threads[-1].start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def require_no_error(self) -> None:
        for writer in self._writers:
            if writer.error is not None:
                raise FerryError(f"{writer.name} failed: {writer.error}") from writer.error

    @property
    def transactions(self) -> int:
        return sum(writer.transactions for writer in self._writers)

    @property
    def rows(self) -> int:
        return sum(writer.rows for writer in self._writers)


class Report:
    """The times and rates of the demonstration, printed as they become known."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def line(self, what: str, value: str = "") -> None:
        print(f"{time.monotonic() - self._started:6.1f} s  {what:44} {value:>24}".rstrip(), flush=True)


def files_of(root: Path, table: str) -> list[Path]:
    folder = root / "public" / table
    return sorted(folder.iterdir()) if folder.exists() else []


def change_file_count(root: Path, table: str) -> int:
    return sum(1 for path in files_of(root, table) if CHANGE_NAME.fullmatch(path.name))


def load_is_complete(root: Path) -> bool:
    """Every table has its LOAD files, and the tables under change have gone on to their changes."""
    return all(files_of(root, table) for table in tpch_tables.TABLES) and all(
        change_file_count(root, table) for table in BUSY_TABLES)


def load_end(root: Path) -> float:
    """When the last LOAD file was finished, as time.time() tells it."""
    return max(path.stat().st_mtime for table in tpch_tables.TABLES for path in files_of(root, table)
               if path.name.startswith("LOAD"))


def ferry_command(arguments: argparse.Namespace, source: Source, target: Path, state: Path) -> list[str | Path]:
    return [arguments.ferry, "copy", source.url, f"file://{target}", "--tables", "public.%", "--format", "parquet",
            "--follow", "--set", f"CdcMaxBatchInterval={CDC_MAX_BATCH_INTERVAL_S}", "--state", state]


def make_source(server: PostgresServer, arguments: argparse.Namespace) -> Source:
    sizes = tpch_tables.Sizes.for_orders(arguments.orders)
    tpch_tables.create_tables(server.dsn(), sizes)
    server.sql(f"CREATE TABLE {MARKER_TABLE} (id bigserial PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT now())")
    return Source(server.dsn(), f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{server.port}/postgres", sizes)


def follow_with_a_kill(ferry: FerryProcess, source: Source, target: Path, writers: Writers, report: Report) -> None:
    """Load, steady CDC, SIGKILL, the same command again, until all that was written is in the files."""
    started = time.time()
    loaded_rows = 0
    with psycopg.connect(source.dsn) as connection:
        for table in tpch_tables.TABLES:
            loaded_rows += connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()[0][0]
    writers.start()
    ferry.start()
    report.line("ferry copy --follow started, writers at work")

    ferry.wait_until(lambda: load_is_complete(target), "the end of the load", DEADLINE_S)
    load_s = load_end(target) - started
    report.line(f"load of {loaded_rows:,} rows in {load_s:.1f} s", f"{loaded_rows / load_s:,.0f} rows/s")

    ferry.wait_until(lambda: all(change_file_count(target, table) >= FILES_BEFORE_KILL for table in BUSY_TABLES),
                     "steady CDC", DEADLINE_S)
    ferry.kill()
    before = {table: change_file_count(target, table) for table in BUSY_TABLES}
    killed = time.monotonic()
    report.line(f"ferry killed with SIGKILL at {writers.rows:,} changed rows")
    ferry.start()
    ferry.wait_until(lambda: all(change_file_count(target, table) > before[table] for table in BUSY_TABLES),
                     "the first change files after the restart", DEADLINE_S)
    report.line("the same command goes on", f"after {time.monotonic() - killed:.1f} s")
    ferry.wait_until(lambda: all(change_file_count(target, table) >= before[table] + FILES_AFTER_RESTART
                                 for table in BUSY_TABLES), "steady CDC after the restart", DEADLINE_S)

    writers.stop()
    writers.require_no_error()
    stopped = time.monotonic()
    written_s = time.time() - started
    report.line(f"writers stopped after {writers.transactions:,} transactions",
                f"{writers.rows / written_s:,.0f} rows/s")
    with psycopg.connect(source.dsn) as connection:
        drain(ferry, connection, MARKER_TABLE, DEADLINE_S)
    report.line(f"all {writers.rows:,} changed rows in files", f"{time.monotonic() - stopped:.1f} s later")


def compare(source: Source, target: Path) -> list[Comparison]:
    """Compares the tables, lineitem beside all the others."""
    with psycopg.connect(source.dsn) as connection:
        prepare_session(connection)
        tables = [describe_table(connection, "public", name) for name in tpch_tables.TABLES]
        marker = describe_table(connection, "public", MARKER_TABLE)

    def compare_some(names: set[str]) -> list[Comparison]:
        with psycopg.connect(source.dsn) as connection:
            prepare_session(connection)
            compared = [table for table in tables if table.name in names]
            ignored = [table for table in (*tables, marker) if table.name not in names]
            return compare_tables(connection, target, compared, Layout(), RULES, tuple(ignored))

    with ThreadPoolExecutor(max_workers=2) as pool:
        long = pool.submit(compare_some, {"lineitem"})
        rest = pool.submit(compare_some, set(tpch_tables.TABLES) - {"lineitem"})
        return sorted([*long.result(), *rest.result()], key=lambda comparison: comparison.table.name)


def print_files(comparisons: list[Comparison], ferry: FerryProcess) -> None:
    print(f"\n{'table':20} {'LOAD files':>10} {'rows':>10} {'CDC files':>10} {'I':>9} {'U':>9} {'D':>9} {'MB':>8}")
    for comparison in comparisons:
        replay = comparison.replay
        if replay is not None:
            counts = " ".join(f"{replay.operations[operation]:9}" for operation in "IUD")
            print(f"{str(comparison.table):20} {len(replay.files.load):10} {replay.loaded:10} "
                  f"{len(replay.files.changes):10} {counts} {replay.files.total_bytes / 1e6:8.1f}")
    print(f"ferry used {ferry.cpu_s:.1f} s of CPU and at most {ferry.peak_memory_bytes / 1e6:.0f} MB of memory\n")


def run(arguments: argparse.Namespace, folder: Path) -> bool:
    report = Report()
    target, state = folder / "files", folder / "state"
    target.mkdir(parents=True)
    with ExitStack() as cleanup:
        server = cleanup.enter_context(PostgresServer(POSTGRES_MAJOR, SERVER_SETTINGS))
        report.line(f"PostgreSQL {POSTGRES_MAJOR} started on port {server.port}")
        source = make_source(server, arguments)
        report.line(f"tables made from {source.sizes.orders:,} orders")

        ferry = FerryProcess(ferry_command(arguments, source, target, state), folder / "ferry.log")
        cleanup.callback(ferry.kill)
        writers = Writers(source, arguments.writers)
        cleanup.callback(writers.stop)
        follow_with_a_kill(ferry, source, target, writers, report)

        comparisons = compare(source, target)
        report.line("source and files digested")
        print_files(comparisons, ferry)
        return print_comparisons(comparisons)


def end_like_interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Lets SIGTERM clean up as Ctrl-C does."""
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferry", type=Path, default=REPOSITORY / "build" / "ferry", help="the program")
    parser.add_argument("--orders", type=int, default=600_000, help="orders to begin with (default %(default)s)")
    parser.add_argument("--writers", type=int, default=4, help="connections that write (default %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new or empty folder that keeps files and log")
    arguments = parser.parse_args()
    arguments.ferry = arguments.ferry.resolve()
    if not os.access(arguments.ferry, os.X_OK):
        parser.error(f"there is no program {arguments.ferry}; run 'make build'")
    if arguments.keep and arguments.keep.exists() and any(arguments.keep.iterdir()):
        parser.error(f"{arguments.keep} is not empty")

    signal.signal(signal.SIGTERM, end_like_interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="ferry-demo-") as temporary:
            equal = run(arguments, arguments.keep.resolve() if arguments.keep else Path(temporary))
    except (FerryError, FilesError) as error:
        print(error)
        return 1
    except KeyboardInterrupt:
        print("interrupted; everything is cleaned up")
        return 130
    print("The files hold exactly the source." if equal else "The files and the source DIFFER.")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
