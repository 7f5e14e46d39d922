"""How a column stands in a Parquet file's footer, and how a column of a DMS type must (docs/types.md)."""
from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow.parquet

FIXED = {
    "BOOLEAN": ("BOOLEAN", "NONE"), "INT2": ("INT32", "INT_16"), "INT4": ("INT32", "NONE"), "INT8": ("INT64", "NONE"),
    "REAL4": ("FLOAT", "NONE"), "REAL8": ("DOUBLE", "NONE"), "BLOB": ("BYTE_ARRAY", "NONE"),
    "DATE": ("INT32", "DATE"), "DATETIME": ("INT64", "TIMESTAMP_MICROS"), "TIME": ("INT64", "TIME_MICROS"),
    "STRING": ("BYTE_ARRAY", "UTF8"), "WSTRING": ("BYTE_ARRAY", "UTF8"), "CLOB": ("BYTE_ARRAY", "UTF8"),
    "NCLOB": ("BYTE_ARRAY", "UTF8"),
}
MILLISECOND_DIGITS = 3
DMS_TYPE = re.compile(r"(\w+)(?:\((\d+)(?:,(\d+))?\))?")


@dataclass(frozen=True)
class Form:
    """The facts of one column; 0 where there is none."""

    repetition: str
    physical: str
    converted: str
    precision: int = 0
    scale: int = 0
    length: int = 0  # in bytes


def form_of_column(column: pyarrow.parquet.ColumnSchema) -> Form:
    decimal = column.converted_type == "DECIMAL"
    return Form(repetition="optional" if column.max_definition_level else "required", physical=column.physical_type,
                converted=column.converted_type, precision=column.precision if decimal else 0,
                scale=column.scale if decimal else 0, length=max(column.length, 0))


def decimal_bytes(precision: int) -> int:
    """The fewest that hold every number of so many digits, with its sign."""
    size = 1
    while 10**precision > 1 << (8 * size - 1):
        size += 1
    return size


def form_of_type(dms: str) -> Form:
    """A table's column of the DMS type, with the default settings."""
    match = DMS_TYPE.fullmatch(dms)
    assert match, dms
    name, first, second = match[1], int(match[2] or 0), int(match[3] or 0)
    if name == "NUMERIC" and match[2]:
        return Form("optional", "FIXED_LEN_BYTE_ARRAY", "DECIMAL", first, second, decimal_bytes(first))
    if name == "NUMERIC":
        name = "STRING"
    if name == "TIME" and first <= MILLISECOND_DIGITS:
        return Form("optional", "INT32", "TIME_MILLIS")
    return Form("optional", *FIXED[name])
