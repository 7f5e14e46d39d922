"""Reads scenario files; README.md describes their form."""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

BODY_INDENT = "    "


class ScenarioFileError(Exception):
    """A line that is neither a command, nor a part of its body, nor a comment."""


@dataclass
class Command:
    """One line at the margin with the indented lines below it."""

    line: int
    verb: str
    rest: str
    body: str = ""  # Without the indent; each line ends with a line feed.


@dataclass
class Scenario:
    """The commands between two `scenario` lines."""

    title: str
    line: int
    commands: list[Command] = field(default_factory=list)


def read_commands(text: str) -> list[Command]:
    commands: list[Command] = []
    blank_lines = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith(BODY_INDENT):
            if not commands:
                raise ScenarioFileError(f"line {number}: an indented line without a command above it")
            # Blank lines count only between lines of one body.
            commands[-1].body += "\n" * blank_lines + line.removeprefix(BODY_INDENT) + "\n"
            blank_lines = 0
        elif not line.strip():
            blank_lines += bool(commands and commands[-1].body)
        elif line.startswith(" ") or line.startswith("\t"):
            raise ScenarioFileError(f"line {number}: a body is indented by four blanks")
        else:
            blank_lines = 0
            if not line.startswith("#"):
                verb, _, rest = line.partition(" ")
                commands.append(Command(number, verb, rest.strip()))
    return commands


def read_scenarios(path: Path) -> list[Scenario]:
    """Returns the file's scenarios. Commands before the first `scenario` line begin every scenario."""
    scenarios: list[Scenario] = []
    first: list[Command] = []
    for command in read_commands(path.read_text(encoding="utf-8")):
        if command.verb == "scenario":
            if not command.rest:
                raise ScenarioFileError(f"line {command.line}: a scenario has a title")
            scenarios.append(Scenario(command.rest, command.line, list(first)))
        elif scenarios:
            scenarios[-1].commands.append(command)
        else:
            first.append(command)
    if not scenarios:
        raise ScenarioFileError(f"{path}: has no scenario")
    return scenarios
