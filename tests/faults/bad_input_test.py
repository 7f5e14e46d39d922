#!/usr/bin/env python3
"""Bad input, one test for each kind: one clear error in time, a stable exit code, an untouched target, no password.

    bad_input_test.py [--ferry build/ferry] [BadInputTest.test_wrong_password]

What can be mended ends with the proof that the same command then finishes the work: source and files are equal.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from urllib.parse import quote

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import psycopg  # noqa: E402
import pyarrow.parquet  # noqa: E402
from psycopg import pq  # noqa: E402
from ferry_command import CommandFailed, FerryCommand, wait_for  # noqa: E402
from postgres_server import PostgresServer, installed_majors  # noqa: E402
from replay import compare_table  # noqa: E402
from source_tables import describe_table, prepare_session  # noqa: E402
from table_files import Layout  # noqa: E402
from tcp_gate import TcpGate  # noqa: E402

ferry_program = REPOSITORY / "build" / "ferry"

MAJOR_PREFERRED = 15
SKIPPED = 77  # As the exit code: no test could be made here.
ERROR_DEADLINE_S = 15  # An error is printed within this time.
# Nobody may ever read it again. It needs escapes in a URI, and holds what a careless parser would stumble over.
PASSWORD = "ge:heim@/%41 ü-Wort"
# A host that answers nothing, whatever the network does with it (RFC 5737, TEST-NET-1).
SILENT_HOST = "192.0.2.1"
NULL_MARKER = "\\N"
LAYOUT = Layout(format="csv", null_marker=NULL_MARKER)
# More than what fits into the buffers on the way, so that a load can be stopped in it.
LARGE_ROWS = 20_000
STALL_AFTER_BYTES = 1_000_000


def major() -> int:
    return MAJOR_PREFERRED if MAJOR_PREFERRED in installed_majors() else installed_majors()[-1]


def contents(root: Path) -> dict[str, bytes]:
    """Everything below `root`, by name."""
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else b""
            for path in sorted(root.rglob("*"))} if root.exists() else {}


def rules(*locators: tuple[str, str], action: str = "include") -> dict:
    return {"rules": [{"rule-type": "selection", "rule-id": str(number), "rule-name": str(number), "rule-action": action,
                       "object-locator": {"schema-name": schema, "table-name": table}}
                      for number, (schema, table) in enumerate(locators, start=1)]}


class Squatter:
    """Reads a slot as another program does; repeated leave() changes nothing."""

    def __init__(self, dsn: str, slot: str, options: str) -> None:
        self._connection = pq.PGconn.connect(f"{dsn} replication=database application_name=squatter".encode())
        result = self._connection.exec_(f"START_REPLICATION SLOT {slot} LOGICAL 0/0 {options}".encode())
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise AssertionError(f"the slot cannot be read: {result.error_message.decode()}")
        self.pid = self._connection.backend_pid

    def confirm(self, position: str) -> None:
        """Says that everything before the position is safe with it (the manual's "Standby status update")."""
        high, low = (int(part, 16) for part in position.split("/"))
        place = (high << 32 | low).to_bytes(8, "big")
        self._connection.put_copy_data(b"r" + 3 * place + bytes(8) + b"\0")
        self._connection.flush()

    def leave(self) -> None:
        self._connection.finish()


class BadInput(unittest.TestCase):
    """A server of the class, a database and a folder of each test."""

    settings: list[str] = []
    server: PostgresServer

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = PostgresServer(major(), cls.settings)
        cls.server.start()
        cls.server.sql("CREATE ROLE copier LOGIN REPLICATION SUPERUSER PASSWORD '" + PASSWORD.replace("'", "''") + "'")
        cls.server.sql("CREATE ROLE reader LOGIN PASSWORD '" + PASSWORD.replace("'", "''") + "'")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.close()

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ferry-bad-input-"))
        self.target = self.folder / "target"
        self.database = f"bad_{self.id().rsplit('.', 1)[-1]}"[:63].lower()
        self.server.start()  # A test may have stopped it.
        self.server.sql(f"CREATE DATABASE {self.database}")
        self.sql("CREATE TABLE t (i int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'x'), (2, NULL)")
        self.commands: list[FerryCommand] = []

    def tearDown(self) -> None:
        try:
            for command in self.commands:
                command.kill()
            self.doCleanups()  # A squatter leaves its slot.
            self.assert_password_hidden()
            if self.server.running:
                self.wait_for_free_slots()
                self.server.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def are_slots_free(self) -> bool:
        return self.server.sql("SELECT count(*) FROM pg_replication_slots WHERE active") == [(0,)]

    def sql(self, statements: str) -> list[tuple]:
        return self.server.sql(statements, database=self.database)

    # --- Commands ---

    def uri(self, *, user: str = "copier", password: str = PASSWORD, host: str = "127.0.0.1", port: int = 0,
            database: str = "", parameters: str = "") -> str:
        return (f"postgresql://{user}:{quote(password, safe='')}@{host}:{port or self.server.port}/"
                f"{database or self.database}{parameters}")

    def start(self, *words: str | Path) -> FerryCommand:
        command = FerryCommand(ferry_program, words, folder=self.folder / "home")
        self.commands.append(command)
        return command

    def start_copy(self, uri: str, *options: str, target: str = "") -> FerryCommand:
        return self.start("copy", uri, target or f"file://{self.target}", "--format", "csv",
                          "--set", f"CsvNullValue={NULL_MARKER}", "--set", "CdcMaxBatchInterval=1", *options)

    def start_run(self, *, migration_type: str = "full-load-and-cdc", source: dict | None = None, target: dict | None = None,
                  s3_settings: dict | None = None, task_settings: dict | None = None, mappings: dict | None = None,
                  options: tuple[str, ...] = ()) -> FerryCommand:
        document = {
            "SourceEndpoint": {"EngineName": "postgres", "ServerName": "127.0.0.1", "Port": self.server.port,
                               "Username": "copier", "Password": PASSWORD, "DatabaseName": self.database,
                               "SslMode": "none"} | (source or {}),
            "TargetEndpoint": target or {"EngineName": "s3", "EndpointUrl": f"file://{self.target}",
                                         "S3Settings": {"CsvNullValue": NULL_MARKER, "CdcMaxBatchInterval": 1}
                                         | (s3_settings or {})},
            "ReplicationTask": {"ReplicationTaskIdentifier": "bad-input", "MigrationType": migration_type,
                                "TableMappings": mappings or rules(("public", "%")),
                                "ReplicationTaskSettings": task_settings or {}}}
        # The document is not below the folder of states and outputs: it holds the password.
        path = self.folder / "task.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return self.start("run", path, *options)

    # --- What must hold ---

    def assert_error(self, command: FerryCommand, code: str, exit_code: int, *parts: str) -> None:
        """One line with the code, in time; each of `parts`, what failed, on what and what to do, is in it."""
        left = ERROR_DEADLINE_S - (time.monotonic() - command.started)
        found = command.wait(max(left, 0.1))
        self.assertEqual((command.error_code, found), (code, exit_code), command.report())
        for part in parts:
            self.assertIn(part, command.error_message, command.report())
        self.assertEqual(command.errors.count("ferry: error "), 1, command.report())
        self.assertTrue(command.errors.endswith(command.error_message + "\n"),
                        f"the error is more than one line\n{command.report()}")

    def assert_untouched(self, before: dict[str, bytes] | None = None) -> None:
        self.assertEqual(contents(self.target), before or {})

    def assert_password_hidden(self) -> None:
        secrets = {form.encode() for form in (PASSWORD, quote(PASSWORD, safe=""), quote(PASSWORD), PASSWORD[-6:],
                                              json.dumps(PASSWORD)[1:-1])}
        for place in (self.folder / "home", self.target):
            for name, data in contents(place).items():
                for secret in secrets:
                    self.assertFalse(secret in data, f"the password is in {name}")

    def assert_equal(self, *tables: str) -> None:
        """Source and files are equal: nothing was lost or doubled."""
        with psycopg.connect(self.server.dsn(self.database)) as connection:
            prepare_session(connection)
            for name in tables:
                comparison = compare_table(connection, self.target, describe_table(connection, "public", name), LAYOUT)
                self.assertTrue(comparison.equal, comparison.problem)

    def assert_copies_now(self, *tables: str) -> None:
        """What was wrong is mended: the same task does its work."""
        command = self.start_copy(self.uri())
        self.assertEqual(command.wait(), 0, command.report())
        self.assert_equal(*tables)

    def wait_caught_up(self, command: FerryCommand) -> None:
        """All that was committed is durable in the target and confirmed."""
        command.wait_for_output("following changes from")
        position = self.sql("SELECT pg_current_wal_insert_lsn()::text")[0][0]
        self.sql("SELECT pg_logical_emit_message(true, 'test', '')")
        command.wait_until(
            lambda: self.sql(f"SELECT bool_and(confirmed_flush_lsn >= '{position}') FROM pg_replication_slots "
                             "WHERE database = current_database()") == [(True,)], f"confirming {position}")

    def closed_port(self) -> int:
        """A port of 127.0.0.1 at which nobody listens, and which nobody else gets until the test ends."""
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]

    def squat(self, slot: str, options: str) -> Squatter:
        squatter = Squatter(self.server.dsn(self.database), slot, options)
        self.addCleanup(squatter.leave)
        return squatter

    def wait_for_free_slots(self) -> None:
        wait_for(self.are_slots_free, "the end of the slots' readers")


