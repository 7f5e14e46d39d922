#!/usr/bin/env python3
"""Runs Ferry for long under a seeded load while it is killed again and again, and proves that nothing is lost.

The run is a sequence of rounds. A round copies the tables anew and follows their changes while writers work;
Ferry is killed with SIGKILL, at random times or by itself at one of its named failpoints, and started again
with the same command. At the end of the round the writers pause, Ferry writes all it has captured and stops, and
every table's files are replayed and compared with the source. The first difference ends the run, and what it
needs to be understood is kept.

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
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import psycopg  # noqa: E402

import soak_writers  # noqa: E402
from ferry_process import FerryError, FerryProcess, drain  # noqa: E402
from postgres_server import PASSWORD, USER, PostgresServer  # noqa: E402
from replay import Comparison, WriterRules, compare_tables, print_comparisons  # noqa: E402
from source_tables import list_tables, prepare_session  # noqa: E402
from table_files import CHANGE_NAME, FilesError, Layout  # noqa: E402

SERVER_SETTINGS = ("shared_buffers = 256MB", "max_wal_size = 4GB")
CDC_MAX_BATCH_INTERVAL_S = 2
CSV_NULL_VALUE = "\\N"
BUCKET = "soak"
ROUND_S = 240
ROWS_MIN = 10_000  # fewer, and a writer may run out of rows to change
DRAIN_DEADLINE_S = 600
FAILPOINT_DEADLINE_S = 90
FAILPOINT_PROBABILITY = 0.5  # of a kill being left to a failpoint
FAILPOINT_PASSES_MAX = 5  # a failpoint strikes when it is passed for the 1st to 5th time
# How long Ferry lives before a kill: through part of a load, of the catch-up, of steady CDC.
LIVES_S = ((0.1, 1.5), (1.5, 8.0), (8.0, 25.0))
RULES = WriterRules(version_column=soak_writers.VERSION_COLUMN)


@dataclass
class Totals:
    """What the run has done so far."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    loaded: int = 0
    files: int = 0

    def add(self, comparisons: list[Comparison]) -> None:
        for comparison in comparisons:
            if comparison.replay is not None:
                self.operations.update(comparison.replay.operations)
                self.loaded += comparison.replay.loaded
                self.files += len(comparison.replay.files.all)


def task_document(server: PostgresServer, arguments: argparse.Namespace, target: Path) -> dict[str, object]:
    """The task as DMS's own API shapes say it."""
    source = {
        "EndpointIdentifier": "soak-source", "EndpointType": "source", "EngineName": "postgres",
        "ServerName": "127.0.0.1", "Port": server.port, "DatabaseName": "postgres", "Username": USER,
        "Password": PASSWORD,
    }
    if arguments.plugin == "test_decoding":
        source["PostgreSQLSettings"] = {"PluginName": "test-decoding"}
    s3_settings = {
        "BucketName": BUCKET, "DataFormat": arguments.format, "CdcMaxBatchInterval": CDC_MAX_BATCH_INTERVAL_S,
    }
    if arguments.format == "csv":
        s3_settings["CsvNullValue"] = CSV_NULL_VALUE
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
            "ReplicationTaskSettings": {},
        },
    }


