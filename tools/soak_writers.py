"""The soak's tables and the writers that keep changing them by a seeded plan.

What a writer does depends on its seed alone and never on the source's answers: it knows its rows itself, and
owns the rows whose `writer` or key says so. The same seed therefore gives the same transactions in the same
order, however far the run comes; only the names of tables depend on when they may be renamed. `ACTIONS` is the table of what a writer can do, with weights; a new kind of
change is one function and one line there. Changes of the tables themselves are in soak_ddl.py.

Every update of a row with a key raises its `version` by one, so that replay notices each lost or doubled one.
"""
from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

import soak_ddl

SCHEMA = "soak"
VERSION_COLUMN = "version"
MARKER_TABLE = "soak.marker"
KEYS_PER_WRITER = 1 << 32  # the keys that a writer gives are in a range of its own
TRANSACTION_ACTIONS_MAX = 8
ROLLBACK_PROBABILITY = 0.05
LARGE_CHARACTERS = (3_000, 200_000)
# One transaction of 12 MB, seldom.
BULK_PROBABILITY = 0.0003
BULK_ROWS, BULK_REPEATS = 60, 6_000

CREATE_TABLES = """
CREATE SCHEMA soak;
CREATE TABLE soak.marker (id bigserial PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT now());
-- A key, and a column of every common type.
CREATE TABLE soak.keyed (
  id bigint PRIMARY KEY, version integer NOT NULL, small smallint, whole integer, price numeric(12,3), ratio real,
  measure double precision, flag boolean, born date, at timestamp, at_zone timestamptz, code uuid, short varchar(40),
  padded char(12), words text, bytes bytea, document jsonb, raw_document json);
-- A key of two columns that is itself updated.
CREATE TABLE soak.keyed_by_two (
  code varchar(24), place bigint, version integer NOT NULL, quantity integer, note text, PRIMARY KEY (place, code));
-- Values stored out of line, which most updates do not touch.
CREATE TABLE soak.keyed_large (
  id bigint PRIMARY KEY, title text, body text, version integer NOT NULL, attachment bytea);
ALTER TABLE soak.keyed_large ALTER COLUMN body SET STORAGE EXTERNAL, ALTER COLUMN attachment SET STORAGE EXTERNAL;
-- A key, and the whole old row in the log.
CREATE TABLE soak.keyed_full (id bigint PRIMARY KEY, version integer NOT NULL, note text, body text);
ALTER TABLE soak.keyed_full ALTER COLUMN body SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
-- The log names rows by another index than the primary key's.
CREATE TABLE soak.keyed_by_index (id bigint PRIMARY KEY, tag bigint NOT NULL, version integer NOT NULL, note text);
CREATE UNIQUE INDEX keyed_by_index_tag ON soak.keyed_by_index (tag);
ALTER TABLE soak.keyed_by_index REPLICA IDENTITY USING INDEX keyed_by_index_tag;
-- Rows of 200 kB, written many at once.
CREATE TABLE soak.keyed_bulk (id bigint PRIMARY KEY, version integer NOT NULL, body text);
-- No key, many equal rows, all changes.
CREATE TABLE soak.keyless_full (writer integer, amount numeric(10,2), note text, body text);
ALTER TABLE soak.keyless_full ALTER COLUMN body SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
CREATE INDEX keyless_full_writer ON soak.keyless_full (writer, amount);
-- No key: only inserts can be captured.
CREATE TABLE soak.keyless_append (writer integer, at timestamptz, amount numeric(10,2), note text);
"""

