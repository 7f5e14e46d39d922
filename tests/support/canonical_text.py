"""One text form per SQL type, in which a source's row and the same row in a file can be compared.

`FORMS` is the only place that says how a value becomes text: once as a PostgreSQL expression, once as a
DuckDB expression over a Parquet column, once as a DuckDB expression over a CSV field. The three must give the
same text for the same value. A row's text is the text of its columns joined by `SEPARATOR`, with `NULL_MARK`
in place of NULL; both are control characters that PostgreSQL text may hold but test data does not.
"""
from __future__ import annotations

from dataclasses import dataclass

SEPARATOR = 31  # ASCII unit separator
NULL_MARK = 30  # ASCII record separator


@dataclass(frozen=True)
class Form:
    """The canonical text of one family of types; `{0}` stands for the quoted column."""

    source: str
    parquet: str = "CAST({0} AS VARCHAR)"
    csv: str = "{0}"


TEXT = Form(source="{0}::text")

# A blank-padded value loses its padding on its way, and PostgreSQL's own cast to text drops it too.
PADDED_TEXT = Form(source="{0}::text", parquet="rtrim({0}, ' ')", csv="rtrim({0}, ' ')")

# numeric(p,s): exactly s decimals on all sides.
NUMERIC = Form(source="{0}::text")

# numeric(s,s): DuckDB prints .25 where PostgreSQL prints 0.25.
NUMERIC_BELOW_ONE = Form(source="{0}::text", parquet=r"regexp_replace(CAST({0} AS VARCHAR), '^(-?)[.]', '\10.')")

# numeric without precision may come with more decimals than the source printed.
TRIMMED = "CASE WHEN contains({0}, '.') THEN rtrim(rtrim({0}, '0'), '.') ELSE {0} END"
NUMERIC_UNBOUND = Form(
    source="trim_scale({0})::text", parquet=TRIMMED.format("CAST({0} AS VARCHAR)"), csv=TRIMMED
)

MONEY = Form(source="{0}::numeric::numeric(38,4)::text")

# Floats are compared by their IEEE bits: no two printers agree on the shortest decimal form everywhere.
FLOAT8 = Form(
    source="('x' || encode(float8send({0}), 'hex'))::bit(64)::bigint::text",
    parquet="CAST(CAST(CAST({0} AS DOUBLE) AS BIT) AS BIGINT)::VARCHAR",
    csv="CAST(CAST(CAST({0} AS DOUBLE) AS BIT) AS BIGINT)::VARCHAR",
)
FLOAT4 = Form(
    source="('x' || encode(float4send({0}), 'hex'))::bit(32)::integer::text",
    parquet="CAST(CAST(CAST({0} AS FLOAT) AS BIT) AS INTEGER)::VARCHAR",
    csv="CAST(CAST(CAST({0} AS FLOAT) AS BIT) AS INTEGER)::VARCHAR",
)

# Text `true`/`false` unless the task maps booleans as booleans, whose CSV form is 1 and 0.
BOOLEAN = Form(source="{0}::text", csv="CASE {0} WHEN '1' THEN 'true' WHEN '0' THEN 'false' ELSE {0} END")

DATE = Form(source="{0}::text")

# CSV carries as many decimals as the column's precision, and no point at precision 0.
SIX_DECIMALS = "rpad(CASE WHEN contains({{0}}, '.') THEN {{0}} ELSE {{0}} || '.' END, {width}, '0')"
TIMESTAMP_PARQUET = "strftime(make_timestamp(epoch_us({0})), '%Y-%m-%d %H:%M:%S.%f')"
TIMESTAMP = Form(
    source="to_char({0}, 'YYYY-MM-DD HH24:MI:SS.US')",
    parquet=TIMESTAMP_PARQUET,
    csv=SIX_DECIMALS.format(width=26),
)
TIMESTAMP_WITH_ZONE = Form(
    source="to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
    parquet=TIMESTAMP_PARQUET,
    csv=SIX_DECIMALS.format(width=26),
)
TIME = Form(
    source="to_char({0}, 'HH24:MI:SS.US')",
    parquet=SIX_DECIMALS.format(width=15).format("CAST({0} AS VARCHAR)"),
    csv=SIX_DECIMALS.format(width=15),
)

BYTES = Form(source="encode({0}, 'hex')", parquet="lower(hex({0}))", csv="lower({0})")

# PostgreSQL's type names as format_type() gives them without a type modifier. All others travel as text.
FORMS: dict[str, Form] = {
    "smallint": TEXT,
    "integer": TEXT,
    "bigint": TEXT,
    "numeric": NUMERIC,
    "money": MONEY,
    "real": FLOAT4,
    "double precision": FLOAT8,
    "boolean": BOOLEAN,
    "text": TEXT,
    "character varying": TEXT,
    "character": PADDED_TEXT,
    "date": DATE,
    "time without time zone": TIME,
    "timestamp without time zone": TIMESTAMP,
    "timestamp with time zone": TIMESTAMP_WITH_ZONE,
    "bytea": BYTES,
    "uuid": TEXT,
    "json": TEXT,
    "jsonb": TEXT,
}

# Types whose empty string a CSV file without a null marker cannot tell from NULL.
TEXT_TYPES = frozenset({"text", "character varying", "character"})


def form_of(type_name: str, type_modifier: int) -> Form:
    """Returns the form of a type named by PostgreSQL's format_type(type, NULL) and its modifier."""
    if type_name != "numeric":
        return FORMS.get(type_name, TEXT)
    if type_modifier < 0:
        return NUMERIC_UNBOUND
    precision, scale = ((type_modifier - 4) >> 16) & 0xFFFF, (type_modifier - 4) & 0x7FF
    return NUMERIC_BELOW_ONE if precision == scale else NUMERIC


def quoted(name: str) -> str:
    """Returns an SQL identifier in double quotes, as PostgreSQL and DuckDB both read it."""
    return '"' + name.replace('"', '""') + '"'


def row_text(values: list[str]) -> str:
    """Returns the SQL expression, valid in PostgreSQL and DuckDB, that joins the texts of some columns."""
    parts = [f"coalesce({value}, chr({NULL_MARK}))" for value in values]
    return f"concat_ws(chr({SEPARATOR}), {', '.join(parts)})"


def readable(text: str) -> str:
    """Returns a row's text as a person reads it."""
    return text.replace(chr(SEPARATOR), ", ").replace(chr(NULL_MARK), "NULL")