def list_failpoints(ferry: Path) -> list[str]:
    done = subprocess.run([ferry, "failpoints"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FerryError(f"'ferry failpoints' ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.split()


class KillPlan(Protocol):
    """How long Ferry is to live each time in a round, in seconds, and at which failpoint to die before that."""

    def lives(self) -> Iterator[tuple[float, str]]: ...


@dataclass(frozen=True)
class RandomKills:
    """Short and long lives in a mixture, until the round's time is over."""

    source: random.Random
    failpoints: list[str]
    duration_s: float

    def __str__(self) -> str:
        return f"random kills for {self.duration_s:.0f} s"

    def lives(self) -> Iterator[tuple[float, str]]:
        end = time.monotonic() + self.duration_s
        while time.monotonic() < end:
            shortest, longest = self.source.choice(LIVES_S)
            life_s, failpoint = self.source.uniform(shortest, longest), ""
            if self.failpoints and self.source.random() < FAILPOINT_PROBABILITY:
                failpoint = f"{self.source.choice(self.failpoints)}:{self.source.randint(1, FAILPOINT_PASSES_MAX)}"
            yield life_s, failpoint


@dataclass(frozen=True)
class OneFailpoint:
    """One death, at this failpoint."""

    failpoint: str

    def __str__(self) -> str:
        return f"one death at {self.failpoint}"

    def lives(self) -> Iterator[tuple[float, str]]:
        yield FAILPOINT_DEADLINE_S, self.failpoint


class Round:
    """One load and its changes, in a folder of its own."""

    def __init__(self, server: PostgresServer, arguments: argparse.Namespace, folder: Path, totals: Totals) -> None:
        self._server = server
        self._arguments = arguments
        self._totals = totals
        self._target = folder / "files"
        self._state = folder / "state"
        self._target.mkdir(parents=True)
        self._task = folder / "task.json"
        self._task.write_text(json.dumps(task_document(server, arguments, self._target), indent=2))
        self.ferry = FerryProcess([arguments.ferry, "run", self._task, "--state", self._state], folder / "ferry.log")

    def live(self, life_s: float, failpoint: str) -> None:
        """Starts Ferry and lets it live until its failpoint, or for so long and then kills it."""
        self.ferry.start(failpoint)
        if not self.ferry.wait(life_s):
            self.ferry.kill()
            self._totals.kills["at a random time"] += 1
        elif failpoint and self.ferry.exit_code == -signal.SIGKILL:
            self._totals.kills[failpoint.split(":")[0]] += 1
        else:
            self.ferry.require_running()

    def _change_files(self, table: str) -> int:
        folder = self._target / BUCKET / soak_writers.SCHEMA / table
        names = (path.name for path in folder.iterdir()) if folder.exists() else ()
        return sum(1 for name in names if CHANGE_NAME.fullmatch(name))

    def _wait_for_every_load(self, connection: psycopg.Connection) -> None:
        """Touches each table until a new change file of it shows that its load is over.

        A slot made for a new load stands beyond all that was written before, so its position says nothing of loads.
        """
        before = {table: self._change_files(table) for table in soak_writers.TOUCHES}
        self.ferry.start()

        def touch_tables_without_changes() -> bool:
            waiting = [table for table, count in before.items() if self._change_files(table) == count]
            for table in waiting:
                connection.execute(soak_writers.TOUCHES[table].encode())
            connection.commit()
            return not waiting

        self.ferry.wait_until(touch_tables_without_changes, "a new change file of every table", DRAIN_DEADLINE_S)

    def finish(self) -> None:
        """Lets Ferry catch up with all that was written and stop."""
        with psycopg.connect(self._server.dsn()) as connection:
            self._wait_for_every_load(connection)
            drain(self.ferry, connection, soak_writers.MARKER_TABLE, DRAIN_DEADLINE_S)

    def compare(self) -> bool:
        layout = Layout(format=self._arguments.format, null_marker=CSV_NULL_VALUE)
        with psycopg.connect(self._server.dsn()) as connection:
            prepare_session(connection)
            tables = list_tables(connection, soak_writers.SCHEMA)
            comparisons = compare_tables(connection, self._target / BUCKET, tables, layout, RULES)
        self._totals.rounds += 1
        self._totals.add(comparisons)
        return print_comparisons(comparisons)

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

    def _run_round(self, name: str, kill: KillPlan) -> bool:
        """Returns whether files and source are equal; the round's folder then goes."""
        folder = self._folder / name
        print(f"{name}: {kill}", flush=True)
        self._writers.resume()
        current = Round(self._server, self._arguments, folder, self.totals)
        try:
            for life_s, failpoint in kill.lives():
                current.live(life_s, failpoint)
                self._writers.require_no_error()
            self._writers.pause()
            current.finish()
        finally:
            current.ferry.kill()
        if not current.compare():
            return False
        current.clean()
        shutil.rmtree(folder)
        return True

    def run_for(self, minutes: float) -> bool:
        """Rounds with random kills until the time is over, at least one."""
        end = time.monotonic() + minutes * 60
        for number in itertools.count(1):
            left_s = end - time.monotonic()
            if number > 1 and left_s < CDC_MAX_BATCH_INTERVAL_S:
                return True
            kills = RandomKills(self._random, self._failpoints, min(ROUND_S, left_s))
            if not self._run_round(f"round-{number}", kills):
                return False
        raise AssertionError("unreachable")

    def run_each_failpoint(self) -> bool:
        """One round for each failpoint; one that is never reached fails the run."""
        for failpoint in self._failpoints:
            if not self._run_round(f"failpoint-{failpoint}", OneFailpoint(failpoint)):
                return False
        missed = [failpoint for failpoint in self._failpoints if not self.totals.kills[failpoint]]
        if missed:
            print(f"never reached: {', '.join(missed)}")
        return not missed

    def print_totals(self) -> None:
        counts = self._writers.counts
        print(f"\nseed {self._arguments.seed}, {self._arguments.format}, {self._arguments.plugin}: "
              f"{self.totals.rounds} rounds, {sum(self.totals.kills.values())} kills")
        print(f"transactions: {counts.pop('commits', 0):,} committed, {counts.pop('rollbacks', 0):,} rolled back")
        changes = ", ".join(f"{self.totals.operations[operation]:,} {operation}" for operation in "IUD")
        print(f"rows in files: {self.totals.loaded:,} loaded, {changes}; {self.totals.files:,} files")
        for title, counter in (("kills", self.totals.kills), ("actions", counts)):
            print(f"{title}: " + (", ".join(f"{name} {count:,}" for name, count in sorted(counter.items())) or "none"))


def run(arguments: argparse.Namespace, folder: Path) -> bool:
    with ExitStack() as cleanup:
        server = cleanup.enter_context(PostgresServer(arguments.postgres, SERVER_SETTINGS))
        soak_writers.create_tables(server.dsn(), arguments.rows)
        writers = soak_writers.Writers(server.dsn(), arguments.seed, arguments.writers, arguments.rows)
        cleanup.callback(writers.end)
        soak = Soak(server, arguments, folder, writers)
        equal = soak.run_each_failpoint() if arguments.once_each_failpoint else soak.run_for(arguments.minutes)
        soak.print_totals()
        return equal


def end_like_interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Lets SIGTERM clean up as Ctrl-C does."""
    raise KeyboardInterrupt


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferry", type=Path, default=REPOSITORY / "build" / "ferry", help="the program")
    parser.add_argument("--minutes", type=float, default=30, help="how long (default %(default)s)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), help="default: a random one")
    parser.add_argument("--format", choices=("csv", "parquet"), default="parquet")
    parser.add_argument("--plugin", choices=("pgoutput", "test_decoding"), default="pgoutput")
    parser.add_argument("--postgres", type=int, default=15, help="the server's major version (default %(default)s)")
    parser.add_argument("--writers", type=int, default=4, help="connections that write (default %(default)s)")
    parser.add_argument("--rows", type=int, default=100_000,
                        help="rows of the longest table at first (default %(default)s)")
    parser.add_argument("--once-each-failpoint", action="store_true",
                        help="die once at each failpoint, for no set time")
    parser.add_argument("--keep", type=Path, metavar="DIR",
                        help="where a failed run leaves its new folder (default: the temporary folder)")
    arguments = parser.parse_args()
    arguments.ferry = arguments.ferry.resolve()
    if not os.access(arguments.ferry, os.X_OK):
        parser.error(f"there is no program {arguments.ferry}; run 'make build'")
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
