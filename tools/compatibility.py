#!/usr/bin/env python3
"""Writes docs/compatibility.md from the tables in src/model that the program itself reads; --check only compares."""
import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/compatibility.md"
ENGINES = {"s3": "S3Settings (files)", "postgres": "PostgreSQLSettings"}
SETTING = re.compile(r'\{(k\w+), "(\w+)",.*?(kImplemented|kStoredOnly)\b')
SECTION = re.compile(r'(k\w+) = "(\w+)"|\b(k\w+)\{"(\w+)"')
HEAD = """# What of AWS DMS's settings has an effect

Made by `tools/compatibility.py` from the tables in `src/model` that the program reads; a test compares the two.

- *implemented*: acts as DMS says.
- *stored*: accepted without effect; a task that names it with another value than DMS's default logs a warning.
- *refused*: another value than the default is refused, because going on without it would do harm.

Table mappings: selection rules (include, exclude, explicit; wildcards; load-order; table-type), transformation rules of
names and columns (rename, convert-lowercase, convert-uppercase, add-, remove- and replace-prefix and -suffix of schemas, tables
and columns; remove-column, include-column), the lob-settings of table-settings rules and add-tag rules (on a bucket) are
implemented. Filters, other transformation rules, expressions and parallel-load are refused by name.
"""


def endpoint_rows() -> dict[str, list[tuple[str, str, str]]]:
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for line in (ROOT / "src/model/endpoint_settings.txt").read_text(encoding="utf-8").splitlines():
        fields = [field.strip() for field in line.split("|")]
        if line.startswith("#") or len(fields) < 11:
            continue
        rows.setdefault(fields[0], []).append((fields[2], fields[1], fields[9]))
    return rows


def task_rows() -> list[tuple[str, str]]:
    text = (ROOT / "src/model/task_settings.cc").read_text(encoding="utf-8")
    table = text[text.index("constexpr Setting kSettings[] = {") :]
    table = table[: table.index("};")]
    names = {"kImplemented": "implemented", "kStoredOnly": "stored"}
    return [(f"{section[1:]}.{name}", names[effect]) for section, name, effect in SETTING.findall(table)]


def page() -> str:
    parts = [HEAD]
    for engine, rows in endpoint_rows().items():
        parts.append(f"\n## {ENGINES.get(engine, engine)}\n\nRole: S source, T target.\n\n| setting | role | effect |\n|---|---|---|\n")
        parts += [f"| {name} | {role} | {effect} |\n" for name, role, effect in rows]
    parts.append("\n## Task settings\n\n| setting | effect |\n|---|---|\n")
    parts += [f"| {name} | {effect} |\n" for name, effect in task_rows()]
    return "".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        if PAGE.read_text(encoding="utf-8") != page():
            sys.exit("docs/compatibility.md is not what the tables say: run tools/compatibility.py")
    else:
        PAGE.write_text(page(), encoding="utf-8")