class BadInputTest(BadInput):
    # --- The connection ---

    def test_wrong_password(self) -> None:
        command = self.start_copy(self.uri(password=PASSWORD + "x"))
        self.assert_error(command, "source_authentication", 21, "127.0.0.1", "copier", "28P01", "Check")
        command = self.start_run(source={"Password": PASSWORD + "x"})
        self.assert_error(command, "source_authentication", 21, "127.0.0.1", "copier")
        self.assert_untouched()
        self.assert_copies_now("t")

    def test_unknown_database(self) -> None:
        command = self.start_copy(self.uri(database="no_such_database"))
        self.assert_error(command, "source_configuration", 23, "no_such_database", "Check")
        self.assert_untouched()

    def test_closed_port(self) -> None:
        port = self.closed_port()
        command = self.start_copy(self.uri(port=port))
        self.assert_error(command, "source_unreachable", 20, "127.0.0.1", str(port), "Check")
        self.assert_untouched()

    def test_a_task_says_at_once_that_it_tries_again(self) -> None:
        port = self.closed_port()
        command = self.start_run(source={"Port": port})
        command.wait_until(lambda: "trying again" in command.errors, "a warning", ERROR_DEADLINE_S)
        self.assertIn(str(port), command.errors)
        command.stop()
        command = self.start_run(source={"Port": port}, task_settings={"ErrorBehavior": {"RecoverableErrorCount": 0}},
                                 options=("--state", str(self.folder / "home" / "another")))
        self.assert_error(command, "source_unreachable", 20, str(port))
        self.assert_untouched()

    def test_unreachable_host(self) -> None:
        self.assert_error(self.start_copy(self.uri(host=SILENT_HOST)), "source_unreachable", 20, SILENT_HOST, "Check")
        self.assert_untouched()

    def test_server_that_never_answers(self) -> None:
        with TcpGate(self.server.port) as gate:
            gate.stall()
            command = self.start_copy(self.uri(port=gate.port))
            self.assert_error(command, "source_unreachable", 20, str(gate.port))
        self.assert_untouched()

    def test_unresolvable_host(self) -> None:
        command = self.start_copy(self.uri(host="nowhere.invalid"))
        self.assert_error(command, "source_unreachable", 20, "nowhere.invalid", "Check")
        self.assert_untouched()

    def test_server_without_tls(self) -> None:
        command = self.start_copy(self.uri(parameters="?sslmode=require"))
        self.assert_error(command, "source_tls", 22, "SSL", "Check")
        self.assert_untouched()

    def test_bad_uri(self) -> None:
        command = self.start_copy(f"mysql://copier:{quote(PASSWORD, safe='')}@127.0.0.1/d")
        self.assert_error(command, "usage", 2, "postgresql://")
        for parameters, parts in (("?sslmode=perhaps", ("sslmode 'perhaps'", "verify-full")),
                                  ("?aplication_name=x", ("parameter 'aplication_name'", "Leave it out")),
                                  (f"?sslrootcert={self.folder}/none.pem", (f"{self.folder}/none.pem", "Check the path")),
                                  (f"?sslrootcert={self.folder}", (f"cannot be read: {self.folder}.", "Check the path"))):
            command = self.start_copy(self.uri(parameters=parameters))
            self.assert_error(command, "usage", 2, *parts)
            # The parts are no matter of escapes.
            self.assertNotIn("%40", command.error_message)
        self.assert_untouched()

    def test_endpoints_of_other_engines(self) -> None:
        command = self.start_run(source={"EngineName": "mysql"})
        self.assert_error(command, "unsupported", 8, "source endpoint", "'mysql'", "Use one of: aurora-postgresql, postgres.")
        command = self.start_run(source={"EngineName": "s3"})
        self.assert_error(command, "unsupported", 8, "source endpoint", "'s3'", "Use one of: aurora-postgresql, postgres.")
        command = self.start_run(target={"EngineName": "postgres"})
        self.assert_error(command, "unsupported", 8, "target endpoint", "'postgres'", "Use one of: s3.")
        self.assert_untouched()

    def test_command_line(self) -> None:
        self.assert_error(self.start(), "usage", 2, "copy, run and clean")
        self.assert_error(self.start("replicate"), "usage", 2, "replicate", "ferry --help")
        self.assert_error(self.start("copy", "--folow"), "usage", 2, "ferry --help")
        # An option that may be repeated takes one value each time, wherever it stands.
        command = self.start("copy", "--tables", "public.t", self.uri(), "--set", "CsvNullValue=\\N", "--format", "csv",
                             "--tables", "public.u", f"file://{self.target}")
        self.assertEqual(command.wait(), 0, command.report())
        self.assert_equal("t")

    def test_password_in_a_wrong_command_line(self) -> None:
        """assert_password_hidden() looks at the outputs and logs in the end."""
        target = f"file://{self.target}"
        server = f"127.0.0.1:{self.server.port}/{self.database}"
        # The second should have been percent-encoded, and the third is libpq's.
        for uri in (self.uri(), f"postgresql://copier:{PASSWORD}@{server}",
                    f"postgresql://{server}?user=copier&password={quote(PASSWORD, safe='')}"):
            for words in ((uri,), ("copi", uri, target), ("run", uri), ("copy", uri, target, uri), ("clean", uri),
                          ("clean", uri, uri), ("clean", uri, target, uri),
                          ("copy", uri, target, "--format", uri), ("copy", uri, target, f"--format={uri}"),
                          ("copy", uri, target, "--set", uri), ("copy", uri, target, "--set", f"{uri}?a=b"),
                          ("copy", self.uri(), target, "--set", uri), ("copy", self.uri(), target, "--set", f"{uri}?a=b"),
                          ("copy", self.uri(), target, "--tables", uri), ("copy", uri, uri), ("copy", self.uri(), uri),
                          ("copy", uri, f"--{uri}", target)):
                with self.subTest(words=words):
                    command = self.start(*words)
                    self.assertIn(command.wait(), (2, 4, 6, 8), command.report())
        self.assert_untouched()

    def test_password_is_wiped_before_the_first_contact(self) -> None:
        with TcpGate(self.server.port) as gate:
            gate.stall()
            command = self.start_copy(self.uri(port=gate.port))
            # A connection at the gate: by now the arguments must be clean. setpriv has become ferry long before.
            command.wait_until(gate.has_connections, "the first contact")
            shown = Path(f"/proc/{command.process.pid}/cmdline").read_bytes()
            self.assertIn(b"postgresql://copier:***", shown)
            self.assertNotIn(quote(PASSWORD, safe="").encode(), shown)
            command.kill()

    def test_state_is_found_by_what_makes_the_task(self) -> None:
        """Neither by the password, nor by how the target's path is written."""
        finished = "was finished by an earlier run"
        command = self.start_copy(self.uri())
        self.assertEqual((command.wait(), finished in command.output), (0, False), command.report())
        other = PASSWORD + "x"
        self.addCleanup(self.set_password, PASSWORD)
        self.set_password(other)
        for target in (f"file://{self.target}", f"file://{self.target}/", f"file:///.{self.target}", f"file:///{self.target}"):
            command = self.start_copy(self.uri(password=other), target=target)
            self.assertEqual((command.wait(), finished in command.output), (0, True), command.report())
        # The state cannot be found: what there is must not look like somebody else's alone.
        before = contents(self.target)
        command = self.start_copy(self.uri(password=other), "--state", str(self.folder / "another"))
        self.assert_error(command, "target_foreign_objects", 43, "public.t", "1 in all", "earlier run of this task", "--state")
        self.assert_untouched(before)
        command = self.start("clean", self.uri(password=other), f"file://{self.target}/", "--format", "csv")
        self.assertEqual(command.wait(), 0, command.report())
        self.assert_untouched(before)

    def set_password(self, password: str) -> None:
        self.server.sql("ALTER ROLE copier PASSWORD '" + password.replace("'", "''") + "'")

    # --- The documents ---

    def test_mapping_that_matches_nothing(self) -> None:
        command = self.start_copy(self.uri(), "--tables", "public.nothing%")
        self.assert_error(command, "no_tables", 7, "1 tables", "case-sensitive", "partition")
        command = self.start_run(mappings=rules(("public", "T")))
        self.assert_error(command, "no_tables", 7, "Check")
        self.assert_untouched()
        self.assertEqual(self.server.sql("SELECT count(*) FROM pg_replication_slots"), [(0,)])
        self.assertEqual(self.sql("SELECT count(*) FROM pg_publication"), [(0,)])
        # Nothing was done, so that the mended mapping is not another task.
        command = self.start_copy(self.uri(), "--tables", "public.t")
        self.assertEqual(command.wait(), 0, command.report())
        self.assert_equal("t")

    def test_unknown_settings(self) -> None:
        command = self.start_copy(self.uri(), "--set", "CsvDelimeter=;")
        self.assert_error(command, "setting_unknown", 4, "CsvDelimeter")
        command = self.start_run(s3_settings={"CsvDelimeter": ";"})
        self.assert_error(command, "setting_unknown", 4, "TargetEndpoint.S3Settings.CsvDelimeter")
        command = self.start_run(task_settings={"FullLoadSettings": {"MaxFullLoadTasks": 3}})
        self.assert_error(command, "setting_unknown", 4, "FullLoadSettings.MaxFullLoadTasks")
        command = self.start_run(source={"PostgreSQLSettings": {"Slot": "x"}})
        self.assert_error(command, "setting_unknown", 4, "PostgreSQLSettings.Slot")
        self.assert_untouched()

    def test_settings_without_effect(self) -> None:
        command = self.start_copy(self.uri(), "--set", "GlueCatalogGeneration=true")
        self.assertEqual(command.wait(), 0, command.report())
        command = self.start_run(migration_type="full-load", s3_settings={"GlueCatalogGeneration": True},
                                 options=("--overwrite",))
        self.assertEqual(command.wait(), 0, command.report())
        for line in command.errors, next((self.folder / "home").rglob("run-*/logs/task.log")).read_text():
            self.assertEqual(line.count("GlueCatalogGeneration has no effect"), 1, command.report())
        copied = self.commands[0]
        self.assertEqual(copied.errors.count("GlueCatalogGeneration has no effect"), 1, copied.report())
        # What is of no interest to who cleans.
        command = self.start("clean", self.folder / "task.json")
        self.assertEqual((command.wait(), command.errors), (0, ""), command.report())

    def test_compression_of_a_parquet_copy(self) -> None:
        for settings, codec in (((), "SNAPPY"), (("CompressionType=GZIP",), "GZIP"), (("CompressionType=none",), "UNCOMPRESSED"),
                                (("CompressionType=gzip", "parquetCompression=zstd"), "ZSTD")):
            options = [word for setting in settings for word in ("--set", setting)]
            command = self.start("copy", self.uri(), f"file://{self.target}", "--restart", *options)
            self.assertEqual(command.wait(), 0, command.report())
            file = pyarrow.parquet.ParquetFile(self.target / "public" / "t" / "LOAD00000001.parquet")
            self.assertEqual(file.metadata.row_group(0).column(0).compression, codec)

    def test_bad_values(self) -> None:
        command = self.start_copy(self.uri(), "--set", "MaxFileSize=0")
        self.assert_error(command, "document_invalid", 3, "MaxFileSize", "1048576")
        command = self.start_run(task_settings={"FullLoadSettings": {"MaxFullLoadSubTasks": 50}})
        self.assert_error(command, "document_invalid", 3, "MaxFullLoadSubTasks", "49")
        command = self.start_run(migration_type="everything")
        self.assert_error(command, "document_invalid", 3, "MigrationType", "everything", "full-load-and-cdc")
        self.assert_untouched()

    def test_documents_that_cannot_be_read(self) -> None:
        self.assert_error(self.start("run", self.folder / "missing.json"), "usage", 2, "missing.json")
        self.assert_error(self.start("run", self.folder), "usage", 2, str(self.folder), "cannot be read")
        path = self.folder / "broken.json"
        path.write_text('{"SourceEndpoint": {"Password": "' + PASSWORD, encoding="utf-8")
        self.assert_error(self.start("run", path), "document_invalid", 3, "JSON")
        self.assert_untouched()

    def test_mappings_that_aws_dms_refuses(self) -> None:
        command = self.start_run(mappings=rules(("public", "t"), ("%", "cust%"), action="explicit"))
        self.assert_error(command, "mapping_invalid", 6, "ruleId = 2 failed validation", "explicit")
        unselected = {"rule-type": "transformation", "rule-id": "7", "rule-name": "7", "rule-action": "rename",
                      "rule-target": "schema", "value": "x", "object-locator": {"schema-name": "public"}}
        command = self.start_run(mappings={"rules": [unselected]})
        self.assert_error(command, "mapping_invalid", 6, "At least one selection rule is required")
        unlocated = rules(("public", "%"))
        unlocated["rules"].append({"rule-type": "transformation", "rule-id": "9", "rule-name": "9",
                                   "rule-action": "rename", "rule-target": "table", "value": "x"})
        command = self.start_run(mappings=unlocated)
        self.assert_error(command, "mapping_invalid", 6, "ruleId = 9 failed validation", "object locator cannot be null")
        twice = rules(("public", "t"))
        twice["rules"] *= 2
        self.assert_error(self.start_run(mappings=twice), "mapping_invalid", 6, "ruleId = 1")
        self.assert_untouched()

    # --- Slots and rights ---

    def test_slot_in_use_elsewhere(self) -> None:
        self.sql("SELECT pg_create_logical_replication_slot('shared', 'pgoutput')")
        squatter = self.squat("shared", "(proto_version '1', publication_names 'customers')")
        command = self.start_run(migration_type="cdc", source={"PostgreSQLSettings": {"SlotName": "shared"}})
        self.assert_error(command, "source_slot_in_use", 26, "shared", str(squatter.pid), "squatter", "postgres")
        self.assert_untouched()
        self.assertEqual(self.sql("SELECT active_pid FROM pg_replication_slots"), [(squatter.pid,)], "it was ended")

    def test_own_slot_taken_by_another(self) -> None:
        command = self.start_run()
        self.wait_caught_up(command)
        command.stop()
        self.sql("INSERT INTO t VALUES (3, 'y')")
        position = self.sql("SELECT pg_current_wal_insert_lsn()::text")[0][0]
        slot = self.sql("SELECT slot_name FROM pg_replication_slots")[0][0]
        publications = self.sql("SELECT string_agg(pubname, ',') FROM pg_publication")[0][0]
        squatter = self.squat(slot, f"(proto_version '1', publication_names '{publications}')")
        before = contents(self.target)
        self.assert_error(self.start_run(), "source_slot_in_use", 26, slot, str(squatter.pid), "squatter")
        self.assert_untouched(before)
        # It takes the change out of the slot, which must not go unnoticed either.
        squatter.confirm(position)
        wait_for(lambda: self.sql(f"SELECT confirmed_flush_lsn >= '{position}' FROM pg_replication_slots") == [(True,)],
                 "the other reader's confirmation")
        squatter.leave()
        self.wait_for_free_slots()
        self.assert_error(self.start_run(), "source_slot_lost", 27, slot, "past the checkpoint", "eload")
        self.assert_untouched(before)
        command = self.start_run(options=("--restart",))
        self.wait_caught_up(command)
        command.stop()
        self.assert_equal("t")

    def test_user_who_may_not_replicate(self) -> None:
        self.sql("GRANT SELECT ON t TO reader")
        command = self.start_copy(self.uri(user="reader"), "--follow")
        self.assert_error(command, "source_privilege", 24, "replication", "REPLICATION")
        self.assert_untouched()

    def test_table_that_may_not_be_read(self) -> None:
        self.sql("CREATE TABLE secret (i int PRIMARY KEY); INSERT INTO secret VALUES (1); GRANT SELECT ON t TO reader")
        command = self.start_copy(self.uri(user="reader"))
        self.assert_error(command, "table_errors", 71, "public.secret")
        self.assertIn("SELECT", command.output + command.errors)
        self.assert_equal("t")
        self.assertFalse((self.target / "public" / "secret").exists())

    def test_many_tables_make_few_lines(self) -> None:
        tables = [f"n{number:02}" for number in range(50)]
        for name in tables:
            self.sql(f"CREATE TABLE {name} (i int); INSERT INTO {name} VALUES (1)")
        self.sql("GRANT SELECT ON t TO reader")

        def assert_few_lines(command: FerryCommand, said: str, reason: str) -> None:
            self.assertLess(len(command.errors.splitlines()), 10, command.report())
            self.assertEqual(command.errors.count(said), 5, command.report())
            log = next((self.folder / "home").rglob("task.log"))
            self.assertIn(f"further lines like these are in {log} only", command.errors)
            for name in tables:
                self.assertTrue(any(f"public.{name} " in line and reason in line for line in log.read_text().splitlines()), name)

        command = self.start_copy(self.uri(), "--follow")
        command.wait_for_output("following changes from")
        command.stop()
        assert_few_lines(command, "has no primary key", "has no primary key")
        command = self.start("clean", self.uri(), f"file://{self.target}", "--format", "csv")
        self.assertEqual(command.wait(), 0, command.report())
        shutil.rmtree(self.target)
        command = self.start_copy(self.uri(user="reader"))
        self.assertEqual(command.wait(), 71, command.report())
        assert_few_lines(command, " is suspended: ", "permission denied")
        self.assertIn("50 of 51 tables are suspended: public.n00, ", command.error_message)
        self.assertLess(len(command.error_message), 500)
        # The table of the summary has them all.
        self.assertEqual(command.output.count(" is suspended: "), 5, command.report())
        self.assertIn("45 more tables are suspended; ", command.output)

    # --- The target ---

    def test_name_that_looks_like_a_line_of_ferry(self) -> None:
        self.sql('CREATE TABLE "a/b\nferry: all is well" (i int)')
        command = self.start_copy(self.uri())
        self.assert_error(command, "table_errors", 71, "a/b\\nferry: all is well")
        for text in command.output, command.errors, *(path.read_text() for path in self.folder.rglob("task.log")):
            self.assertNotIn("\nferry: all is well", text)

    def test_foreign_objects(self) -> None:
        folder = self.target / "public" / "t"
        folder.mkdir(parents=True)
        (folder / "LOAD00000001.csv").write_text("somebody's\n", encoding="utf-8")
        before = contents(self.target)
        command = self.start_copy(self.uri(), "--follow")
        self.assert_error(command, "target_foreign_objects", 43, "public.t", "LOAD00000001.csv", "--overwrite")
        self.assert_untouched(before)
        self.assertEqual(self.server.sql("SELECT count(*) FROM pg_replication_slots"), [(0,)])

    def test_state_folder_of_other_things(self) -> None:
        state = self.folder / "state"
        state.mkdir(mode=0o755)
        (state / "notes.txt").write_text("mine")
        command = self.start_copy(self.uri(), "--state", str(state))
        self.assert_error(command, "state_unusable", 62, str(state), "notes.txt", "--state")
        self.assertEqual(state.stat().st_mode & 0o777, 0o755)
        self.assertEqual(contents(state), {"notes.txt": b"mine"})
        self.assert_untouched()

    def test_clean_removes_the_state_and_nothing_else(self) -> None:
        state = self.folder / "state"
        for others in ({}, {"notes.txt": b"mine"}):
            command = self.start_copy(self.uri(), "--state", str(state), "--overwrite")
            self.assertEqual(command.wait(), 0, command.report())
            for name, data in others.items():
                (state / name).write_bytes(data)
            command = self.start("clean", self.uri(), f"file://{self.target}", "--format", "csv", "--state", state)
            self.assertEqual(command.wait(), 0, command.report())
            self.assertEqual(contents(state), others)
            self.assertEqual(state.exists(), bool(others))
            self.assertEqual("the folder stays" in command.output, bool(others), command.report())
        self.assert_equal("t")

    def test_clean_without_a_state(self) -> None:
        command = self.start("clean", self.uri(), f"file://{self.target}")
        self.assert_error(command, "usage", 2, "no task state", "--state", "ferry_")

    def test_target_below_a_file(self) -> None:
        (self.folder / "file").write_text("a file\n", encoding="utf-8")
        for target in (self.folder / "file", self.folder / "file" / "below"):
            command = self.start_copy(self.uri(), target=f"file://{target}")
            self.assert_error(command, "target_unwritable", 41, str(self.folder / "file"), "another directory")
        self.assertEqual((self.folder / "file").read_text(encoding="utf-8"), "a file\n")

    def test_target_of_another_form(self) -> None:
        self.assert_error(self.start_copy(self.uri(), target="ftp://host/folder"), "unsupported", 8, "file:///")
        # A path is answered with the URI that it stands for.
        self.assert_error(self.start_copy(self.uri(), target="target"), "unsupported", 8, f" file://{Path.cwd()}/target,")
        self.assert_error(self.start_copy(self.uri(), target=str(self.target)), "unsupported", 8,
                          f" file://{self.target},")

    def test_files_larger_than_the_limit(self) -> None:
        """Also where no file system can be made: a limit on the size of files stands for an unwritable target."""
        self.sql(f"CREATE TABLE large AS SELECT i, repeat('x', 1000) AS a FROM generate_series(1, {LARGE_ROWS}) i")
        command = FerryCommand("sh", ["-c", 'trap "" XFSZ; ulimit -f 8192; exec "$@"', "sh", ferry_program, "copy",
                                      self.uri(), f"file://{self.target}", "--format", "csv", "--set",
                                      f"CsvNullValue={NULL_MARKER}", "--set", "CdcMaxBatchInterval=1"],
                               folder=self.folder / "home")
        self.commands.append(command)
        self.assert_error(command, "target_unwritable", 41, "large", "File too large", "EFBIG")
        self.assert_copies_now("t", "large")


