#!/usr/bin/env python3
"""Runs Ferry for long under a seeded load while it is killed again and again, and proves that nothing is lost.

The run is a sequence of rounds. A round copies the tables anew and follows their changes while writers work;
Ferry is killed with SIGKILL, at random times or by itself at one of its named failpoints, and started again
with the same command. At the end of the round the writers pause, Ferry writes all it has captured and stops, and
every table's files are replayed and compared with the source. The first difference ends the run, and what it
needs to be understood is kept.

With --once-each-failpoint the tables are small and there are two rounds for each format: in one Ferry dies once at
each failpoint of a load, in the other at each failpoint of following changes. A failpoint that is not reached fails
the run.

The seed decides what each writer does and when Ferry is to be killed; it is printed and can be given again.
"""
from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import psycopg  # noqa: E402

import soak_kills  # noqa: E402
import soak_writers  # noqa: E402
from ferry_process import FerryError, FerryProcess, drain  # noqa: E402
from postgres_server import PASSWORD, USER, PostgresServer  # noqa: E402
from replay import Comparison, WriterRules, compare_tables, print_comparisons  # noqa: E402
from source_tables import list_tables, prepare_session  # noqa: E402
from table_files import CHANGE_NAME, FilesError, Layout  # noqa: E402

SERVER_SETTINGS = ("shared_buffers = 256MB", "max_wal_size = 4GB")
# By major version, what makes the server send transactions while they are in progress: the larger ones, or every one.
STREAMING_SETTINGS = {major: ("logical_decoding_work_mem = 64kB",) for major in (14, 15)} | {
    major: ("debug_logical_replication_streaming = immediate",) for major in (16, 17, 18)}
CDC_MAX_BATCH_INTERVAL_S = 2
SHORT_CDC_MAX_BATCH_INTERVAL_S = 1
CSV_NULL_VALUE = "\\N"
BUCKET = "soak"
ROUND_S = 240
FORMATS = ("parquet", "csv")
ROWS, SHORT_ROWS = 100_000, 10_000
ROWS_MIN = 10_000  # fewer, and a writer may run out of rows to change
WRITERS, SHORT_WRITERS = 4, 2
DRAIN_DEADLINE_S = 600
FOLLOWS_DEADLINE_S = 60
RULES = WriterRules(version_column=soak_writers.VERSION_COLUMN)


@dataclass
class Totals:
    """What the run has done so far."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    loaded: int = 0
    files: int = 0
    streamed: int = 0  # transactions sent while they were in progress; a transaction may count again after a kill

    def add(self, comparisons: list[Comparison]) -> None:
        for comparison in comparisons:
            if comparison.replay is not None:
                self.operations.update(comparison.replay.operations)
                self.loaded += comparison.replay.loaded
                self.files += len(comparison.replay.files.all)


def task_document(server: PostgresServer, arguments: argparse.Namespace, data_format: str,
                  target: Path) -> dict[str, object]:
    """The task as DMS's own API shapes say it."""
    source = {
        "EndpointIdentifier": "soak-source", "EndpointType": "source", "EngineName": "postgres",
        "ServerName": "127.0.0.1", "Port": server.port, "DatabaseName": "postgres", "Username": USER,
        "Password": PASSWORD,
    }
    if arguments.plugin == "test_decoding":
        source["PostgreSQLSettings"] = {"PluginName": "test-decoding"}
    s3_settings = {
        "BucketName": BUCKET, "DataFormat": data_format, "CdcMaxBatchInterval": SHORT_CDC_MAX_BATCH_INTERVAL_S
        if arguments.once_each_failpoint else CDC_MAX_BATCH_INTERVAL_S,
    }
    if data_format == "csv":
        s3_settings["CsvNullValue"] = CSV_NULL_VALUE
        if arguments.ddl:
            s3_settings["AddColumnName"] = True
    # Files of a truncated table go only where the document names the setting.
    task_settings = {"ChangeProcessingDdlHandlingPolicy": {"HandleSourceTableTruncated": True}} if arguments.ddl else {}
    return {
        "SourceEndpoint": source,
        "TargetEndpoint": {
            "EndpointIdentifier": "soak-target", "EndpointType": "target", "EngineName": "s3",
            "EndpointUrl": f"file://{target}", "S3Settings": s3_settings,
        },
        "ReplicationTask": {
            "ReplicationTaskIdentifier": "soak", "MigrationType": "full-load-and-cdc",
            "TableMappings": {"rules": [{
                "rule-type": "selection", "rule-id": "1", "rule-name": "all", "rule-action": "include",
                "object-locator": {"schema-name": soak_writers.SCHEMA, "table-name": "%"},
            }]},
            "ReplicationTaskSettings": task_settings,
        },
    }


