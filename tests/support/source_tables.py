"""A source table as replay needs it: its columns, what identifies a row in the log, its rows and their digest."""
from __future__ import annotations

import enum
from dataclasses import dataclass

import psycopg

from canonical_text import TEXT_TYPES, Form, form_of, quoted, row_text

# Settings under which PostgreSQL prints values the way canonical_text expects.
SESSION_SETTINGS = (
    "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; "
    "SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET client_encoding = 'UTF8'"
)
HALF = 1 << 64


class Identity(enum.Enum):
    """What a change of this table says about the row it changes."""

    KEY = "key"  # updates and deletes name the key columns
    WHOLE_ROW = "whole row"  # REPLICA IDENTITY FULL and no key: an update is a delete and an insert
    INSERT_ONLY = "insert only"  # neither: only inserts are captured


@dataclass(frozen=True)
class Column:
    name: str
    type_name: str
    form: Form


@dataclass(frozen=True)
class Table:
    """One source table. `key` is empty unless `identity` is KEY."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    identity: Identity
    key: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identifying_columns(self) -> tuple[Column, ...]:
        """The columns whose values say which row is meant: the key, or all of them."""
        return tuple(column for column in self.columns if column.name in self.key) or self.columns


@dataclass(frozen=True)
class Digest:
    """A multiset of rows, independent of their order: how many, and the sums of the halves of their MD5s."""

    rows: int
    high: int
    low: int

    @classmethod
    def of_sums(cls, rows: int, high: int | None, low: int | None) -> Digest:
        """Takes sums over signed or unsigned 64-bit halves: both are equal modulo 2^64."""
        return cls(rows, int(high or 0) % HALF, int(low or 0) % HALF)

    def __str__(self) -> str:
        return f"{self.high:016x}{self.low:016x}"


COLUMNS_QUERY = """
SELECT a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL),
       CASE WHEN t.typbasetype <> 0 THEN t.typtypmod ELSE a.atttypmod END
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

# The key is the replica identity's index where one is named, else the primary key.
KEY_QUERY = """
SELECT a.attname
FROM pg_class c
JOIN pg_index i ON i.indrelid = c.oid
     AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'n' THEN false
         ELSE i.indisprimary AND i.indimmediate END
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
WHERE c.oid = %s
ORDER BY a.attnum
"""


def prepare_session(connection: psycopg.Connection) -> None:
    """Pins the settings on which the text of values depends. Call once for each connection."""
    connection.execute(SESSION_SETTINGS)
    connection.commit()


def describe_table(connection: psycopg.Connection, schema: str, name: str) -> Table:
    """Reads a table's columns and identity from the source's catalog."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid, relreplident::text FROM pg_class WHERE relnamespace = %s::regnamespace AND relname = %s",
            (quoted(schema), name))
        found = cursor.fetchone()
        if found is None:
            raise LookupError(f"the source has no table {schema}.{name}")
        oid, replica_identity = found
        cursor.execute(COLUMNS_QUERY, (oid,))
        columns = tuple(Column(column, type_name, form_of(type_name, modifier))
                        for column, type_name, modifier in cursor.fetchall())
        cursor.execute(KEY_QUERY, (oid,))
        key = tuple(row[0] for row in cursor.fetchall())
    if key:
        identity = Identity.KEY
    elif replica_identity == "f":
        identity = Identity.WHOLE_ROW
    else:
        identity = Identity.INSERT_ONLY
    return Table(schema, name, columns, identity, key)


def list_tables(connection: psycopg.Connection, schema: str) -> list[Table]:
    """Describes all ordinary tables of a schema, in the order of their names."""
    names = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' "
        'ORDER BY relname COLLATE "C"', (quoted(schema),)).fetchall()
    return [describe_table(connection, schema, name) for (name,) in names]


def source_text(columns: tuple[Column, ...], *, empty_is_null: bool) -> str:
    """Returns the PostgreSQL expression of the canonical text of some columns."""
    values = []
    for column in columns:
        value = column.form.source.format(quoted(column.name))
        if empty_is_null and column.type_name in TEXT_TYPES:
            value = f"nullif({value}, '')"
        values.append(value)
    return row_text(values)


def source_digest(connection: psycopg.Connection, table: Table, *, empty_is_null: bool = False) -> Digest:
    """Counts and digests the table's rows inside the server."""
    text = source_text(table.columns, empty_is_null=empty_is_null)
    query = f"""
        SELECT count(*), sum(('x' || left(hash, 16))::bit(64)::bigint), sum(('x' || right(hash, 16))::bit(64)::bigint)
        FROM (SELECT md5({text}) AS hash FROM {quoted(table.schema)}.{quoted(table.name)}) AS hashed"""
    rows, high, low = connection.execute(query.encode()).fetchone() or (0, 0, 0)
    return Digest.of_sums(rows, high, low)


def find_source_rows(connection: psycopg.Connection, table: Table, hashes: list[str], *,
                     empty_is_null: bool = False) -> dict[str, str]:
    """Returns the canonical texts of rows given by their MD5s."""
    text = source_text(table.columns, empty_is_null=empty_is_null)
    rows = f"SELECT md5({text}) AS hash, {text} AS text FROM {quoted(table.schema)}.{quoted(table.name)}"
    query = f"SELECT hash, text FROM ({rows.replace('%', '%%')}) AS hashed WHERE hash = ANY (%s)"
    return dict(connection.execute(query.encode(), (hashes,)).fetchall())
