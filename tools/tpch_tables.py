"""TPC-H's eight tables, with its columns and types, filled inside PostgreSQL by generate_series.

The rows have TPC-H's shape, not its values: numbers and words come from simple arithmetic on the row's number,
so that the same scale gives the same rows and millions of them take seconds.
"""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg

CREATE_TABLES = """
CREATE TABLE region (
  r_regionkey integer PRIMARY KEY, r_name char(25) NOT NULL, r_comment varchar(152));
CREATE TABLE nation (
  n_nationkey integer PRIMARY KEY, n_name char(25) NOT NULL, n_regionkey integer NOT NULL, n_comment varchar(152));
CREATE TABLE supplier (
  s_suppkey integer PRIMARY KEY, s_name char(25) NOT NULL, s_address varchar(40) NOT NULL,
  s_nationkey integer NOT NULL, s_phone char(15) NOT NULL, s_acctbal numeric(15,2) NOT NULL,
  s_comment varchar(101) NOT NULL);
CREATE TABLE part (
  p_partkey integer PRIMARY KEY, p_name varchar(55) NOT NULL, p_mfgr char(25) NOT NULL, p_brand char(10) NOT NULL,
  p_type varchar(25) NOT NULL, p_size integer NOT NULL, p_container char(10) NOT NULL,
  p_retailprice numeric(15,2) NOT NULL, p_comment varchar(23) NOT NULL);
CREATE TABLE partsupp (
  ps_partkey integer NOT NULL, ps_suppkey integer NOT NULL, ps_availqty integer NOT NULL,
  ps_supplycost numeric(15,2) NOT NULL, ps_comment varchar(199) NOT NULL, PRIMARY KEY (ps_partkey, ps_suppkey));
CREATE TABLE customer (
  c_custkey integer PRIMARY KEY, c_name varchar(25) NOT NULL, c_address varchar(40) NOT NULL,
  c_nationkey integer NOT NULL, c_phone char(15) NOT NULL, c_acctbal numeric(15,2) NOT NULL,
  c_mktsegment char(10) NOT NULL, c_comment varchar(117) NOT NULL);
CREATE TABLE orders (
  o_orderkey bigint PRIMARY KEY, o_custkey integer NOT NULL, o_orderstatus char(1) NOT NULL,
  o_totalprice numeric(15,2) NOT NULL, o_orderdate date NOT NULL, o_orderpriority char(15) NOT NULL,
  o_clerk char(15) NOT NULL, o_shippriority integer NOT NULL, o_comment varchar(79) NOT NULL);
CREATE TABLE lineitem (
  l_orderkey bigint NOT NULL, l_partkey integer NOT NULL, l_suppkey integer NOT NULL, l_linenumber integer NOT NULL,
  l_quantity numeric(15,2) NOT NULL, l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL,
  l_tax numeric(15,2) NOT NULL, l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL,
  l_shipdate date NOT NULL, l_commitdate date NOT NULL, l_receiptdate date NOT NULL, l_shipinstruct char(25) NOT NULL,
  l_shipmode char(10) NOT NULL, l_comment varchar(44) NOT NULL, PRIMARY KEY (l_orderkey, l_linenumber));
"""


