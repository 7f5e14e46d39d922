"""The sessions on the source in which a scenario's SQL runs."""
from __future__ import annotations

import concurrent.futures

import psycopg

from postgres_server import PostgresServer

CLOSE_DEADLINE_S = 10


def split_statements(sql: str) -> list[str]:
    """Cuts SQL after each line that ends with ';' outside of $$ … $$. Each piece is sent by itself, so each is a
    transaction of its own unless it stands between BEGIN and COMMIT; two on one line are one."""
    statements: list[str] = []
    current = ""
    for line in sql.splitlines(keepends=True):
        current += line
        if line.rstrip().endswith(";") and current.count("$$") % 2 == 0:
            statements.append(current)
            current = ""
    if current.strip():
        statements.append(current)
    return statements


def shown(value: object) -> str:
    return "\\N" if value is None else str(value)


class SourceSessions:
    """Named sessions of one database; they stay open until close()."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self._server = server
        self._database = database
        self._sessions: dict[str, psycopg.Connection] = {}
        self._threads = concurrent.futures.ThreadPoolExecutor()
        self._background: dict[str, concurrent.futures.Future] = {}

    def session(self, name: str, database: str = "") -> psycopg.Connection:
        session = self._sessions.get(name + database)
        if session is None or session.closed:
            session = psycopg.connect(self._server.dsn(database or self._database), autocommit=True)
            self._sessions[name + database] = session
        return session

    def run(self, sql: str, name: str, database: str) -> None:
        session = self.session(name, database)
        for statement in split_statements(sql):
            session.execute(statement.encode())

    def run_in_background(self, sql: str, name: str, database: str) -> None:
        """Like run(), in a thread of its own; join() tells how it went."""
        session = self.session(name, database)
        self._background[name] = self._threads.submit(
            lambda: [session.execute(statement.encode()) for statement in split_statements(sql)])

    def join(self, name: str, deadline_s: float) -> None:
        self._background.pop(name).result(deadline_s)

    def rows(self, sql: str) -> list[str]:
        """The rows of a query, each with commas between its values."""
        cursor = self.session("").execute(sql.encode())
        return [",".join(shown(value) for value in row) for row in cursor.fetchall()]

    def log_position(self) -> str:
        """The end of the log, behind which there is a commit from now on: an idle source confirms nothing."""
        position = self.rows("SELECT pg_current_wal_insert_lsn()")[0]
        self.rows("SELECT pg_logical_emit_message(true, 'scenario', '')")
        return position

    def has_confirmed(self, position: str) -> bool:
        """Whether the slots of the database are confirmed up to the position."""
        return self.rows(f"SELECT coalesce(bool_and(confirmed_flush_lsn >= '{position}'), false) "
                         "FROM pg_replication_slots WHERE database = current_database()") == ["True"]

    def close(self) -> None:
        """Ends all sessions and what runs in them. New ones may be begun afterwards."""
        for session in self._sessions.values():
            # What still runs in the background would not let it close.
            if self._background:
                session.cancel()
        for running in self._background.values():
            running.exception(CLOSE_DEADLINE_S)
        self._background.clear()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
