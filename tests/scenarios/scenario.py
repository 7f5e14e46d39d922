"""Carries out the commands of a scenario; README.md describes each of them."""
from __future__ import annotations

import copy
import json
import re
import shlex
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import psycopg

from ferry_command import CommandFailed, FerryCommand, wait_for
from postgres_server import PASSWORD, USER, PostgresServer, installed_majors
from replay import compare_table
from scenario_file import Command, Scenario
from source_sessions import SourceSessions
from source_tables import describe_table, prepare_session
from table_files import Layout
from target_files import abstract_name, contents, csv_text, is_change_file, parquet_facts, table_files
from tcp_gate import TcpGate

MAJOR_PREFERRED = 15
DEADLINE_S = 60
BUCKET = "b"
NULL_MARKER = "\\N"
PROBLEM_HINT = "The outputs of ferry:"


class LeftOut(Exception):
    """The scenario needs a PostgreSQL that is not there, or is not the one that was asked for."""


class Unexpected(AssertionError):
    """Something is not as the scenario says."""


def default_major() -> int:
    installed = installed_majors()
    return MAJOR_PREFERRED if MAJOR_PREFERRED in installed else installed[-1]


def chosen_major(wanted: int, *, or_later: bool, asked_for: int | None) -> int:
    """The server of a scenario that wants this one, or this one or a later one, where a run may have asked for one."""
    major = asked_for or (max(wanted, default_major()) if or_later else wanted)
    if major < wanted or (major > wanted and not or_later):
        raise LeftOut(f"it is a scenario of PostgreSQL {wanted}{' and later' if or_later else ''}")
    return major


class Scenery:
    """What the scenarios of one file share: the server, as long as the next one wants the same. Used by one thread."""

    def __init__(self, ferry: Path, major: int | None = None) -> None:
        """`major`: the server of all scenarios; those that need another one are left out."""
        self.ferry = ferry
        self.major = major
        self._server: PostgresServer | None = None
        self._wanted: tuple[int, tuple[str, ...]] | None = None
        self._databases = 0

    def __enter__(self) -> Scenery:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.close()

    def server(self, major: int, settings: tuple[str, ...]) -> PostgresServer:
        if self._server is None or self._wanted != (major, settings):
            if major not in installed_majors():
                raise LeftOut(f"PostgreSQL {major} is not installed")
            if self._server:
                self._server.close()
            self._server = PostgresServer(major, settings)
            self._wanted = (major, settings)
        self._server.start()
        return self._server

    def new_database(self) -> str:
        assert self._server is not None
        self._databases += 1
        name = f"scenario_{self._databases}"
        self._server.sql(f"CREATE DATABASE {name}")
        return name


def merged(base: dict, changes: dict) -> dict:
    """`base` with the members of `changes`, objects merged member by member; null takes a member out."""
    result = copy.deepcopy(base)
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merged(result[name], value)
        else:
            result[name] = value
    return result


def selection(schema: str, table: str) -> dict:
    return {"rules": [{"rule-type": "selection", "rule-id": "1", "rule-name": "1", "rule-action": "include",
                       "object-locator": {"schema-name": schema, "table-name": table}}]}