class TlsTest(BadInput):
    """The server's certificate is for `localhost` and signed by itself."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        data = cls.server.data_directory
        for name in "server", "other":
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                            "-addext", "subjectAltName=DNS:localhost", "-keyout", data / f"{name}.key",
                            "-out", data / f"{name}.crt"], check=True, capture_output=True)
        key = data / "server.key"
        shutil.chown(key, data.owner(), data.group())
        key.chmod(0o600)
        (data / "server.crt").chmod(0o644)
        cls.server.sql("ALTER SYSTEM SET ssl = on")
        cls.server.restart()

    def verified(self, authority: str, *, mode: str = "verify-full", host: str = "localhost") -> str:
        path = self.server.data_directory / f"{authority}.crt"
        return self.uri(host=host, parameters=f"?sslmode={mode}&sslrootcert={quote(str(path))}")

    def test_host_and_authority_are_verified(self) -> None:
        for uri in (self.verified("server", host="127.0.0.1"), self.verified("other"), self.verified("other", mode="verify-ca")):
            command = self.start_copy(uri)
            self.assert_error(command, "source_tls", 22, "sslrootcert", "CertificatePem", "sslmode")
        self.assert_untouched()
        for uri in (self.verified("server"), self.verified("server", mode="verify-ca", host="127.0.0.1")):
            command = self.start_copy(uri, "--overwrite")
            self.assertEqual(command.wait(), 0, command.report())
            self.assert_equal("t")

    def test_document(self) -> None:
        def source(authority: str) -> dict:
            return {"ServerName": "localhost", "SslMode": "verify-full",
                    "CertificatePem": (self.server.data_directory / f"{authority}.crt").read_text()}
        self.assert_error(self.start_run(source=source("other")), "source_tls", 22, "certificate verify failed")
        self.assert_untouched()
        command = self.start_run(source=source("server"))
        self.sql("INSERT INTO t VALUES (3, 'y')")
        self.wait_caught_up(command)
        # Nothing was sent in the clear, neither the rows nor the changes.
        self.assertEqual(self.sql("SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) "
                                  "WHERE a.application_name LIKE 'ferry%' AND a.datname = current_database()"), [(True,)])
        command.stop()
        self.assert_equal("t")


class NamespaceTest(BadInput):
    """Targets and states on file systems of their own, inside of a mount namespace."""

    @classmethod
    def setUpClass(cls) -> None:
        probe = subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()], check=False,
                               capture_output=True, text=True)
        if probe.returncode != 0:
            raise unittest.SkipTest(
                f"no mount namespace can be made here ({probe.stderr.strip()}); the limit on the size of files in "
                "test_files_larger_than_the_limit is all that was tested of a full target")
        super().setUpClass()

    def setUp(self) -> None:
        super().setUp()
        self.go_on = self.folder / "go_on"
        os.mkfifo(self.go_on)

    def namespace(self, *, options: str, script: str, place: Path | None = None) -> FerryCommand:
        """Runs `script` where a tmpfs with the options is at `place`, the target unless told; in it $@ is the copy."""
        place = place or self.target
        place.mkdir(exist_ok=True)
        mount = f"mount -t tmpfs -o {options} tmpfs {place} && {script}"
        command = FerryCommand("unshare", ["-Urm", "sh", "-c", mount, "sh", ferry_program, "copy", self.uri(),
                                           f"file://{self.target}", "--format", "csv", "--set",
                                           f"CsvNullValue={NULL_MARKER}", "--set", "CdcMaxBatchInterval=1"],
                               folder=self.folder / "home")
        self.commands.append(command)
        return command

    def test_full_disk(self) -> None:
        self.sql(f"CREATE TABLE large AS SELECT i, repeat('x', 1000) AS a FROM generate_series(1, {LARGE_ROWS}) i")
        kept = self.folder / "kept"
        # When there is room the same command goes on, and what it wrote is taken out of the namespace.
        script = (f'"$@"; code=$?; ls -A -R {self.target} > {kept}.first; '
                  f'mount -o remount,size=100m {self.target}; "$@" || exit 99; '
                  f"cp -r {self.target} {kept}; exit $code")
        command = self.namespace(options="size=4m", script=script)
        self.assertEqual(command.wait(), 42, command.report())
        self.assertEqual(command.error_code, "target_full", command.report())
        for part in ("large", "No space left on device", "ENOSPC", "Free space", "same command"):
            self.assertIn(part, command.error_message, command.report())
        self.assertNotIn(".ferry-", (self.folder / "kept.first").read_text(encoding="utf-8"))
        self.target = kept
        self.assert_equal("t", "large")

    def until_told(self, command: str) -> str:
        """Shell: the command, which is stopped when tell() is called and must end with 0."""
        return (f"setpriv --pdeathsig KILL {command} & pid=$!; read line < {self.go_on}; kill $pid; "
                "wait $pid || exit 99")

    def tell(self) -> None:
        """Lets the script go on behind its `read`."""
        self.go_on.write_text("\n", encoding="ascii")

    def test_disk_that_fills_up_with_changes(self) -> None:
        kept = self.folder / "kept"
        follow = '"$@" --follow'
        script = (f"{follow}; code=$?; mount -o remount,size=100m {self.target}; "
                  f"{self.until_told(follow)}; cp -r {self.target} {kept}; exit $code")
        command = self.namespace(options="size=1m", script=script)
        command.wait_for_output("following changes from")
        self.sql(f"INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(10, 10 + {LARGE_ROWS}) i")
        command.wait_until(lambda: command.error_code is not None, "the full target")
        self.assertEqual(command.error_code, "target_full", command.report())
        for part in ("No space left on device", "ENOSPC", "Free space", "same command"):
            self.assertIn(part, command.error_message, command.report())
        self.sql("UPDATE t SET i = -1 WHERE i = 1")
        self.wait_caught_up(command)
        self.tell()
        self.assertEqual(command.wait(), 42, command.report())
        self.target = kept
        self.assert_equal("t")

    def test_disk_of_the_state_fills_up(self) -> None:
        place = self.folder / "state"
        follow = f'"$@" --follow --state {place}/of-the-task'
        script = (f"setpriv --pdeathsig KILL {follow} & pid=$!; read line < {self.go_on}; "
                  f"cat /dev/zero > {place}/filler; echo filled; wait $pid; code=$?; rm {place}/filler; "
                  f"{self.until_told(follow)}; exit $code")
        command = self.namespace(options="size=4m", place=place, script=script)
        command.wait_for_output("following changes from")
        self.tell()
        command.wait_for_output("filled")
        self.sql("INSERT INTO t SELECT i, 'y' FROM generate_series(10, 1000) i; UPDATE t SET i = -1 WHERE i = 1")
        command.wait_until(lambda: command.error_code is not None, "the full disk")
        self.assertEqual(command.error_code, "state_unusable", command.report())
        for part in (str(place), "full", "Free disk space", "same command"):
            self.assertIn(part, command.error_message, command.report())
        self.assertNotIn("drop", command.error_message)
        self.wait_caught_up(command)
        self.tell()
        self.assertEqual(command.wait(), 62, command.report())
        self.assert_equal("t")

    def test_read_only_target(self) -> None:
        command = self.namespace(options="ro", script='exec "$@"')
        self.assert_error(command, "target_unwritable", 41, str(self.target), "Read-only file system", "EROFS",
                          "another directory")


class RidingOutTest(BadInput):
    """What breaks in the middle of the work. The first table's load is held at the gate."""

    def setUp(self) -> None:
        super().setUp()
        self.sql(f"CREATE TABLE a_large (i int PRIMARY KEY, a text); "
                 f"INSERT INTO a_large SELECT i, repeat('x', 1000) FROM generate_series(1, {LARGE_ROWS}) i")
        self.gate = TcpGate(self.server.port)
        self.addCleanup(self.gate.close)
        self.one_by_one = {"FullLoadSettings": {"MaxFullLoadSubTasks": 1},
                           "ErrorBehavior": {"RecoverableErrorInterval": 1, "RecoverableErrorThrottling": False}}

    def start_stalled(self, migration_type: str) -> FerryCommand:
        self.gate.stall_after(STALL_AFTER_BYTES)
        command = self.start_run(migration_type=migration_type, source={"Port": self.gate.port},
                                 task_settings=self.one_by_one)
        command.wait_until(self.gate.is_stalled, "the stall in the load")
        return command

    def test_table_dropped_before_its_turn(self) -> None:
        command = self.start_stalled("full-load")
        self.sql("DROP TABLE t")
        self.gate.pass_on()
        self.assert_error(command, "table_errors", 71, "public.t")
        self.assertIn("Table public.t is suspended", command.output)
        self.assertFalse((self.target / "public" / "t").exists())
        self.assert_equal("a_large")

    def test_table_dropped_and_the_others_followed(self) -> None:
        command = self.start_stalled("full-load-and-cdc")
        self.sql("DROP TABLE t")
        self.gate.pass_on()
        command.wait_for_output("following changes from")
        self.sql("UPDATE a_large SET a = 'y' WHERE i % 100 = 0; DELETE FROM a_large WHERE i % 100 = 1")
        self.wait_caught_up(command)
        command.process.terminate()
        self.assert_error_at_end(command)
        self.assert_equal("a_large")

    def assert_error_at_end(self, command: FerryCommand) -> None:
        self.assertEqual(command.wait(), 71, command.report())
        self.assertEqual(command.error_code, "table_errors", command.report())
        self.assertIn("public.t", command.error_message)

    def test_server_restarts_in_the_load(self) -> None:
        command = self.start_stalled("full-load-and-cdc")
        self.server.stop()
        self.gate.cut()
        command.wait_until(lambda: "trying again" in command.errors, "a warning", ERROR_DEADLINE_S)
        self.gate.pass_on()
        self.server.start()
        command.wait_for_output("following changes from")
        self.sql("INSERT INTO t VALUES (3, 'y'); UPDATE t SET i = 4 WHERE i = 1")
        self.wait_caught_up(command)
        command.stop()
        self.assert_equal("t", "a_large")

    def test_load_that_falls_silent(self) -> None:
        """A connection that carries no byte any more is given up: where the server is reached, because it says that
        it has more to send; where it is not, because it does not answer."""
        for new_connections_pass in (True, False):
            with self.subTest(new_connections_pass=new_connections_pass):
                self.gate.stall_after(STALL_AFTER_BYTES)
                command = self.start_run(
                    migration_type="full-load", task_settings=self.one_by_one,
                    source={"Port": self.gate.port,
                            "ExtraConnectionAttributes": "executeTimeout=2;connectionTimeout=2"},
                    options=("--state", str(self.folder / "home" / str(new_connections_pass)), "--overwrite"))
                command.wait_until(self.gate.is_stalled, "the stall in the load")
                if new_connections_pass:
                    self.gate.pass_new()
                command.wait_until(lambda: "trying again" in command.errors, "a warning")
                self.assertIn("has sent more" if new_connections_pass else "no answer within 2 s", command.errors)
                self.gate.pass_on()
                self.assertEqual(command.wait(), 0, command.report())
                self.assert_equal("t", "a_large")

    def test_load_that_computes_for_long(self) -> None:
        self.sql("DROP TABLE a_large; CREATE VIEW slow AS SELECT i, pg_sleep(3 * (i - 1)) IS NULL AS s FROM t")
        command = self.start_run(migration_type="full-load", task_settings=self.one_by_one,
                                 source={"PostgreSQLSettings": {"ExecuteTimeout": 1}},
                                 mappings={"rules": [{
                                     "rule-type": "selection", "rule-id": "1", "rule-name": "1",
                                     "rule-action": "include", "object-locator": {
                                         "schema-name": "public", "table-name": "slow", "table-type": "view"}}]})
        self.assertEqual(command.wait(), 0, command.report())
        self.assertNotIn("trying again", command.errors)
        self.assertTrue((self.target / "public" / "slow").exists())

    def test_server_restarts_in_the_changes(self) -> None:
        command = self.start_run(task_settings=self.one_by_one)
        command.wait_for_output("following changes from")
        self.sql("INSERT INTO t SELECT i, 'before' FROM generate_series(10, 1000) i")
        self.server.restart()
        self.sql("INSERT INTO t SELECT i, 'after' FROM generate_series(1001, 2000) i; DELETE FROM t WHERE i = 10")
        command.wait_until(lambda: command.output.count("following changes from") == 2, "the second stream")
        self.wait_caught_up(command)
        self.assertIn("trying again", command.errors)
        command.stop()
        self.assert_equal("t", "a_large")

    def test_copy_rides_out_a_restart_too(self) -> None:
        self.gate.stall_after(STALL_AFTER_BYTES)
        command = self.start_copy(self.uri(port=self.gate.port))
        command.wait_until(self.gate.is_stalled, "the stall in the load")
        self.server.restart()
        self.gate.cut()
        self.gate.pass_on()
        self.assertEqual(command.wait(), 0, command.report())
        self.assert_equal("t", "a_large")