@dataclass(frozen=True)
class Sizes:
    """Rows of each table. Each order has 1 to 7 lines, 4 on average; each part has 4 suppliers."""

    orders: int
    customers: int
    parts: int
    suppliers: int

    @classmethod
    def for_orders(cls, orders: int) -> Sizes:
        """TPC-H's proportions: 150 orders to 15 customers to 20 parts to 1 supplier."""
        return cls(orders, max(orders // 10, 1), max(orders * 2 // 15, 1), max(orders // 150, 4))


# Each statement fills one table; the two halves of lineitem are the longest and go first.
LINEITEM = """
INSERT INTO lineitem
SELECT o, (o * 31 + l * 17) % {parts} + 1, (o * 13 + l) % {suppliers} + 1, l, (o + l) % 50 + 1,
  ((o * 7919 + l * 104729) % 9000000 + 90000) / 100.0, (o + l) % 11 / 100.0, (o * l) % 9 / 100.0,
  (array['A','N','R'])[(o + l) % 3 + 1], (array['F','O'])[o % 2 + 1], date '1992-01-01' + (o % 2400 + l)::int,
  date '1992-01-01' + (o % 2400 + l + 20)::int, date '1992-01-01' + (o % 2400 + l + 9)::int,
  (array['DELIVER IN PERSON','COLLECT COD','NONE','TAKE BACK RETURN'])[(o + l) % 4 + 1],
  (array['REG AIR','AIR','RAIL','SHIP','TRUCK','MAIL','FOB'])[l], 'ironic deposits along ' || (o * 37 + l)
FROM generate_series({first}, {last}) AS o, generate_series(1, o % 7 + 1) AS l
"""
ORDERS = """
INSERT INTO orders
SELECT o, o * 7 % {customers} + 1, (array['F','O','P'])[o % 3 + 1], (o * 7919 % 45000000 + 90000) / 100.0,
  date '1992-01-01' + (o % 2400)::int, (array['1-URGENT','2-HIGH','3-MEDIUM','4-NOT SPECIFIED','5-LOW'])[o % 5 + 1],
  'Clerk#' || lpad((o % 1000)::text, 9, '0'), 0, 'blithely final requests near ' || o * 31
FROM generate_series(1, {orders}::bigint) AS o
"""
OTHERS = """
INSERT INTO region SELECT r, (array['AFRICA','AMERICA','ASIA','EUROPE','MIDDLE EAST'])[r + 1], 'region ' || r
FROM generate_series(0, 4) AS r;
INSERT INTO nation SELECT n, 'NATION ' || n, n % 5, CASE WHEN n % 5 > 0 THEN 'nation ' || n END
FROM generate_series(0, 24) AS n;
INSERT INTO supplier
SELECT s, 'Supplier#' || lpad(s::text, 9, '0'), 'street ' || s * 31, s % 25, s % 25 + 10 || '-555-' || s % 10000,
  (s * 7919 % 1099800 - 99900) / 100.0, 'quick, "even" packages ' || s FROM generate_series(1, {suppliers}) AS s;
INSERT INTO part
SELECT p, 'lemon linen ' || p, 'Manufacturer#' || p % 5 + 1, 'Brand#' || p % 25 + 11, 'SMALL PLATED COPPER', p % 50 + 1,
  'JUMBO PKG', (90000 + p % 20001 + 100 * (p % 1000)) / 100.0, 'final ' || p FROM generate_series(1, {parts}) AS p;
INSERT INTO partsupp
SELECT p, (p * 4 + s) % {suppliers} + 1, (p * 31 + s) % 9999 + 1, (p * 17 + s) % 100000 / 100.0,
  'furiously pending accounts, carefully ' || p * 7 + s
FROM generate_series(1, {parts}) AS p, generate_series(0, 3) AS s;
INSERT INTO customer
SELECT c, 'Customer#' || lpad(c::text, 9, '0'), 'avenue ' || c * 17, c % 25, c % 25 + 10 || '-555-' || c % 10000,
  (c * 104729::bigint % 1099800 - 99900) / 100.0,
  (array['AUTOMOBILE','BUILDING','FURNITURE','MACHINERY','HOUSEHOLD'])[c % 5 + 1], 'regular, silent ideas ' || c
FROM generate_series(1, {customers}) AS c;
"""

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")


def execute(dsn: str, statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statements.encode())


def create_tables(dsn: str, sizes: Sizes) -> None:
    """Creates and fills the tables in the schema public, over two connections."""
    execute(dsn, CREATE_TABLES)
    values = {"orders": sizes.orders, "customers": sizes.customers, "parts": sizes.parts, "suppliers": sizes.suppliers}
    middle = sizes.orders // 2
    fills = [
        LINEITEM.format(first="1::bigint", last=middle, **values),
        LINEITEM.format(first=f"{middle + 1}::bigint", last=sizes.orders, **values),
        ORDERS.format(**values),
        OTHERS.format(**values),
    ]
    with ThreadPoolExecutor(max_workers=2) as pool:
        for done in [pool.submit(execute, dsn, fill) for fill in fills]:
            done.result()
    execute(dsn, "ANALYZE")
