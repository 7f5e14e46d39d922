"""Reads tests/data/postgres_types; the comment at its top says what a line means."""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "data" / "postgres_types"
ROW_ERROR = "row error"
WARNING = " (warning)"
MAJORS = re.compile(r"\[(\d*)-(\d*)\] ")
REPEATED = re.compile(r"\{(\d+) x (.+?)\}")
ESCAPES = {r"\n": "\n", r"\r": "\r", r"\t": "\t", r"\s": " ", "\\\\": "\\"}
ESCAPE = re.compile(r"\\(?:x[0-9a-f]{2}|.)")


class TypesFileError(Exception):
    """A line that cannot be read."""


@dataclass(frozen=True)
class Expected:
    """What a file must hold; no text where the row is an error."""

    text: str | None
    warnings: int = 0


@dataclass(frozen=True)
class Value:
    literal: str
    csv: Expected
    parquet: Expected

    def of(self, data_format: str) -> Expected:
        return self.csv if data_format == "csv" else self.parquet


@dataclass
class TypeCase:
    type: str
    dms: str
    values: list[Value] = field(default_factory=list)


@dataclass
class TypesFile:
    setup: list[str] = field(default_factory=list)
    types: list[TypeCase] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def unescaped(text: str) -> str:
    if text == "(empty)":
        return ""
    text = REPEATED.sub(lambda match: int(match[1]) * match[2], text)

    def plain(match: re.Match[str]) -> str:
        if match[0].startswith("\\x"):
            return chr(int(match[0][2:], 16))
        if match[0] not in ESCAPES:
            raise TypesFileError(f"{match[0]} is no escape")
        return ESCAPES[match[0]]

    return ESCAPE.sub(plain, text)


def expected(text: str) -> Expected:
    if text == ROW_ERROR:
        return Expected(None)
    return Expected(unescaped(text.removesuffix(WARNING)), warnings=int(text.endswith(WARNING)))


def read_types(major: int, file: Path = FILE) -> TypesFile:
    """The lines that are meant for a major of PostgreSQL."""
    result = TypesFile()
    type_is_meant = False
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        text, is_meant = line.strip(), True
        if match := MAJORS.match(text):
            text = text[match.end():]
            is_meant = int(match[1] or 0) <= major <= int(match[2] or 99)
        try:
            if line.startswith(" "):
                literal, *forms = text.split(" => ")
                if is_meant and type_is_meant:
                    if len(forms) not in (1, 2):
                        raise TypesFileError("a literal and one or two forms belong here")
                    result.types[-1].values.append(Value(literal, expected(forms[0]), expected(forms[-1])))
            elif text.startswith("setup "):
                result.setup += [text.removeprefix("setup ")] * is_meant
            elif text.startswith("left out "):
                name, _, reason = text.removeprefix("left out ").partition(": ")
                result.left_out[name] = reason
            elif text.startswith("type "):
                name, _, dms = text.removeprefix("type ").partition(" -> ")
                type_is_meant = is_meant
                if is_meant:
                    result.types.append(TypeCase(name, dms))
            else:
                raise TypesFileError("neither setup, type nor left out")
        except TypesFileError as error:
            raise TypesFileError(f"{file}:{number}: {error}") from error
    return result