class Stage:
    """One scenario while it runs: its database, folder, task and processes. Used by one thread."""

    def __init__(self, scenery: Scenery, folder: Path) -> None:
        self._scenery = scenery
        self._folder = folder
        self._major = scenery.major or default_major()
        self._settings: tuple[str, ...] = ()
        self._server: PostgresServer | None = None
        self._database = ""
        self._sessions: SourceSessions | None = None
        self._gate: TcpGate | None = None
        self._target = folder / "target"
        self._bucket = ""
        self._words: list[str | Path] = []
        self._s3_settings: dict = {}
        self._ferry: FerryCommand | None = None
        self._first: FerryCommand | None = None  # The one beside which another has been started.
        self._exit_is_told = True  # False between the end of a run with another exit code than 0 and `expect`.
        self._untouched: dict[str, bytes] = {}
        self._kept: dict[str, str] = {}

    # --- The places ---

    @property
    def server(self) -> PostgresServer:
        if self._server is None:
            self._server = self._scenery.server(self._major, self._settings)
            self._database = self._scenery.new_database()
            self._sessions = SourceSessions(self._server, self._database)
        return self._server

    @property
    def sessions(self) -> SourceSessions:
        _ = self.server
        assert self._sessions is not None
        return self._sessions

    @property
    def ferry(self) -> FerryCommand:
        if self._ferry is None:
            raise Unexpected("ferry has not been run")
        return self._ferry

    @property
    def port(self) -> int:
        return self._gate.port if self._gate else self.server.port

    @property
    def layout(self) -> Layout:
        settings = {name.lower(): value for name, value in self._s3_settings.items()}
        return Layout(format=str(settings.get("dataformat", "csv")).lower(),
                      null_marker=settings.get("csvnullvalue", ""),
                      header=str(settings.get("addcolumnname", False)).lower() == "true",
                      operation_in_load=str(settings.get("includeopforfullload", False)).lower() == "true",
                      timestamp_column=settings.get("timestampcolumnname", ""))

    @property
    def root(self) -> Path:
        """Where the folders of schemas are."""
        return self._target / self._bucket

    def table_folder(self, table: str) -> Path:
        schema, _, name = table.partition(".")
        return self.root / schema / name

    def _filled(self, text: str) -> str:
        """With {target}, {database}, {port} and what `keep` has kept put in."""
        places = {"target": str(self.root), "folder": str(self._folder), "database": self._database,
                  "port": str(self._server.port if self._server else 0), **self._kept}
        return re.sub(r"\{(\w+)\}", lambda match: places.get(match[1], match[0]), text)

    def close(self) -> None:
        for ferry in filter(None, (self._ferry, self._first)):
            ferry.kill()
        if self._gate:
            self._gate.close()
        if self._sessions:
            self._sessions.close()
        if self._server and self._server.running:
            self._drop_slots(self._server)

    def _drop_slots(self, server: PostgresServer) -> None:
        """The next scenario needs the slots' places; the database itself goes with the server."""
        gone = "SELECT bool_and(NOT active) IS NOT FALSE FROM pg_replication_slots"
        server.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
        wait_for(lambda: server.sql(gone) == [(True,)], "the end of the slots' readers")
        server.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")

    # --- Commands about the source ---

    def do_server(self, rest: str, _: str) -> None:
        """server [MAJOR|MAJOR-] [name=value…]"""
        words = shlex.split(rest)
        if words and (match := re.fullmatch(r"(\d+)(-?)", words[0])):
            self._major = chosen_major(int(match[1]), or_later=bool(match[2]), asked_for=self._scenery.major)
            del words[0]
        self._settings = tuple(words)

    def do_source(self, rest: str, body: str) -> None:
        """source [as NAME] [in DATABASE]"""
        name, database = session_words("source", rest)
        self.sessions.run(self._filled(body), name, database)

    def do_background(self, rest: str, body: str) -> None:
        """background as NAME: like source, without waiting for its end"""
        name, database = session_words("background", rest)
        self.sessions.run_in_background(self._filled(body), name, database)

    def do_join(self, name: str, _: str) -> None:
        """join NAME: waits for the end of the SQL in the background"""
        self.sessions.join(name, DEADLINE_S)

    def do_keep(self, rest: str, _: str) -> None:
        """keep NAME SELECT …"""
        name, _, sql = rest.partition(" ")
        self._kept[name] = self.sessions.rows(self._filled(sql))[0]

    def do_gate(self, rest: str, _: str) -> None:
        """gate open|hold|stall|refuse|cut|stall after BYTES"""
        if self._gate is None:
            self._gate = TcpGate(self.server.port)
        gate = self._gate
        actions: dict[str, Callable[[], None]] = {"open": gate.pass_on, "hold": gate.hold, "stall": gate.stall,
                                                  "refuse": gate.refuse, "cut": gate.cut}
        if rest.startswith("stall after "):
            gate.stall_after(int(rest.removeprefix("stall after ")))
        elif rest in actions:
            actions[rest]()
        else:
            raise Unexpected(f"gate {rest}: no such action")

    # --- Commands about the task ---

    def _endpoint_of_source(self) -> dict:
        # The port is asked for first: a server that is not started has none.
        port = self.port
        return {"EngineName": "postgres", "ServerName": "127.0.0.1", "Port": port, "Username": USER,
                "Password": PASSWORD, "DatabaseName": self._database, "SslMode": "none"}

    def do_task(self, rest: str, body: str) -> None:
        """task [MIGRATION-TYPE] + members of the document"""
        changes = json.loads(self._filled(body)) if body.strip() else {}
        s3_settings = merged({"BucketName": BUCKET, "CsvNullValue": NULL_MARKER, "CdcMaxBatchInterval": 1},
                             changes.pop("S3Settings", {}))
        document = {
            "SourceEndpoint": self._endpoint_of_source(),
            "TargetEndpoint": {"EngineName": "s3", "EndpointUrl": f"file://{self._target}", "S3Settings": s3_settings},
            "ReplicationTask": {"ReplicationTaskIdentifier": "scenario",
                                "MigrationType": rest or "full-load-and-cdc",
                                "TableMappings": selection("%", "%"),
                                "ReplicationTaskSettings": {}}}
        for name, value in changes.items():
            if name == "PostgreSQLSettings":
                document["SourceEndpoint"][name] = value
            elif name in document:
                document[name] = merged(document[name], value)
            else:
                document["ReplicationTask"] = merged(document["ReplicationTask"], {name: value})
        path = self._folder / "task.json"
        path.write_text(json.dumps(document, indent=1), encoding="utf-8")
        self._words = ["run", path]
        self._bucket = s3_settings.get("BucketName", "")
        self._s3_settings = s3_settings

    def do_copy(self, rest: str, _: str) -> None:
        """copy [OPTION…]"""
        source = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{self._database}"
        words = shlex.split(self._filled(rest))
        settings = {"CsvNullValue": NULL_MARKER, "CdcMaxBatchInterval": "1"}
        if "--format" not in words:
            words += ["--format", "csv"]
        given = dict(words[at + 1].split("=", 1) for at, word in enumerate(words) if word == "--set")
        for name, value in settings.items():
            if name not in given:
                words += ["--set", f"{name}={value}"]
        self._words = ["copy", source, f"file://{self._target}", *words]
        self._bucket = ""
        self._s3_settings = settings | given | {"DataFormat": words[words.index("--format") + 1]}

    def do_file(self, rest: str, body: str) -> None:
        """file PATH + content: makes a file below the target"""
        path = self._target / self._filled(rest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body, encoding="utf-8")

    # --- Commands about processes ---

    def do_run(self, rest: str, _: str) -> None:
        """run [beside] [at FAILPOINT] [OPTION…] until EVENT"""
        options, _, event = f" {rest}".partition(" until ")
        words = shlex.split(self._filled(options))
        beside = bool(words) and words[0] == "beside"
        if beside:
            words.pop(0)
        elif self._ferry and self._ferry.exit_code is None:
            raise Unexpected("ferry still runs")
        failpoint = ""
        if words and words[0] == "at":
            failpoint = words[1]
            del words[:2]
        self._require_exit_told()
        if not self._words:
            raise Unexpected("there is no task yet")
        self._untouched = contents(self._target)
        before = self._ferry
        self._ferry = FerryCommand(self._scenery.ferry, [*self._words, *words], folder=self._folder / "runs",
                                   failpoint=failpoint)
        if beside:
            self._first = before
        self.do_wait(event, "")

    def do_first(self, _rest: str, _body: str) -> None:
        """first: from here on the process that was started before the one beside it"""
        self._require_exit_told()
        self._ferry = self._first

    def do_clean(self, rest: str, _: str) -> None:
        """clean [OPTION…]: runs `ferry clean` for the task"""
        words: list[str | Path] = ["clean", self._words[1]]
        if self._words[0] == "copy":
            words += [self._words[2], "--format", self._s3_settings["DataFormat"]]
        words += shlex.split(self._filled(rest))
        self._ferry = FerryCommand(self._scenery.ferry, words, folder=self._folder / "runs")
        self._exit_is_told = self._ferry.wait(DEADLINE_S) == 0

    def do_stop(self, rest: str, _: str) -> None:
        """stop [server]"""
        if rest == "server":
            self.sessions.close()
            self.server.stop()
        else:
            self.ferry.stop(DEADLINE_S)

    def do_kill(self, rest: str, _: str) -> None:
        """kill [server]"""
        if rest == "server":
            self.sessions.close()
            self.server.kill()
        else:
            self.ferry.kill()

    def do_start(self, rest: str, _: str) -> None:
        """start server"""
        assert rest == "server"
        self.server.start()

    def do_promote(self, rest: str, _: str) -> None:
        """promote server: it goes on under a new timeline, as a standby does that takes the place of a primary"""
        assert rest == "server"
        self.sessions.close()
        self.server.stop()
        (self.server.data_directory / "standby.signal").touch()
        self.server.start()
        self.server.sql("SELECT pg_promote()")

    def do_signal(self, rest: str, _: str) -> None:
        """signal NAME"""
        self.ferry.signal(signal.Signals[rest])

    def _require_exit_told(self) -> None:
        if not self._exit_is_told:
            raise Unexpected(f"ferry ended with {self.ferry.exit_code}, of which the scenario says nothing")

    def do_wait(self, rest: str, body: str) -> None:
        """wait EVENT"""
        event, _, detail = rest.partition(" ")
        waits = {"loaded": lambda: self.ferry.wait_for_output("load finished:", DEADLINE_S),
                 "following": lambda: self.ferry.wait_for_output("following changes from", DEADLINE_S),
                 "output": lambda: self.ferry.wait_for_output(self._filled(detail), DEADLINE_S),
                 "warning": lambda: self._wait_for_warning(self._filled(detail)),
                 "caught-up": self._wait_caught_up,
                 "rows": lambda: self._wait_rows(detail),
                 "stalled": lambda: self._wait_stalled(),
                 "source": lambda: self._wait_source(detail),
                 "ended": self._wait_ended,
                 "finished": self._wait_finished,
                 "killed": self._wait_killed}
        if event not in waits:
            raise Unexpected(f"wait {rest}: no such event")
        waits[event]()

    def _wait_for_warning(self, text: str) -> None:
        self.ferry.wait_until(lambda: text in self.ferry.errors, f"the warning '{text}'", DEADLINE_S)

    def _wait_caught_up(self) -> None:
        self.ferry.wait_for_output("following changes from", DEADLINE_S)
        position = self.sessions.log_position()
        self.ferry.wait_until(lambda: self.sessions.has_confirmed(position), f"confirming {position}", DEADLINE_S)

    def _wait_rows(self, detail: str) -> None:
        table, _, count = detail.partition(" ")

        def has_rows() -> bool:
            files = [path for path in table_files(self.table_folder(table)) if is_change_file(path)]
            return csv_text(files).count("\n") >= int(count)
        self.ferry.wait_until(has_rows, f"{count} change rows of {table}", DEADLINE_S)

    def _wait_stalled(self) -> None:
        assert self._gate is not None
        self.ferry.wait_until(self._gate.is_stalled, "the gate's stall", DEADLINE_S)

    def _wait_source(self, sql: str) -> None:
        sql = self._filled(sql)
        wait_for(lambda: self.sessions.rows(sql) == ["True"], f"on the source: {sql}", DEADLINE_S)

    def _wait_ended(self) -> None:
        self._exit_is_told = self.ferry.wait(DEADLINE_S) == 0

    def _wait_finished(self) -> None:
        if self.ferry.wait(DEADLINE_S) != 0:
            raise Unexpected("ferry did not end with exit code 0")

    def _wait_killed(self) -> None:
        if self.ferry.wait(DEADLINE_S) != -signal.SIGKILL:
            raise Unexpected("ferry did not reach the failpoint")

    # --- Expectations ---

    def do_expect(self, rest: str, body: str) -> None:
        """expect WHAT …"""
        what, _, detail = rest.partition(" ")
        expectations: dict[str, Callable[[str, str], None]] = {
            "files": self._expect_files, "matching": self._expect_matching, "names": self._expect_names,
            "parquet": self._expect_parquet, "query": self._expect_query, "source": self._expect_source,
            "equal": self._expect_equal, "target": self._expect_target, "error": self._expect_error,
            "exit": self._expect_exit, "output": self._expect_output, "warning": self._expect_warning,
            "log": self._expect_log, "no": self._expect_no}
        if what not in expectations:
            raise Unexpected(f"expect {rest}: no such expectation")
        expectations[what](self._filled(detail), self._filled(body))

    def _require_same(self, what: str, found: str, expected: str) -> None:
        if found != expected:
            raise Unexpected(f"{what}: expected\n{indented(expected)}found\n{indented(found)}")

    def _expect_files(self, table: str, body: str) -> None:
        self._require_same(f"the rows of {table}", csv_text(table_files(self.table_folder(table))), body)

    def _expect_matching(self, table: str, body: str) -> None:
        found = csv_text(table_files(self.table_folder(table))).splitlines()
        patterns = body.splitlines()
        fits = len(found) == len(patterns) and all(
            re.fullmatch(pattern, line) for pattern, line in zip(patterns, found))
        if not fits:
            self._require_same(f"the rows of {table}, as patterns", "".join(f"{line}\n" for line in found), body)

    def _expect_names(self, table: str, body: str) -> None:
        folder = self.table_folder(table)
        found = "".join(f"{abstract_name(path, folder)}\n" for path in table_files(folder))
        self._require_same(f"the files of {table}", found, body)

    def _expect_parquet(self, table: str, body: str) -> None:
        found = "".join(f"{line}\n" for line in parquet_facts(table_files(self.table_folder(table))))
        self._require_same(f"the Parquet files of {table}", found, body)

    def _expect_query(self, sql: str, body: str) -> None:
        with duckdb.connect() as database:
            database.execute("SET TimeZone = 'UTC'")
            rows = database.execute(sql).fetchall()
        found = "".join(",".join("\\N" if value is None else str(value) for value in row) + "\n" for row in rows)
        self._require_same(sql, found, body)

    def _expect_source(self, sql: str, body: str) -> None:
        self._require_same(sql, "".join(f"{row}\n" for row in self.sessions.rows(sql)), body)

    def _expect_equal(self, tables: str, _: str) -> None:
        with psycopg.connect(self.server.dsn(self._database)) as connection:
            prepare_session(connection)
            for name in shlex.split(tables):
                table = describe_table(connection, *name.split(".", 1))
                comparison = compare_table(connection, self.root, table, self.layout)
                if not comparison.equal:
                    raise Unexpected(comparison.problem)

    def _expect_target(self, what: str, _: str) -> None:
        found = contents(self._target)
        if what == "empty" and found:
            raise Unexpected(f"the target has {', '.join(sorted(found))}")
        if what == "untouched" and found != self._untouched:
            changed = sorted(name for name in found.keys() | self._untouched.keys()
                             if found.get(name) != self._untouched.get(name))
            raise Unexpected(f"the target was touched: {', '.join(changed)}")
        if what not in ("empty", "untouched"):
            raise Unexpected(f"expect target {what}: neither empty nor untouched")

    def _expect_exit(self, code: str, _: str) -> None:
        self._exit_is_told = True
        if self.ferry.wait(DEADLINE_S) != int(code):
            raise Unexpected(f"ferry ended with {self.ferry.exit_code} instead of {code}")

    def _expect_error(self, detail: str, body: str) -> None:
        match = re.fullmatch(r"([a-z_]+) exit (\d+)", detail)
        if match is None:
            raise Unexpected(f"expect error {detail}: not of the form 'CODE exit NUMBER'")
        self._expect_exit(match[2], "")
        if self.ferry.error_code != match[1]:
            raise Unexpected(f"the error is {self.ferry.error_code} instead of {match[1]}")
        require_lines("the error", self.ferry.error_message, body)

    def _expect_output(self, how: str, body: str) -> None:
        require_lines("the output", self.ferry.output, body)
        places = [self.ferry.output.index(line) for line in body.splitlines()]
        if how == "order" and places != sorted(places):
            self._require_same("the order in the output", self.ferry.output, body)

    def _expect_warning(self, how: str, body: str) -> None:
        require_lines("standard error", self.ferry.errors, body)
        repeated = [line for line in body.splitlines() if self.ferry.errors.count(line) > 1]
        if how == "once" and repeated:
            raise Unexpected(f"standard error has more than once:\n{indented(chr(10).join(repeated))}")

    def _log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in (self._folder / "runs").rglob("logs/task.log"))

    def _expect_log(self, _: str, body: str) -> None:
        require_lines("the task's log", self._log(), body)

    def _expect_no(self, what: str, body: str) -> None:
        texts = {"output": self.ferry.output, "warning": self.ferry.errors, "log": self._log()}
        if what not in texts:
            raise Unexpected(f"expect no {what}: not one of {', '.join(texts)}")
        for line in body.splitlines():
            if line in texts[what]:
                raise Unexpected(f"{what} has '{line}'")

    def end(self) -> None:
        self._require_exit_told()

    def report(self) -> str:
        return f"{PROBLEM_HINT}\n{self._ferry.report()}" if self._ferry else ""


