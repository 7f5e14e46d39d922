#!/usr/bin/env python3
"""Runs Ferry for long under a seeded load while it is killed again and again, and proves that nothing is lost.

The run is a sequence of rounds. A round copies the tables anew and follows their changes while writers work, TRUNCATE,
ALTER and RENAME among what they do; Ferry is killed with SIGKILL, at random times or by itself at one of its named
failpoints, and started again with the same command. At the end of the round the writers pause, Ferry writes all it has
captured and stops, and every table's files are replayed and compared with the source. The first difference ends the
run, and what it needs to be understood is kept.

Rounds come in variants: of the files' format, of the decoder, and of what transactions go through. Each variant has
first a round in which Ferry dies once at each failpoint of a load and one in which it dies at each failpoint of
following changes; a failpoint that is not reached fails the run. Then the variants take turns with random kills until
the time is over, each at least once. With --minutes 0 there are no random kills.

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

import soak_ddl  # noqa: E402
import soak_kills  # noqa: E402
import soak_writers  # noqa: E402
from ferry_process import FerryError, FerryProcess, drain  # noqa: E402
from postgres_server import PASSWORD, USER, PostgresServer, installed_majors  # noqa: E402
from replay import Comparison, WriterRules, compare_tables, print_comparisons  # noqa: E402
from source_tables import list_tables, prepare_session  # noqa: E402
from table_files import CHANGE_NAME, FilesError, Layout  # noqa: E402

SERVER_SETTINGS = ("shared_buffers = 256MB", "max_wal_size = 4GB")
# By major version, what makes the server send transactions while they are in progress: the larger ones, or every one.
STREAMING_SETTINGS = {major: ("logical_decoding_work_mem", "64kB") for major in (14, 15)} | {
    major: ("debug_logical_replication_streaming", "immediate") for major in (16, 17, 18)}
CDC_MAX_BATCH_INTERVAL_S = 1
CSV_NULL_VALUE = "\\N"
BUCKET = "soak"
ROUND_S, ROUND_MIN_S = 180, 20
ROWS = 100_000
ROWS_MIN = 10_000  # fewer, and a writer may run out of rows to change
WRITERS = 4
# The least MemoryLimitTotal that Ferry takes; a writer's bulk transaction is larger than what it leaves the sorter.
SPILLING_MEMORY_LIMIT_MB = 32
SPILLED_LINE = "goes to disk"
LOADED_LINE = "load finished:"
EXIT_SKIPPED = 77  # ctest's SKIP_RETURN_CODE
DRAIN_DEADLINE_S = 600
FOLLOWS_DEADLINE_S = 60
RULES = WriterRules(version_column=soak_writers.VERSION_COLUMN)


@dataclass(frozen=True)
class Variant:
    """The kind of a round. `streaming`: the server sends transactions while they are in progress. `spill`: Ferry has
    so little memory that large transactions go through its disk."""

    format: str
    plugin: str
    streaming: bool = False
    spill: bool = False

    @property
    def name(self) -> str:
        return "-".join([self.format, self.plugin, *(["streaming"] if self.streaming else []),
                         *(["spill"] if self.spill else [])])


VARIANTS = {variant.name: variant for variant in (
    Variant("csv", "pgoutput"), Variant("parquet", "pgoutput", streaming=True), Variant("csv", "test_decoding"),
    Variant("parquet", "pgoutput", spill=True), Variant("csv", "pgoutput", streaming=True, spill=True),
    Variant("parquet", "test_decoding", spill=True))}


@dataclass
class Totals:
    """What the run has done so far."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    loaded: int = 0
    files: int = 0
    # Transactions sent while they were in progress, and gone through Ferry's disk; one may count again after a kill.
    streamed: int = 0
    spilled: int = 0

    def add(self, comparisons: list[Comparison]) -> None:
        for comparison in comparisons:
            if comparison.replay is not None:
                self.operations.update(comparison.replay.operations)
                self.loaded += comparison.replay.loaded
                self.files += len(comparison.replay.files.all)