class ReplicaLevelTest(BadInput):
    settings = ["wal_level = replica"]

    def test_changes_need_logical(self) -> None:
        for command in (self.start_copy(self.uri(), "--follow"), self.start_run(migration_type="cdc")):
            self.assert_error(command, "source_configuration", 23, "wal_level", "replica", "logical", "restart")
        self.assert_untouched()

    def test_a_load_needs_nothing_but_select(self) -> None:
        self.sql("GRANT SELECT ON t TO reader")
        command = self.start_copy(self.uri(user="reader"))
        self.assertEqual(command.wait(), 0, command.report())
        self.assert_equal("t")


class NoSlotTest(BadInput):
    settings = ["max_replication_slots = 1", "max_wal_senders = 3"]

    def test_no_free_slot(self) -> None:
        self.sql("SELECT pg_create_logical_replication_slot('squatter', 'test_decoding')")
        for command in (self.start_copy(self.uri(), "--follow"), self.start_run(migration_type="cdc")):
            self.assert_error(command, "source_no_slot", 25, "max_replication_slots", "1 of 1")
        self.assert_untouched()
        self.sql("SELECT pg_drop_replication_slot('squatter')")
        command = self.start_run()
        self.sql("INSERT INTO t VALUES (3, 'y')")
        self.wait_caught_up(command)
        command.stop()
        self.assert_equal("t")