def list_failpoints(ferry: Path) -> list[str]:
    done = subprocess.run([ferry, "failpoints"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FerryError(f"'ferry failpoints' ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.split()


class Round:
    """One load and its changes, in a folder of its own."""

    def __init__(self, server: PostgresServer, arguments: argparse.Namespace, data_format: str, folder: Path,
                 totals: Totals) -> None:
        self._server = server
        self._arguments = arguments
        # Without a header nobody could tell which columns a CSV file has.
        self._layout = Layout(format=data_format, null_marker=CSV_NULL_VALUE,
                              header=arguments.ddl and data_format == "csv", columns_change=arguments.ddl)
        self._touches = soak_writers.touches(arguments.writers if arguments.ddl else 0)
        self._totals = totals
        self._target = folder / "files"
        self._state = folder / "state"
        self._target.mkdir(parents=True)
        self._task = folder / "task.json"
        self._task.write_text(json.dumps(task_document(server, arguments, data_format, self._target), indent=2))
        self.ferry = FerryProcess([arguments.ferry, "run", self._task, "--state", self._state], folder / "ferry.log")

    def live(self, life: soak_kills.Life) -> None:
        """Starts Ferry and lets it live until its failpoint, or for so long and then kills it."""
        self.ferry.start(life.failpoint)
        if life.stopped:
            self._wait_until_it_follows()
            self.ferry.send_stop()
        if not self.ferry.wait(life.time_s):
            self.ferry.kill()
            if life.required:
                raise FerryError(f"ferry did not reach {life.failpoint} within {life.time_s:g} s; the end of its log:\n"
                                 f"{self.ferry.log_end()}")
            self._totals.kills["at a random time"] += 1
        elif life.failpoint and self.ferry.exit_code == -signal.SIGKILL:
            self._totals.kills[life.failpoint.split(":")[0]] += 1
        else:
            self.ferry.require_running()

    def _wait_until_it_follows(self) -> None:
        """Returns when a change made after the start is in the files."""
        table = soak_writers.MARKER_TABLE.split(".")[1]
        before = self._change_files(table)
        with psycopg.connect(self._server.dsn(), autocommit=True) as connection:
            connection.execute(soak_writers.TOUCHES[table].encode())
        self.ferry.wait_until(lambda: self._change_files(table) > before, "a new change file", FOLLOWS_DEADLINE_S)

    def _change_files(self, table: str) -> int:
        folder = self._target / BUCKET / soak_writers.SCHEMA / table
        names = (path.name for path in folder.iterdir()) if folder.exists() else ()
        return sum(1 for name in names if CHANGE_NAME.fullmatch(name))

    def _wait_for_every_load(self, connection: psycopg.Connection) -> None:
        """Touches each table until a new change file of it shows that its load is over.

        A slot made for a new load stands beyond all that was written before, so its position says nothing of loads.
        """
        before = {table: self._change_files(table) for table in self._touches}
        self.ferry.start()

        def touch_tables_without_changes() -> bool:
            waiting = [table for table, count in before.items() if self._change_files(table) == count]
            for table in waiting:
                connection.execute(self._touches[table].encode())
            connection.commit()
            return not waiting

        self.ferry.wait_until(touch_tables_without_changes, "a new change file of every table", DRAIN_DEADLINE_S)

    def finish(self) -> None:
        """Lets Ferry catch up with all that was written and stop."""
        with psycopg.connect(self._server.dsn()) as connection:
            self._wait_for_every_load(connection)
            drain(self.ferry, connection, soak_writers.MARKER_TABLE, DRAIN_DEADLINE_S)

    def compare(self) -> bool:
        with psycopg.connect(self._server.dsn()) as connection:
            prepare_session(connection)
            tables = list_tables(connection, soak_writers.SCHEMA)
            comparisons = compare_tables(connection, self._target / BUCKET, tables, self._layout, RULES)
        self._totals.rounds += 1
        self._totals.add(comparisons)
        return print_comparisons(comparisons)

    def count_streamed(self) -> None:
        if self._arguments.streaming:
            [(count,)] = self._server.sql("SELECT coalesce(sum(stream_txns), 0) FROM pg_stat_replication_slots")
            self._totals.streamed += int(count)

    def clean(self) -> None:
        """Has Ferry take its slot and its other traces out of the source, and looks whether it did."""
        subprocess.run([self._arguments.ferry, "clean", self._task, "--state", self._state], check=True,
                       stdout=subprocess.DEVNULL)
        left = self._server.sql(
            "SELECT slot_name FROM pg_replication_slots UNION ALL SELECT pubname FROM pg_publication")
        if left:
            raise FerryError(f"'ferry clean' left behind: {', '.join(name for (name,) in left)}")


class Soak:
    """The rounds, over one source and its writers."""

    def __init__(self, server: PostgresServer, arguments: argparse.Namespace, folder: Path,
                 writers: soak_writers.Writers) -> None:
        self.totals = Totals()
        self._server = server
        self._arguments = arguments
        self._folder = folder
        self._writers = writers
        self._random = random.Random(f"{arguments.seed}/kills")
        self._failpoints = list_failpoints(arguments.ferry)

    def _run_round(self, name: str, data_format: str, plan: soak_kills.KillPlan) -> bool:
        """Returns whether files and source are equal; the round's folder then goes."""
        folder = self._folder / name
        print(f"{name}, {data_format}: {plan}", flush=True)
        started = time.monotonic()
        self._writers.resume()
        current = Round(self._server, self._arguments, data_format, folder, self.totals)
        try:
            for life in plan.lives():
                current.live(life)
                self._writers.require_no_error()
            self._writers.pause()
            lived = time.monotonic()
            current.finish()
        finally:
            current.ferry.kill()
        drained = time.monotonic()
        if not current.compare():
            return False
        current.count_streamed()
        current.clean()
        shutil.rmtree(folder)
        print(f"{name}: {lived - started:.0f} s of killing, {drained - lived:.0f} s of catching up, "
              f"{time.monotonic() - drained:.0f} s of comparing", flush=True)
        return True

    def run_for(self, minutes: float) -> bool:
        """Rounds with random kills until the time is over, at least one."""
        end = time.monotonic() + minutes * 60
        for number, data_format in enumerate(itertools.cycle(self._arguments.format), start=1):
            left_s = end - time.monotonic()
            if number > 1 and left_s < CDC_MAX_BATCH_INTERVAL_S:
                return True
            plan = soak_kills.RandomKills(self._random, self._failpoints, min(ROUND_S, left_s))
            if not self._run_round(f"round-{number}", data_format, plan):
                return False
        raise AssertionError("unreachable")

    def run_each_failpoint(self) -> bool:
        """For each format a round with the failpoints of a load and one with those of changes."""
        return all(self._run_round(f"{group}-{data_format}", data_format, plan)
                   for data_format in self._arguments.format
                   for group, plan in soak_kills.failpoint_groups(self._failpoints).items())

    def print_totals(self) -> None:
        counts = self._writers.counts
        streaming = f", {self.totals.streamed:,} transactions sent in progress" if self._arguments.streaming else ""
        print(f"\nseed {self._arguments.seed}, {' and '.join(self._arguments.format)}, {self._arguments.plugin}"
              f"{streaming}: {self.totals.rounds} rounds, {sum(self.totals.kills.values())} kills")
        print(f"transactions: {counts.pop('commits', 0):,} committed, {counts.pop('rollbacks', 0):,} rolled back")
        changes = ", ".join(f"{self.totals.operations[operation]:,} {operation}" for operation in "IUD")
        print(f"rows in files: {self.totals.loaded:,} loaded, {changes}; {self.totals.files:,} files")
        kills = Counter(self.totals.kills)
        reached = ", ".join(f"{name} {kills.pop(name, 0)}" for name in self._failpoints)
        print(f"failpoints reached: {reached}")
        for title, counter in (("other kills", kills), ("actions", counts)):
            print(f"{title}: " + (", ".join(f"{name} {count:,}" for name, count in sorted(counter.items())) or "none"))


def run(arguments: argparse.Namespace, folder: Path) -> bool:
    with ExitStack() as cleanup:
        server = cleanup.enter_context(PostgresServer(
            arguments.postgres,
            SERVER_SETTINGS + (STREAMING_SETTINGS[arguments.postgres] if arguments.streaming else ())))
        soak_writers.create_tables(server.dsn(), arguments.rows, arguments.writers if arguments.ddl else 0)
        writers = soak_writers.Writers(server.dsn(), arguments.seed, arguments.writers, arguments.rows,
                                       ddl=arguments.ddl, rate=arguments.rate)
        cleanup.callback(writers.end)
        soak = Soak(server, arguments, folder, writers)
        equal = soak.run_each_failpoint() if arguments.once_each_failpoint else soak.run_for(arguments.minutes)
        soak.print_totals()
        if equal and arguments.streaming and soak.totals.streamed == 0:
            raise FerryError("no transaction was sent while it was in progress")
        return equal


def end_like_interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Lets SIGTERM clean up as Ctrl-C does."""
    raise KeyboardInterrupt


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferry", type=Path, default=REPOSITORY / "build" / "ferry", help="the program")
    parser.add_argument("--minutes", type=float, default=30, help="how long (default %(default)s)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), help="default: a random one")
    parser.add_argument("--format", choices=(*FORMATS, "both"), default="parquet",
                        help="of the files (default %(default)s); both: in turn, a round each")
    parser.add_argument("--plugin", choices=("pgoutput", "test_decoding"), default="pgoutput")
    parser.add_argument("--streaming", action="store_true",
                        help="the server sends transactions while they are in progress: of more than 64 kB, or "
                             "all of them from version 16 on")
    parser.add_argument("--postgres", type=int, default=15, help="the server's major version (default %(default)s)")
    parser.add_argument("--writers", type=int,
                        help=f"connections that write (default {WRITERS}, or {SHORT_WRITERS} for each failpoint)")
    parser.add_argument("--rows", type=int,
                        help=f"rows of the longest table at first (default {ROWS}, or {SHORT_ROWS} for each failpoint)")
    parser.add_argument("--rate", type=float, default=0,
                        help="the most transactions a second that all writers together begin (default: as many as can)")
    parser.add_argument("--ddl", action="store_true", help="writers also truncate and alter tables of their own")
    parser.add_argument("--once-each-failpoint", action="store_true",
                        help="die once at each failpoint, for no set time")
    parser.add_argument("--keep", type=Path, metavar="DIR",
                        help="where a failed run leaves its new folder (default: the temporary folder)")
    arguments = parser.parse_args()
    arguments.ferry = arguments.ferry.resolve()
    if not os.access(arguments.ferry, os.X_OK):
        parser.error(f"there is no program {arguments.ferry}; run 'make build'")
    arguments.format = FORMATS if arguments.format == "both" else (arguments.format,)
    if arguments.rows is None:
        arguments.rows = SHORT_ROWS if arguments.once_each_failpoint else ROWS
    if arguments.writers is None:
        arguments.writers = SHORT_WRITERS if arguments.once_each_failpoint else WRITERS
    if arguments.streaming and (arguments.plugin != "pgoutput" or arguments.postgres not in STREAMING_SETTINGS):
        parser.error("--streaming needs pgoutput and PostgreSQL 14 or later")
    if arguments.rows < ROWS_MIN:
        parser.error(f"--rows is at least {ROWS_MIN}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    print(f"seed {arguments.seed}", flush=True)
    signal.signal(signal.SIGTERM, end_like_interrupt)
    folder = Path(tempfile.mkdtemp(prefix="ferry-soak-", dir=arguments.keep))
    try:
        equal = run(arguments, folder)
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        print("interrupted; everything is cleaned up")
        return 130
    except (FerryError, FilesError, RuntimeError) as error:
        print(error)
        equal = False
    if equal:
        shutil.rmtree(folder)
        print("The files held exactly the source in every round.")
        return 0
    print(f"FAILED with seed {arguments.seed}; task, state, log and files are in {folder}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
