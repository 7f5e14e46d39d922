"""What a soak's writers do to the tables themselves: TRUNCATE, ALTER and RENAME, in tables of their own.

`soak.truncated` is shared by all writers: its rows can go at any time, so what is done to them is said in ranges of
keys that may be empty. Each writer has a table `soak.altered_<number>` whose columns it alone changes and knows, and a
table `soak.moving_<number>` that is called otherwise again and again. What a rename puts at the end of a name says that
it is the same column or table (RENAMED), and no name comes back.

A transaction that changes a table takes its lock first and touches no other, so writers never wait for one another
in a circle. Added columns have no default: what was written to the files before stands for NULL in them. Types only
change to ones in which the old values read the same, and the name of a dropped column is not used again.
"""
from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from soak_writers import Writer

TRUNCATED_TABLE = "truncated"
PROBABILITY = 0.005  # of a transaction being one that changes a table, where the run does not say otherwise
RENAMED = r"_renamed(\d+)"  # at the end of a name, with how often
COLUMNS_MAX = 8
RECENT_KEYS = 60  # as far back an update or delete looks for rows of its writer

CREATE_TRUNCATED = f"""
CREATE TABLE soak.{TRUNCATED_TABLE} (id bigint PRIMARY KEY, version integer NOT NULL, note text);
"""
CREATE_ALTERED = """
CREATE TABLE soak.{table} (id bigint PRIMARY KEY, version integer NOT NULL, whole integer, words varchar(40));
INSERT INTO soak.{table} SELECT n, 0, n * 3, 'words ' || n FROM generate_series(1, {rows}) AS n;
"""
CREATE_RENAMED = """
CREATE TABLE soak.{table} (id bigint PRIMARY KEY, version integer NOT NULL, note text);
INSERT INTO soak.{table} SELECT n, 0, 'note ' || n FROM generate_series(1, {rows}) AS n;
"""
ALTERED_ROWS = 500
RENAMED_ROWS = 100
FIRST_COLUMNS = {"whole": "integer", "words": "varchar(40)"}
ADDED_TYPES = ("integer", "bigint", "varchar(40)", "text")
WIDER_TYPES = {"integer": "bigint", "bigint": "text", "varchar(40)": "text"}


def altered_table(number: int) -> str:
    return f"altered_{number}"


def renamed_table(number: int) -> str:
    return f"moving_{number}"


def create_statements(writers: int) -> str:
    return CREATE_TRUNCATED + "".join(CREATE_ALTERED.format(table=altered_table(number), rows=ALTERED_ROWS) +
                                      CREATE_RENAMED.format(table=renamed_table(number), rows=RENAMED_ROWS)
                                      for number in range(writers))


def next_name(name: str) -> str:
    found = re.search(f"{RENAMED}$", name)
    return f"{name[:found.start()]}_renamed{int(found[1]) + 1}" if found else f"{name}_renamed1"


def touches(writers: int, renamed: list[str]) -> dict[str, str]:
    """One more change of each table, outside the writers' plans, with keys that they do not give."""
    tables = [TRUNCATED_TABLE, *(altered_table(number) for number in range(writers)), *renamed]
    return {table: f"INSERT INTO soak.{table} (id, version) VALUES (-nextval('soak.marker_id_seq'), 0)"
            for table in tables}


def value_of(source: Writer, type_name: str) -> object:
    if type_name in ("integer", "bigint"):
        return source.random.randint(-2**31, 2**31 - 1)
    return source.words()


class Altered:
    """One writer's table and what its columns are now."""

    def __init__(self, number: int) -> None:
        self.table = f"soak.{altered_table(number)}"
        self.columns = dict(FIRST_COLUMNS)
        self._added = 0

    def add_column(self, source: random.Random) -> str | None:
        if len(self.columns) == COLUMNS_MAX:
            return None
        self._added += 1
        name, type_name = f"added_{self._added}", source.choice(ADDED_TYPES)
        self.columns[name] = type_name
        return f"ADD COLUMN {name} {type_name}"

    def drop_column(self, source: random.Random) -> str | None:
        if not self.columns:
            return None
        name = source.choice(list(self.columns))
        del self.columns[name]
        return f"DROP COLUMN {name}"

    def change_type(self, source: random.Random) -> str | None:
        names = [name for name, type_name in self.columns.items() if type_name in WIDER_TYPES]
        if not names:
            return None
        name = source.choice(names)
        self.columns[name] = WIDER_TYPES[self.columns[name]]
        return f"ALTER COLUMN {name} TYPE {self.columns[name]}"

    def rename_column(self, source: random.Random) -> str | None:
        if not self.columns:
            return None
        old = source.choice(list(self.columns))
        new = next_name(old)
        self.columns = {new if name == old else name: type_name for name, type_name in self.columns.items()}
        return f"RENAME COLUMN {old} TO {new}"


def insert_altered(writer: Writer, cursor: psycopg.Cursor) -> None:
    columns = writer.altered.columns
    names = ", ".join(["id", "version", *columns])
    places = ", ".join(["%s"] * (len(columns) + 2))
    key = writer.new_key()
    cursor.execute(f"INSERT INTO {writer.altered.table} ({names}) VALUES ({places})".encode(),
                   (key, 0, *(value_of(writer, type_name) for type_name in columns.values())))
    writer.keys["altered"].add(key)


