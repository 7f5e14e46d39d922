"""What the tests with a bucket share: a PostgreSQL, an S3 service, a gateway before it, and Ferry between them."""
from __future__ import annotations

import argparse
import json
import sys
import tempfile
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import psycopg  # noqa: E402

from ferry_command import DEADLINE_S, FerryCommand, wait_for  # noqa: E402
from ferry_process import current_wal_position, has_confirmed  # noqa: E402
from postgres_server import PASSWORD, USER, PostgresServer  # noqa: E402
from replay import compare_tables  # noqa: E402
from s3_gateway import S3Gateway  # noqa: E402
from s3_server import S3Server, find_program  # noqa: E402
from source_tables import describe_table, prepare_session  # noqa: E402
from table_files import Layout  # noqa: E402

SKIPPED = 77
BUCKET = "lake"
LAYOUT = Layout(format="csv", null_marker="\\N")
CSV = ["--format", "csv", "--set", "CsvNullValue=\\N"]

program = REPOSITORY / "build" / "ferry"


class BucketCase(unittest.TestCase):
    """`words` of copy() come after source and target."""

    server: PostgresServer
    s3: S3Server

    def setUp(self) -> None:
        # Servers of each test's own: slots of other tests would never confirm what this one waits for.
        self.server = PostgresServer(15)
        self.server.__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)
        self.s3 = S3Server()
        self.s3.__enter__()
        self.addCleanup(self.s3.__exit__, None, None, None)
        self.s3.make_bucket(BUCKET)
        self.gateway = S3Gateway(self.s3.port)
        self.gateway.__enter__()
        self.addCleanup(self.gateway.__exit__, None, None, None)
        folder = tempfile.TemporaryDirectory(prefix="ferry-bucket-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    @property
    def source(self) -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.server.port}/postgres"

    def start(self, *words: str | Path, failpoint: str = "", environment: dict[str, str] | None = None) -> FerryCommand:
        variables = self.s3.environment(self.gateway.port) if environment is None else environment
        command = FerryCommand(program, words, folder=self.folder / "home", failpoint=failpoint, environment=variables)
        self.addCleanup(command.kill)
        return command

    def copy(self, target: str, *words: str | Path, failpoint: str = "",
             environment: dict[str, str] | None = None) -> FerryCommand:
        return self.start("copy", self.source, target, *words, failpoint=failpoint, environment=environment)

    def document(self, **settings: object) -> Path:
        """A task's document that loads all tables with these S3Settings."""
        document = {
            "SourceEndpoint": {"EngineName": "postgres", "ServerName": "127.0.0.1", "Port": self.server.port,
                               "Username": USER, "Password": PASSWORD, "DatabaseName": "postgres"},
            "TargetEndpoint": {"EngineName": "s3", "EndpointUrl": f"http://127.0.0.1:{self.gateway.port}",
                               "S3Settings": {"BucketName": BUCKET, **settings}},
            "ReplicationTask": {"ReplicationTaskIdentifier": "task", "MigrationType": "full-load", "TableMappings": {"rules": [
                {"rule-type": "selection", "rule-id": "1", "rule-name": "1", "rule-action": "include",
                 "object-locator": {"schema-name": "public", "table-name": "%"}}]}},
        }
        path = self.folder / "task.json"
        path.write_text(json.dumps(document))
        return path

    def succeed(self, command: FerryCommand) -> None:
        self.assertEqual(command.wait(DEADLINE_S * 3), 0, command.report())

    def fail_with(self, command: FerryCommand, code: str) -> str:
        """The message of the error that the command ends with."""
        self.assertNotEqual(command.wait(DEADLINE_S * 2), 0, command.report())
        self.assertEqual(command.error_code, code, command.report())
        self.assertNotIn(self.s3.environment()["AWS_SECRET_ACCESS_KEY"], command.errors)
        return command.error_message

    def make_wide_table(self, rows: int = 12000) -> None:
        """About a kilobyte a row that does not compress, so that an object takes several parts."""
        self.server.sql("CREATE TABLE wide (id int PRIMARY KEY, text text, number numeric(12,3))")
        self.insert_wide(1, rows)

    def insert_wide(self, first: int, rows: int) -> None:
        self.server.sql(
            "INSERT INTO wide SELECT n, (SELECT string_agg(md5((n * 31 + i)::text), '') FROM generate_series(1, 32) i), "
            f"n / 7.0 FROM generate_series({first}, {first + rows - 1}) n")

    def wait_until_confirmed(self, *commands: FerryCommand, marker: str) -> None:
        """Until what was committed before is durable in the targets of all tasks that follow."""
        with psycopg.connect(self.server.dsn()) as connection:
            position = current_wal_position(connection)
            self.server.sql(marker)
            commands[0].wait_until(lambda: has_confirmed(connection, position), f"confirming {position}", DEADLINE_S * 3)

    def compare(self, *tables: str) -> None:
        """The bucket's objects, replayed, are the source's rows."""
        downloaded = Path(tempfile.mkdtemp(dir=self.folder))
        self.s3.reader.download(BUCKET, downloaded)
        with psycopg.connect(self.server.dsn()) as connection:
            prepare_session(connection)
            described = [describe_table(connection, "public", table) for table in tables]
            for found in compare_tables(connection, downloaded, described, LAYOUT):
                self.assertTrue(found.equal, found.problem)

    def require_clean_gateway(self) -> None:
        self.assertEqual(self.gateway.forbidden, [], "calls that nobody may make")
        self.assertEqual(self.s3.reader.uploads(BUCKET), [], "uploads that nobody completed")
        self.assertEqual([key for key in self.s3.reader.keys(BUCKET) if "probe" in key], [])


def main() -> None:
    global program
    parser = argparse.ArgumentParser()
    parser.add_argument("--ferry", type=Path, default=program)
    arguments, rest = parser.parse_known_args()
    program = arguments.ferry.resolve()
    if find_program() is None:
        print("no S3 service is installed; run tools/install_test_servers.sh s3")
        sys.exit(SKIPPED)
    print(f"S3 service: {find_program()}")
    unittest.main(module="__main__", argv=[sys.argv[0], *rest])


__all__ = ["BUCKET", "CSV", "BucketCase", "FerryCommand", "main", "wait_for"]