class NoWalSenderTest(BadInput):
    settings = ["max_wal_senders = 1"]

    def test_no_wal_sender(self) -> None:
        self.sql("SELECT pg_create_logical_replication_slot('squatter', 'test_decoding')")
        squatter = self.squat("squatter", "")
        for command in (self.start_copy(self.uri(), "--follow"), self.start_run(migration_type="cdc")):
            self.assert_error(command, "source_no_slot", 25, "max_wal_senders", "1 of 1")
        self.assert_untouched()
        squatter.leave()
        self.wait_for_free_slots()
        self.sql("SELECT pg_drop_replication_slot('squatter')")
        command = self.start_run()
        self.sql("INSERT INTO t VALUES (3, 'y')")
        self.wait_caught_up(command)
        command.stop()
        self.assert_equal("t")

    def test_a_running_task_waits_for_a_wal_sender(self) -> None:
        gate = TcpGate(self.server.port)
        self.addCleanup(gate.close)
        command = self.start_run(source={"Port": gate.port}, task_settings={
            "ErrorBehavior": {"RecoverableErrorInterval": 1, "RecoverableErrorThrottling": False}})
        self.wait_caught_up(command)
        gate.refuse()
        gate.cut()
        self.wait_for_free_slots()
        self.sql("SELECT pg_create_logical_replication_slot('squatter', 'test_decoding')")
        squatter = self.squat("squatter", "")
        self.sql("INSERT INTO t VALUES (3, 'y')")
        gate.pass_on()
        command.wait_until(lambda: "53300" in command.errors, "the refusal of a WAL sender")
        squatter.leave()
        self.wait_for_free_slots()
        self.sql("SELECT pg_drop_replication_slot('squatter')")
        self.wait_caught_up(command)
        command.stop()
        self.assert_equal("t")


def main() -> None:
    global ferry_program
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferry", type=Path, default=ferry_program)
    arguments, others = parser.parse_known_args()
    ferry_program = arguments.ferry.resolve()
    if not installed_majors():
        sys.exit("no PostgreSQL is installed; run tools/install_test_servers.sh")
    result = unittest.main(argv=[sys.argv[0], *others], exit=False).result
    if result.wasSuccessful() and result.skipped and len(result.skipped) >= result.testsRun:
        sys.exit(SKIPPED)
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    main()