# The rows there are before any writer begins; their keys are below those that writers give.
FILL_TABLES = """
INSERT INTO soak.keyed
SELECT n, 0, n % 30000, n * 7, n / 7.0, n / 3.0, n / 11.0, n % 2 = 0, date '2000-01-01' + n % 9000,
  timestamp '2000-01-01' + n * interval '1.000001 s', timestamptz '2000-01-01Z' + n * interval '1 minute',
  md5(n::text)::uuid, 'short ' || n, 'pad ' || n % 100,
  CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'words, "' || n END,
  decode(md5(n::text), 'hex'), jsonb_build_object('n', n), json_build_array(n, 'x')
FROM generate_series(1, {rows}) AS n;
INSERT INTO soak.keyed_by_two SELECT 'code ' || n % 10, n, 0, n % 100, 'note ' || n
FROM generate_series(1, {rows}) AS n;
INSERT INTO soak.keyed_large
SELECT n, 'title ' || n, repeat(md5(n::text), 150), 0, decode(repeat(md5(n::text), 100), 'hex')
FROM generate_series(1, {rows} / 20) AS n;
INSERT INTO soak.keyed_full SELECT n, 0, 'note ' || n, repeat(md5(n::text), CASE n % 50 WHEN 0 THEN 150 ELSE 1 END)
FROM generate_series(1, {rows} / 4) AS n;
INSERT INTO soak.keyed_by_index SELECT n, n * 2, 0, 'note ' || n FROM generate_series(1, {rows} / 4) AS n;
INSERT INTO soak.keyless_full SELECT -1, n % 100, CASE WHEN n % 3 > 0 THEN 'note ' || n % 10 END, NULL
FROM generate_series(1, {rows} / 4) AS n;
INSERT INTO soak.keyless_append SELECT -1, timestamptz '2000-01-01Z' + n * interval '1 s', n % 100, 'note ' || n
FROM generate_series(1, {rows} / 4) AS n;
ANALYZE;
"""

# One more change of each table, outside the writers' plans.
TOUCHES = {
    "marker": "INSERT INTO soak.marker DEFAULT VALUES",
    "keyed": "UPDATE soak.keyed SET version = version + 1 WHERE id = (SELECT min(id) FROM soak.keyed)",
    "keyed_by_two": "UPDATE soak.keyed_by_two SET version = version + 1 "
                    "WHERE (place, code) = (SELECT place, code FROM soak.keyed_by_two ORDER BY place, code LIMIT 1)",
    "keyed_large": "UPDATE soak.keyed_large SET version = version + 1 "
                   "WHERE id = (SELECT min(id) FROM soak.keyed_large)",
    "keyed_full": "UPDATE soak.keyed_full SET version = version + 1 WHERE id = (SELECT min(id) FROM soak.keyed_full)",
    "keyed_by_index": "UPDATE soak.keyed_by_index SET version = version + 1 "
                      "WHERE id = (SELECT min(id) FROM soak.keyed_by_index)",
    "keyed_bulk": "INSERT INTO soak.keyed_bulk VALUES (-nextval('soak.marker_id_seq'), 0, 'touched')",
    "keyless_full": "INSERT INTO soak.keyless_full VALUES (-2, 0, 'touched', NULL)",
    "keyless_append": "INSERT INTO soak.keyless_append VALUES (-2, '2020-01-01Z', 0, 'touched')",
}

# A transaction of BULK_ROWS large rows, with keys that no writer gives.
BULK = (f"INSERT INTO soak.keyed_bulk SELECT -nextval('soak.marker_id_seq'), 0, repeat(md5(n::text), {BULK_REPEATS}) "
        f"FROM generate_series(1, {BULK_ROWS}) AS n")