def update_altered(writer: Writer, cursor: psycopg.Cursor) -> None:
    columns = writer.altered.columns
    key = writer.keys["altered"].choose(writer.random)
    if not columns:
        cursor.execute(f"UPDATE {writer.altered.table} SET version = version + 1 WHERE id = %s".encode(), (key,))
        return
    name = writer.random.choice(list(columns))
    cursor.execute(f"UPDATE {writer.altered.table} SET version = version + 1, {name} = %s WHERE id = %s".encode(),
                   (value_of(writer, columns[name]), key))


def delete_altered(writer: Writer, cursor: psycopg.Cursor) -> None:
    key = writer.keys["altered"].choose(writer.random)
    cursor.execute(f"DELETE FROM {writer.altered.table} WHERE id = %s".encode(), (key,))
    writer.keys["altered"].remove(key)


def insert_renamed(writer: Writer, cursor: psycopg.Cursor) -> None:
    key = writer.new_key()
    cursor.execute(f"INSERT INTO soak.{writer.renamed} VALUES (%s, 0, %s)".encode(), (key, writer.words()))
    writer.keys["renamed"].add(key)


def update_renamed(writer: Writer, cursor: psycopg.Cursor) -> None:
    cursor.execute(f"UPDATE soak.{writer.renamed} SET version = version + 1, note = %s WHERE id = %s".encode(),
                   (writer.words(), writer.keys["renamed"].choose(writer.random)))


def insert_truncated(writer: Writer, cursor: psycopg.Cursor) -> None:
    cursor.execute("INSERT INTO soak.truncated VALUES (%s, 0, %s)", (writer.new_key(), writer.words()))


def update_truncated(writer: Writer, cursor: psycopg.Cursor) -> None:
    newest = writer.newest_key
    cursor.execute("UPDATE soak.truncated SET version = version + 1, note = %s WHERE id BETWEEN %s AND %s",
                   (writer.words(), newest - RECENT_KEYS, newest))


def delete_truncated(writer: Writer, cursor: psycopg.Cursor) -> None:
    newest = writer.newest_key
    cursor.execute("DELETE FROM soak.truncated WHERE id BETWEEN %s AND %s",
                   (newest - 2 * RECENT_KEYS, newest - RECENT_KEYS))


ROW_ACTIONS = ((6, insert_altered), (6, update_altered), (3, delete_altered), (8, insert_truncated),
               (4, update_truncated), (2, delete_truncated), (3, insert_renamed), (4, update_renamed))


def truncate(writer: Writer, cursor: psycopg.Cursor) -> None:
    """Between rows that go with the others and rows that stay."""
    cursor.execute("LOCK TABLE soak.truncated IN ACCESS EXCLUSIVE MODE")
    insert_truncated(writer, cursor)
    update_truncated(writer, cursor)
    cursor.execute("TRUNCATE soak.truncated")
    for _ in range(writer.random.randint(0, 3)):
        insert_truncated(writer, cursor)


def alter(writer: Writer, cursor: psycopg.Cursor, change: Callable[[Altered, random.Random], str | None]) -> None:
    """Between rows of the old shape and rows of the new one."""
    cursor.execute(f"LOCK TABLE {writer.altered.table} IN ACCESS EXCLUSIVE MODE".encode())
    insert_altered(writer, cursor)
    update_altered(writer, cursor)
    clause = change(writer.altered, writer.random)
    if clause is not None:
        cursor.execute(f"ALTER TABLE {writer.altered.table} {clause}".encode())
    insert_altered(writer, cursor)
    update_altered(writer, cursor)


def add_column(writer: Writer, cursor: psycopg.Cursor) -> None:
    alter(writer, cursor, Altered.add_column)


def drop_column(writer: Writer, cursor: psycopg.Cursor) -> None:
    alter(writer, cursor, Altered.drop_column)


def change_type(writer: Writer, cursor: psycopg.Cursor) -> None:
    alter(writer, cursor, Altered.change_type)


def rename_column(writer: Writer, cursor: psycopg.Cursor) -> None:
    alter(writer, cursor, Altered.rename_column)


def rename_table(writer: Writer, cursor: psycopg.Cursor) -> None:
    """Between rows under the old name and rows under the new one."""
    cursor.execute(f"LOCK TABLE soak.{writer.renamed} IN ACCESS EXCLUSIVE MODE".encode())
    insert_renamed(writer, cursor)
    update_renamed(writer, cursor)
    if writer.may_rename_tables():
        old, writer.renamed = writer.renamed, next_name(writer.renamed)
        cursor.execute(f"ALTER TABLE soak.{old} RENAME TO {writer.renamed}".encode())
    insert_renamed(writer, cursor)
    update_renamed(writer, cursor)


TABLE_ACTIONS = ((3, truncate), (4, add_column), (3, drop_column), (2, change_type), (3, rename_column),
                 (3, rename_table))
