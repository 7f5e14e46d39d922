#!/usr/bin/env python3
"""A table whose files hold one transaction each loses and doubles nothing when Ferry dies around such a file.

In busy tables a file ends many transactions after the one that a restart begins with. Here both are the same one,
and it is the first of its table that the new process sees, though not the first that the dead one saw.
"""
from __future__ import annotations

import argparse
import sys
import tempfile
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import psycopg  # noqa: E402

from ferry_process import FerryProcess, current_wal_position, drain  # noqa: E402
from postgres_server import PASSWORD, USER, PostgresServer  # noqa: E402
from replay import compare_tables  # noqa: E402
from source_tables import describe_table, prepare_session  # noqa: E402
from table_files import CHANGE_NAME, Layout  # noqa: E402

DEADLINE_S = 60
# The second object of changes that a process writes is the one it dies at.
FAILPOINTS = ("after_object_intent:2", "after_object_publish:2", "after_object_done:2")
ROWS = (1, 3)  # in the transaction

ferry = REPOSITORY / "build" / "ferry"


class QuietTable(unittest.TestCase):
    def setUp(self) -> None:
        # A server for each test: slots of other tests would never confirm what this one waits for.
        self.server = PostgresServer(15)
        self.server.__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)
        folder = tempfile.TemporaryDirectory(prefix="quiet-table-")
        self.addCleanup(folder.cleanup)
        self.target, self.state = Path(folder.name) / "files", Path(folder.name) / "state"
        self.server.sql("CREATE TABLE quiet (id bigserial PRIMARY KEY, note text)")
        source = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.server.port}/postgres"
        self.ferry = FerryProcess(
            [ferry, "copy", source, f"file://{self.target}", "--tables", "public.quiet", "--follow",
             "--format", "csv", "--state", self.state, "--set", "CdcMaxBatchInterval=1", "--set", "CsvNullValue=\\N"],
            Path(folder.name) / "ferry.log")
        self.addCleanup(self.ferry.kill)

    def change_files(self) -> int:
        folder = self.target / "public" / "quiet"
        return sum(1 for path in folder.iterdir() if CHANGE_NAME.fullmatch(path.name)) if folder.exists() else 0

    def insert(self, rows: int) -> None:
        self.server.sql(f"INSERT INTO quiet (note) SELECT 'row ' || n FROM generate_series(1, {rows}) AS n")

    def die_at(self, failpoint: str, rows: int) -> None:
        self.ferry.start()
        self.ferry.wait_until(lambda: "following changes" in self.ferry.log_end(), "following", DEADLINE_S)
        self.ferry.stop()  # The load is over, so only objects of changes are counted from here on.
        self.ferry.start(failpoint)
        self.insert(rows)
        with psycopg.connect(self.server.dsn()) as connection:
            position = current_wal_position(connection)
            self.ferry.wait_until(lambda: self.change_files() == 1, "the first change file", DEADLINE_S)
            self.ferry.wait_until(lambda: self.checkpoint_is_stored(connection, position), "a checkpoint", DEADLINE_S)
        self.insert(rows)
        self.assertTrue(self.ferry.wait(DEADLINE_S), f"{failpoint} was not reached")

    def checkpoint_is_stored(self, connection: psycopg.Connection, position: str) -> bool:
        row = connection.execute("SELECT bool_and(confirmed_flush_lsn >= %s::pg_lsn) FROM pg_replication_slots "
                                 "WHERE active", (position,)).fetchone()
        connection.rollback()
        return bool(row and row[0])

    def check(self, failpoint: str, rows: int) -> None:
        self.die_at(failpoint, rows)
        self.ferry.start()
        with psycopg.connect(self.server.dsn()) as connection:
            drain(self.ferry, connection, "quiet", DEADLINE_S)
            prepare_session(connection)
            table = describe_table(connection, "public", "quiet")
            found = compare_tables(connection, self.target, [table], Layout(format="csv", null_marker="\\N"))[0]
        self.assertTrue(found.equal, found.problem)


def add_tests() -> None:
    """One test for each place of death and size of transaction."""
    for failpoint in FAILPOINTS:
        for rows in ROWS:
            name = f"test_{failpoint.split(':')[0]}_of_{rows}_rows"
            setattr(QuietTable, name, lambda self, failpoint=failpoint, rows=rows: self.check(failpoint, rows))


add_tests()

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--ferry", type=Path, default=ferry)
    arguments, rest = parser.parse_known_args()
    ferry = arguments.ferry.resolve()
    unittest.main(argv=[sys.argv[0], *rest])