class LiveKeys:
    """The keys of one writer's rows in one table, in an order that its plan alone decides; changes can be undone."""

    def __init__(self, keys: list[Any]) -> None:
        self._keys = keys
        self._places = {key: place for place, key in enumerate(keys)}
        self._undo: list[tuple[Callable[[Any], None], Any]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def choose(self, source: random.Random) -> Any:
        """Actions insert more rows than they delete, so that there is always one to choose."""
        return self._keys[source.randrange(len(self._keys))]

    def add(self, key: Any) -> None:
        self._append(key)
        self._undo.append((self._take_out, key))

    def remove(self, key: Any) -> None:
        self._take_out(key)
        self._undo.append((self._append, key))

    def _append(self, key: Any) -> None:
        self._places[key] = len(self._keys)
        self._keys.append(key)

    def _take_out(self, key: Any) -> None:
        """The last key takes the removed one's place."""
        place, last = self._places.pop(key), self._keys.pop()
        if place < len(self._keys):
            self._keys[place] = last
            self._places[last] = place

    def mark(self) -> int:
        return len(self._undo)

    def undo_to(self, mark: int) -> None:
        while len(self._undo) > mark:
            take_back, key = self._undo.pop()
            take_back(key)

    def keep(self) -> None:
        self._undo.clear()


class Writer:
    """One connection and its plan. Runs in a thread of its own; the gate stops it between two transactions."""

    def __init__(self, dsn: str, seed: int, number: int, writers: int, rows: int, gate: Gate,
                 ddl: float = soak_ddl.PROBABILITY) -> None:
        self.number = number
        self.ddl = ddl
        self.random = random.Random(f"{seed}/writer/{number}")
        self.counts: Counter[str] = Counter()
        self.error: Exception | None = None
        self._dsn = dsn
        self._gate = gate
        self._next_key = (number + 1) * KEYS_PER_WRITER

        def share(filled: int) -> range:
            """This writer's part of the rows that FILL_TABLES made."""
            return range(1 + number, filled + 1, writers)

        self.keys: dict[str, LiveKeys] = {
            "keyed": LiveKeys(list(share(rows))),
            "keyed_by_two": LiveKeys([(place, f"code {place % 10}") for place in share(rows)]),
            "keyed_large": LiveKeys(list(share(rows // 20))),
            "keyed_full": LiveKeys(list(share(rows // 4))),
            "keyed_by_index": LiveKeys([(key, key * 2) for key in share(rows // 4)]),
            "altered": LiveKeys(list(range(1, soak_ddl.ALTERED_ROWS + 1))),
            "renamed": LiveKeys(list(range(1, soak_ddl.RENAMED_ROWS + 1))),
        }
        self.altered = soak_ddl.Altered(number)
        self.renamed = soak_ddl.renamed_table(number)

    def run(self) -> None:
        try:
            with psycopg.connect(self._dsn) as connection, connection.cursor() as cursor:
                while self._gate.enter():
                    try:
                        self._transaction(connection, cursor)
                    finally:
                        self._gate.leave()
        except Exception as error:  # Reported by the main thread.
            self.error = error

    def new_key(self) -> int:
        self._next_key += 1
        return self._next_key

    def may_rename_tables(self) -> bool:
        return self._gate.may_rename_tables

    @property
    def newest_key(self) -> int:
        return self._next_key

    def words(self, length_max: int = 40) -> str | None:
        """Text with all that a CSV writer must think of, at times empty or NULL, but never the null marker itself."""
        kind = self.random.randrange(12)
        if kind == 0:
            return None
        if kind == 1:
            return ""
        pieces = ("plain ", "comma, ", 'quote " ', "line\n", "return\r\n", "tab\t", "\\N!", "ünï€ ", "NULL", " ")
        return "".join(self.random.choices(pieces, k=self.random.randint(1, 8)))[:length_max]

    def large(self) -> str:
        """Text that PostgreSQL stores out of line; it does not compress well."""
        length = min(int(self.random.expovariate(1 / 8_000)) + LARGE_CHARACTERS[0], LARGE_CHARACTERS[1])
        block = "%0512x" % self.random.getrandbits(2048)
        return (block * (length // len(block) + 1))[:length]

    def _mark(self) -> dict[str, int]:
        return {table: keys.mark() for table, keys in self.keys.items()}

    def _undo_to(self, marks: dict[str, int]) -> None:
        for table, mark in marks.items():
            self.keys[table].undo_to(mark)

    def act(self, cursor: psycopg.Cursor, actions: tuple[Action, ...], count: int) -> None:
        for action in self.random.choices(actions, [action.weight for action in actions], k=count):
            action.do(self, cursor)
            self.counts[action.name] += 1

    def act_and_roll_back(self, cursor: psycopg.Cursor, actions: tuple[Action, ...]) -> None:
        marks = self._mark()
        cursor.execute("SAVEPOINT inner_work")
        self.act(cursor, actions, self.random.randint(1, 3))
        cursor.execute("ROLLBACK TO SAVEPOINT inner_work")
        self._undo_to(marks)

    def _transaction(self, connection: psycopg.Connection, cursor: psycopg.Cursor) -> None:
        marks = self._mark()
        columns, renamed = dict(self.altered.columns), self.renamed
        kind = self.random.random()
        if kind < self.ddl:
            self.act(cursor, DDL_ACTIONS, 1)
        elif kind < self.ddl + BULK_PROBABILITY:
            self.act(cursor, BULK_ACTIONS, 1)
        else:
            self.act(cursor, ACTIONS, self.random.randint(1, TRANSACTION_ACTIONS_MAX))
        if self.random.random() < ROLLBACK_PROBABILITY:
            connection.rollback()
            self._undo_to(marks)
            self.altered.columns, self.renamed = columns, renamed
            self.counts["rollbacks"] += 1
        else:
            connection.commit()
            self.counts["commits"] += 1
        for keys in self.keys.values():
            keys.keep()


@dataclass(frozen=True)
class Action:
    """One kind of change that a writer makes inside a transaction."""

    name: str
    weight: int
    do: Callable[[Writer, psycopg.Cursor], None]


def insert_keyed(writer: Writer, cursor: psycopg.Cursor) -> None:
    """One to fifteen rows in one statement each, over a column of every type."""
    source = writer.random
    for _ in range(source.choice((1, 1, 1, 2, 15))):
        key = writer.new_key()
        cursor.execute(
            "INSERT INTO soak.keyed VALUES (%s, 0, %s, %s, %s, %s, %s, %s, date '1990-01-01' + %s, "
            "timestamp '1990-01-01' + %s * interval '1 us', timestamptz '1990-01-01Z' + %s * interval '1 ms', "
            "md5(%s)::uuid, %s, %s, %s, %s, jsonb_build_object('key', %s::bigint), %s::json)",
            (key, source.randint(-32768, 32767), source.randint(-2**31, 2**31 - 1),
             source.randint(-10**11, 10**11) / 1000, source.uniform(-1e6, 1e6), source.uniform(-1e300, 1e300),
             source.choice((True, False, None)),
             source.randrange(20_000), source.randrange(10**15), source.randrange(10**12), str(key), writer.words(),
             writer.words(12), writer.words(400), source.choice((None, b"", source.randbytes(20))), key, '{"a":  [1]}'))
        writer.keys["keyed"].add(key)


def update_keyed(writer: Writer, cursor: psycopg.Cursor) -> None:
    for _ in range(writer.random.choice((1, 1, 3, 10))):
        cursor.execute("UPDATE soak.keyed SET version = version + 1, words = %s, price = price + 0.001, "
                       "flag = NOT flag WHERE id = %s", (writer.words(200), writer.keys["keyed"].choose(writer.random)))


def update_keyed_range(writer: Writer, cursor: psycopg.Cursor) -> None:
    """One statement over many rows of this writer."""
    first = (writer.number + 1) * KEYS_PER_WRITER
    cursor.execute("UPDATE soak.keyed SET version = version + 1, whole = whole # 1 "
                   "WHERE id BETWEEN %s AND %s", (first, first + writer.random.randint(1, 200)))


def update_keyed_key(writer: Writer, cursor: psycopg.Cursor) -> None:
    old, new = writer.keys["keyed"].choose(writer.random), writer.new_key()
    cursor.execute("UPDATE soak.keyed SET id = %s, version = version + 1 WHERE id = %s", (new, old))
    writer.keys["keyed"].remove(old)
    writer.keys["keyed"].add(new)


def delete_keyed(writer: Writer, cursor: psycopg.Cursor) -> None:
    for _ in range(writer.random.choice((1, 1, 4))):
        key = writer.keys["keyed"].choose(writer.random)
        cursor.execute("DELETE FROM soak.keyed WHERE id = %s", (key,))
        writer.keys["keyed"].remove(key)


def delete_and_insert_again(writer: Writer, cursor: psycopg.Cursor) -> None:
    """The same key again in the same transaction."""
    key = writer.keys["keyed"].choose(writer.random)
    cursor.execute("DELETE FROM soak.keyed WHERE id = %s", (key,))
    cursor.execute("INSERT INTO soak.keyed (id, version, words) VALUES (%s, 0, 'again')", (key,))


def insert_and_delete(writer: Writer, cursor: psycopg.Cursor) -> None:
    """A row that nobody but the log ever sees."""
    key = writer.new_key()
    cursor.execute("INSERT INTO soak.keyed (id, version) VALUES (%s, 0)", (key,))
    cursor.execute("UPDATE soak.keyed SET version = version + 1 WHERE id = %s", (key,))
    cursor.execute("DELETE FROM soak.keyed WHERE id = %s", (key,))


def insert_by_two(writer: Writer, cursor: psycopg.Cursor) -> None:
    key = (writer.new_key(), f"code {writer.random.randrange(10)}")
    cursor.execute("INSERT INTO soak.keyed_by_two VALUES (%s, %s, 0, 1, %s)", (key[1], key[0], writer.words()))
    writer.keys["keyed_by_two"].add(key)


def update_by_two(writer: Writer, cursor: psycopg.Cursor) -> None:
    cursor.execute("UPDATE soak.keyed_by_two SET version = version + 1, quantity = quantity + 1 "
                   "WHERE place = %s AND code = %s", writer.keys["keyed_by_two"].choose(writer.random))


def update_by_two_key(writer: Writer, cursor: psycopg.Cursor) -> None:
    """One of the two key columns changes."""
    old = writer.keys["keyed_by_two"].choose(writer.random)
    new = (writer.new_key(), old[1])
    cursor.execute("UPDATE soak.keyed_by_two SET place = %s, version = version + 1 WHERE place = %s AND code = %s",
                   (new[0], *old))
    writer.keys["keyed_by_two"].remove(old)
    writer.keys["keyed_by_two"].add(new)


def delete_by_two(writer: Writer, cursor: psycopg.Cursor) -> None:
    key = writer.keys["keyed_by_two"].choose(writer.random)
    cursor.execute("DELETE FROM soak.keyed_by_two WHERE place = %s AND code = %s", key)
    writer.keys["keyed_by_two"].remove(key)


def insert_large(writer: Writer, cursor: psycopg.Cursor) -> None:
    key = writer.new_key()
    cursor.execute("INSERT INTO soak.keyed_large VALUES (%s, %s, %s, 0, %s)",
                   (key, writer.words(), writer.large(), writer.random.choice((None, writer.random.randbytes(4000)))))
    writer.keys["keyed_large"].add(key)


def update_beside_large(writer: Writer, cursor: psycopg.Cursor) -> None:
    """The log does not send the large values."""
    cursor.execute("UPDATE soak.keyed_large SET version = version + 1, title = %s WHERE id = %s",
                   (writer.words(), writer.keys["keyed_large"].choose(writer.random)))


def update_large(writer: Writer, cursor: psycopg.Cursor) -> None:
    cursor.execute("UPDATE soak.keyed_large SET version = version + 1, body = %s WHERE id = %s",
                   (writer.large(), writer.keys["keyed_large"].choose(writer.random)))


def update_large_key(writer: Writer, cursor: psycopg.Cursor) -> None:
    """A new key for a row whose large values the log does not send."""
    old, new = writer.keys["keyed_large"].choose(writer.random), writer.new_key()
    cursor.execute("UPDATE soak.keyed_large SET id = %s, version = version + 1 WHERE id = %s", (new, old))
    writer.keys["keyed_large"].remove(old)
    writer.keys["keyed_large"].add(new)


def delete_large(writer: Writer, cursor: psycopg.Cursor) -> None:
    key = writer.keys["keyed_large"].choose(writer.random)
    cursor.execute("DELETE FROM soak.keyed_large WHERE id = %s", (key,))
    writer.keys["keyed_large"].remove(key)


def insert_full(writer: Writer, cursor: psycopg.Cursor) -> None:
    key = writer.new_key()
    cursor.execute("INSERT INTO soak.keyed_full VALUES (%s, 0, %s, %s)",
                   (key, writer.words(), writer.random.choice((None, writer.large()))))
    writer.keys["keyed_full"].add(key)


def update_full(writer: Writer, cursor: psycopg.Cursor) -> None:
    cursor.execute("UPDATE soak.keyed_full SET version = version + 1, note = %s WHERE id = %s",
                   (writer.words(), writer.keys["keyed_full"].choose(writer.random)))


def delete_full(writer: Writer, cursor: psycopg.Cursor) -> None:
    key = writer.keys["keyed_full"].choose(writer.random)
    cursor.execute("DELETE FROM soak.keyed_full WHERE id = %s", (key,))
    writer.keys["keyed_full"].remove(key)


def insert_by_index(writer: Writer, cursor: psycopg.Cursor) -> None:
    key = (writer.new_key(), writer.new_key())
    cursor.execute("INSERT INTO soak.keyed_by_index VALUES (%s, %s, 0, %s)", (*key, writer.words()))
    writer.keys["keyed_by_index"].add(key)


def update_by_index(writer: Writer, cursor: psycopg.Cursor) -> None:
    """The primary key changes, the identity does not."""
    old = writer.keys["keyed_by_index"].choose(writer.random)
    new = (writer.new_key(), old[1])
    cursor.execute("UPDATE soak.keyed_by_index SET id = %s, version = version + 1 WHERE id = %s", (new[0], old[0]))
    writer.keys["keyed_by_index"].remove(old)
    writer.keys["keyed_by_index"].add(new)


def update_by_index_identity(writer: Writer, cursor: psycopg.Cursor) -> None:
    """The identity changes, the primary key does not."""
    old = writer.keys["keyed_by_index"].choose(writer.random)
    new = (old[0], writer.new_key())
    cursor.execute("UPDATE soak.keyed_by_index SET tag = %s, version = version + 1 WHERE id = %s", (new[1], old[0]))
    writer.keys["keyed_by_index"].remove(old)
    writer.keys["keyed_by_index"].add(new)


def delete_by_index(writer: Writer, cursor: psycopg.Cursor) -> None:
    key = writer.keys["keyed_by_index"].choose(writer.random)
    cursor.execute("DELETE FROM soak.keyed_by_index WHERE id = %s", (key[0],))
    writer.keys["keyed_by_index"].remove(key)


def insert_keyless(writer: Writer, cursor: psycopg.Cursor) -> None:
    """Few different values, so that many rows are equal."""
    body = writer.large() if writer.random.random() < 0.02 else None
    copies = writer.random.choice((1, 1, 3))
    cursor.execute("INSERT INTO soak.keyless_full SELECT %s, %s, %s, %s FROM generate_series(1, %s)",
                   (writer.number, writer.random.randrange(100), writer.words(8), body, copies))


def update_one_keyless(writer: Writer, cursor: psycopg.Cursor) -> None:
    """One of several equal rows."""
    cursor.execute("UPDATE soak.keyless_full SET note = %s WHERE ctid = (SELECT ctid FROM soak.keyless_full "
                   "WHERE writer = %s AND amount = %s LIMIT 1)",
                   (writer.words(8), writer.number, writer.random.randrange(100)))


def update_equal_keyless(writer: Writer, cursor: psycopg.Cursor) -> None:
    """All rows of one value."""
    cursor.execute("UPDATE soak.keyless_full SET amount = %s WHERE writer = %s AND amount = %s",
                   (writer.random.randrange(100), writer.number, writer.random.randrange(100)))


def delete_keyless(writer: Writer, cursor: psycopg.Cursor) -> None:
    cursor.execute("DELETE FROM soak.keyless_full WHERE ctid = ANY (ARRAY(SELECT ctid FROM soak.keyless_full "
                   "WHERE writer = %s AND amount = %s LIMIT 3))", (writer.number, writer.random.randrange(100)))


def append_keyless(writer: Writer, cursor: psycopg.Cursor) -> None:
    cursor.execute("INSERT INTO soak.keyless_append SELECT %s, timestamptz '2020-01-01Z' + n * interval '1 ms', n, %s "
                   "FROM generate_series(1, %s) AS n", (writer.number, writer.words(), writer.random.randint(1, 5)))


def write_bulk(writer: Writer, cursor: psycopg.Cursor) -> None:
    """A transaction that is larger than what Ferry may keep of it in memory."""
    first = (writer.number + 1) * KEYS_PER_WRITER
    cursor.execute("INSERT INTO soak.keyed_bulk SELECT n, 0, repeat(%s, %s) FROM generate_series(%s::bigint, %s) AS n "
                   "ON CONFLICT (id) DO UPDATE SET version = keyed_bulk.version + 1, body = excluded.body",
                   ("%032x" % writer.random.getrandbits(128), BULK_REPEATS, first, first + BULK_ROWS - 1))


def roll_back_savepoint(writer: Writer, cursor: psycopg.Cursor) -> None:
    """Some of the other actions, taken back while the transaction goes on."""
    writer.act_and_roll_back(cursor, SIMPLE_ACTIONS)


SIMPLE_ACTIONS = (
    Action("insert_keyed", 4, insert_keyed),
    Action("update_keyed", 12, update_keyed),
    Action("update_keyed_range", 1, update_keyed_range),
    Action("update_keyed_key", 3, update_keyed_key),
    Action("delete_keyed", 6, delete_keyed),
    Action("delete_and_insert_again", 2, delete_and_insert_again),
    Action("insert_and_delete", 1, insert_and_delete),
    Action("insert_by_two", 5, insert_by_two),
    Action("update_by_two", 8, update_by_two),
    Action("update_by_two_key", 3, update_by_two_key),
    Action("delete_by_two", 4, delete_by_two),
    Action("insert_large", 4, insert_large),
    Action("update_beside_large", 5, update_beside_large),
    Action("update_large", 2, update_large),
    Action("update_large_key", 1, update_large_key),
    Action("delete_large", 3, delete_large),
    Action("insert_full", 4, insert_full),
    Action("update_full", 5, update_full),
    Action("delete_full", 3, delete_full),
    Action("insert_by_index", 4, insert_by_index),
    Action("update_by_index", 3, update_by_index),
    Action("update_by_index_identity", 2, update_by_index_identity),
    Action("delete_by_index", 3, delete_by_index),
    Action("insert_keyless", 6, insert_keyless),
    Action("update_one_keyless", 4, update_one_keyless),
    Action("update_equal_keyless", 1, update_equal_keyless),
    Action("delete_keyless", 3, delete_keyless),
    Action("append_keyless", 5, append_keyless),
)
ACTIONS = (*SIMPLE_ACTIONS, Action("roll_back_savepoint", 4, roll_back_savepoint),
           *(Action(do.__name__, weight, do) for weight, do in soak_ddl.ROW_ACTIONS))
BULK_ACTIONS = (Action("write_bulk", 1, write_bulk),)
DDL_ACTIONS = tuple(Action(do.__name__, weight, do) for weight, do in soak_ddl.TABLE_ACTIONS)


class Gate:
    """Lets writers work, or waits until none of them is inside a transaction."""

    def __init__(self, rate: float = 0) -> None:
        """`rate` is the most that enter in a second, all together; 0 = as many as can."""
        self.may_rename_tables = False
        self._interval_s = 1 / rate if rate else 0.0
        self._next_s = 0.0  # When the next one may enter, by the monotonic clock.
        self._changed = threading.Condition()
        self._open = False
        self._ended = False
        self._inside = 0

    def enter(self) -> bool:
        """Waits until the gate is open and the next one may enter. False: there is no more work."""
        with self._changed:
            while not self._ended:
                now = time.monotonic()
                if self._open and now >= self._next_s:
                    self._next_s = now + self._interval_s
                    self._inside += 1
                    return True
                self._changed.wait(self._next_s - now if self._open else None)
            return False

    def leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def open(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def close(self) -> None:
        """Returns when no writer is inside."""
        with self._changed:
            self._open = False
            self._changed.wait_for(lambda: self._inside == 0)

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Writers:
    """All writers and their threads. They begin to work with resume()."""

    def __init__(self, dsn: str, seed: int, count: int, rows: int, *, rate: float = 0,
                 ddl: float = soak_ddl.PROBABILITY) -> None:
        self._gate = Gate(rate)
        self._writers = [Writer(dsn, seed, number, count, rows, self._gate, ddl) for number in range(count)]
        self._threads = [threading.Thread(target=writer.run, name=f"writer-{writer.number}", daemon=True)
                         for writer in self._writers]
        for thread in self._threads:
            thread.start()

    def resume(self) -> None:
        self._gate.open()

    def allow_renaming_tables(self, allowed: bool) -> None:
        """A table that is renamed before its load is not found by it, which looks for the names of the start."""
        self._gate.may_rename_tables = allowed

    def touches(self) -> dict[str, str]:
        """A statement for each table under the name that it has while the writers pause."""
        return TOUCHES | soak_ddl.touches(len(self._writers), [writer.renamed for writer in self._writers])

    def pause(self) -> None:
        """Returns when every transaction has ended; fails when a writer has failed."""
        self._gate.close()
        self.require_no_error()

    def end(self) -> None:
        self._gate.end()
        for thread in self._threads:
            thread.join()

    def require_no_error(self) -> None:
        for writer in self._writers:
            if writer.error is not None:
                raise RuntimeError(f"writer {writer.number} failed: {writer.error}") from writer.error

    @property
    def counts(self) -> Counter[str]:
        return sum((writer.counts for writer in self._writers), Counter())


def create_tables(dsn: str, rows: int, writers: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(CREATE_TABLES.encode())
        connection.execute(soak_ddl.create_statements(writers).encode())
        connection.execute(FILL_TABLES.format(rows=rows).encode())