def task_document(server: PostgresServer, variant: Variant, target: Path) -> dict[str, object]:
    """The task as DMS's own API shapes say it."""
    postgres_settings: dict[str, object] = {}
    if variant.plugin == "test_decoding":
        postgres_settings["PluginName"] = "test-decoding"
    if variant.streaming:
        postgres_settings["CaptureDdls"] = False  # Transactions with messages about DDL are sent whole.
    s3_settings: dict[str, object] = {
        "BucketName": BUCKET, "DataFormat": variant.format, "CdcMaxBatchInterval": CDC_MAX_BATCH_INTERVAL_S,
    }
    if variant.format == "csv":
        # Without a header nobody could tell which columns a file of an altered table has.
        s3_settings |= {"CsvNullValue": CSV_NULL_VALUE, "AddColumnName": True}
    # Files of a truncated table go only where the document names the setting.
    task_settings: dict[str, object] = {"ChangeProcessingDdlHandlingPolicy": {"HandleSourceTableTruncated": True}}
    if variant.spill:
        task_settings["ChangeProcessingTuning"] = {"MemoryLimitTotal": SPILLING_MEMORY_LIMIT_MB}
    return {
        "SourceEndpoint": {
            "EndpointIdentifier": "soak-source", "EndpointType": "source", "EngineName": "postgres",
            "ServerName": "127.0.0.1", "Port": server.port, "DatabaseName": "postgres", "Username": USER,
            "Password": PASSWORD, "PostgreSQLSettings": postgres_settings,
        },
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

    def __init__(self, server: PostgresServer, arguments: argparse.Namespace, variant: Variant, folder: Path,
                 totals: Totals, writers: soak_writers.Writers) -> None:
        self._server = server
        self._arguments = arguments
        self._variant = variant
        self._layout = Layout(format=variant.format, null_marker=CSV_NULL_VALUE, header=variant.format == "csv",
                              columns_change=True, renamed=soak_ddl.RENAMED)
        self._writers = writers
        self._written_bulk = False
        self._log = folder / "ferry.log"
        self._totals = totals
        self._target = folder / "files"
        self._state = folder / "state"
        self._target.mkdir(parents=True)
        self._task = folder / "task.json"
        self._task.write_text(json.dumps(task_document(server, variant, self._target), indent=2))
        self._set_streaming()
        self.ferry = FerryProcess([arguments.ferry, "run", self._task, "--state", self._state], self._log)

    def _set_streaming(self) -> None:
        """As a setting of the user's, which holds for its next connection."""
        if self._server.major not in STREAMING_SETTINGS:
            return
        name, value = STREAMING_SETTINGS[self._server.major]
        change = f"SET {name} = '{value}'" if self._variant.streaming else f"RESET {name}"
        with psycopg.connect(self._server.dsn(), autocommit=True) as connection:
            connection.execute(f"ALTER ROLE {USER} {change}".encode())

    def live(self, life: soak_kills.Life) -> None:
        """Starts Ferry and lets it live until its failpoint, or for so long and then kills it."""
        if self._is_loaded():
            self._writers.allow_renaming_tables(True)
            self._write_bulk_once()
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

    def _is_loaded(self) -> bool:
        return self._log.exists() and LOADED_LINE in self._log.read_text(errors="replace")

    def _write_bulk_once(self) -> None:
        """The writers' own transactions of this size are too seldom for a short round."""
        if not self._variant.spill or self._written_bulk:
            return
        self._written_bulk = True
        with psycopg.connect(self._server.dsn(), autocommit=True) as connection:
            connection.execute(soak_writers.BULK.encode())

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
        touches = self._writers.touches()
        before = {table: self._change_files(table) for table in touches}
        self.ferry.start()

        def touch_tables_without_changes() -> bool:
            waiting = [table for table, count in before.items() if self._change_files(table) == count]
            for table in waiting:
                connection.execute(touches[table].encode())
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

    def count_ways(self) -> None:
        """Counts the transactions that came in progress and that went through the disk."""
        if self._variant.streaming:
            [(count,)] = self._server.sql("SELECT coalesce(sum(stream_txns), 0) FROM pg_stat_replication_slots")
            self._totals.streamed += int(count)
        log = self._state / "logs" / "task.log"
        self._totals.spilled += log.read_text(errors="replace").count(SPILLED_LINE)

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

    def _run_round(self, kind: str, variant: Variant, plan: soak_kills.KillPlan) -> bool:
        """Returns whether files and source are equal; the round's folder then goes."""
        name = f"{self.totals.rounds + 1}-{kind}-{variant.name}"
        folder = self._folder / name
        print(f"{name}: {plan}", flush=True)
        started = time.monotonic()
        self._writers.allow_renaming_tables(False)
        self._writers.resume()
        current = Round(self._server, self._arguments, variant, folder, self.totals, self._writers)
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
        current.count_ways()
        current.clean()
        shutil.rmtree(folder)
        print(f"{name}: {lived - started:.0f} s of killing, {drained - lived:.0f} s of catching up, "
              f"{time.monotonic() - drained:.0f} s of comparing", flush=True)
        return True

    def run(self) -> bool:
        """Each failpoint in each variant, then random kills until the time is over."""
        end = time.monotonic() + self._arguments.minutes * 60
        variants = [VARIANTS[name] for name in self._arguments.variants]
        for variant in variants:
            for group, plan in soak_kills.failpoint_groups(self._failpoints).items():
                if not self._run_round(group, variant, plan):
                    return False
        if self._arguments.minutes == 0:
            return True
        # What is left, in equal shares at first.
        share_s = min(ROUND_S, max((end - time.monotonic()) / len(variants), ROUND_MIN_S))
        for number, variant in enumerate(itertools.cycle(variants)):
            if number >= len(variants) and time.monotonic() > end:
                return True
            if not self._run_round("random", variant, soak_kills.RandomKills(self._random, self._failpoints, share_s)):
                return False
        raise AssertionError("unreachable")

    def print_totals(self) -> None:
        counts = self._writers.counts
        print(f"\nseed {self._arguments.seed}, PostgreSQL {self._server.major}, {', '.join(self._arguments.variants)}: "
              f"{self.totals.rounds} rounds, {sum(self.totals.kills.values())} kills")
        print(f"transactions: {counts.pop('commits', 0):,} committed, {counts.pop('rollbacks', 0):,} rolled back")
        print(f"of them {self.totals.streamed:,} sent in progress, {self.totals.spilled:,} through Ferry's disk")
        changes = ", ".join(f"{self.totals.operations[operation]:,} {operation}" for operation in "IUD")
        print(f"rows in files: {self.totals.loaded:,} loaded, {changes}; {self.totals.files:,} files")
        kills = Counter(self.totals.kills)
        reached = ", ".join(f"{name} {kills.pop(name, 0)}" for name in self._failpoints)
        print(f"failpoints reached: {reached}")
        for title, counter in (("other kills", kills), ("actions", counts)):
            print(f"{title}: " + (", ".join(f"{name} {count:,}" for name, count in sorted(counter.items())) or "none"))


def run(arguments: argparse.Namespace, folder: Path) -> bool:
    with ExitStack() as cleanup:
        server = cleanup.enter_context(PostgresServer(arguments.postgres, SERVER_SETTINGS))
        soak_writers.create_tables(server.dsn(), arguments.rows, arguments.writers)
        writers = soak_writers.Writers(server.dsn(), arguments.seed, arguments.writers, arguments.rows,
                                       rate=arguments.rate, ddl=arguments.ddl)
        cleanup.callback(writers.end)
        soak = Soak(server, arguments, folder, writers)
        equal = soak.run()
        soak.print_totals()
        variants = [VARIANTS[name] for name in arguments.variants]
        if equal and any(variant.streaming for variant in variants) and soak.totals.streamed == 0:
            raise FerryError("no transaction was sent while it was in progress")
        if equal and any(variant.spill for variant in variants) and soak.totals.spilled == 0:
            raise FerryError("no transaction went through Ferry's disk")
        return equal


def end_like_interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Lets SIGTERM clean up as Ctrl-C does."""
    raise KeyboardInterrupt


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferry", type=Path, default=REPOSITORY / "build" / "ferry", help="the program")
    parser.add_argument("--minutes", type=float, default=30, help="how long, with one round of each variant at the least (default %(default)s); "
                             "0: each failpoint, and nothing else")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), help="default: a random one")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME",
                        help=f"of {', '.join(VARIANTS)} (default: all)")
    parser.add_argument("--postgres", type=int, default=15, help="the server's major version (default %(default)s)")
    parser.add_argument("--writers", type=int, default=WRITERS, help="connections that write (default %(default)s)")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of the longest table at first (default %(default)s)")
    parser.add_argument("--rate", type=float, default=0,
                        help="the most transactions a second that all writers together begin (default: as many as can)")
    parser.add_argument("--ddl", type=float, default=soak_ddl.PROBABILITY,
                        help="the share of transactions that change a table itself (default %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR",
                        help="where a failed run leaves its new folder (default: the temporary folder)")
    arguments = parser.parse_args()
    arguments.ferry = arguments.ferry.resolve()
    if not os.access(arguments.ferry, os.X_OK):
        parser.error(f"there is no program {arguments.ferry}; run 'make build'")
    if arguments.postgres not in STREAMING_SETTINGS and any(VARIANTS[name].streaming for name in arguments.variants):
        parser.error("variants with streaming need PostgreSQL 14 or later")
    if arguments.rows < ROWS_MIN:
        parser.error(f"--rows is at least {ROWS_MIN}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    if arguments.postgres not in installed_majors():
        print(f"PostgreSQL {arguments.postgres} is not installed")
        return EXIT_SKIPPED
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