def session_words(verb: str, rest: str) -> tuple[str, str]:
    """The name and the database in `as NAME in DATABASE`, both of which may be left out."""
    match = re.fullmatch(r"(?:as (\w+))? ?(?:in (\w+))?", rest)
    if match is None:
        raise Unexpected(f"{verb} {rest}: not of the form '{verb} as NAME in DATABASE'")
    return match[1] or "", match[2] or ""


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines()) or "    (nothing)\n"


def require_lines(what: str, text: str, body: str) -> None:
    missing = [line for line in body.splitlines() if line not in text]
    if missing:
        raise Unexpected(f"{what} lacks:\n{indented(chr(10).join(missing))}it is\n{indented(text)}")


def run_scenario(scenario: Scenario, scenery: Scenery, path: Path) -> None:
    """Raises Unexpected, or CommandFailed, with the line of the command that did not hold."""
    folder = Path(tempfile.mkdtemp(prefix="ferry-scenario-"))
    # The server's user must be able to look into the target only where a scenario shares it.
    stage = Stage(scenery, folder)
    command = Command(scenario.line, "scenario", scenario.title)
    try:
        for command in scenario.commands:
            action = getattr(stage, f"do_{command.verb}", None)
            if action is None:
                raise Unexpected(f"no such command: {command.verb}")
            action(command.rest, command.body)
        stage.end()
    except LeftOut:
        raise
    except Exception as error:
        kind = "" if isinstance(error, Unexpected | CommandFailed) else f"{type(error).__name__}: "
        report = "" if isinstance(error, CommandFailed) else stage.report()
        raise Unexpected(f"{path}:{command.line}: {command.verb} {command.rest}\n{kind}{error}\n{report}") from error
    finally:
        stage.close()
        shutil.rmtree(folder, ignore_errors=True)
