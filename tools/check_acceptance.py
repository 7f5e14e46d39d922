#!/usr/bin/env python3
"""Fails when docs/acceptance and the tests that ctest knows do not fit.

    check_acceptance.py --build build

Every number of NUMBERS has one section, which names its tests on a line that begins with "Test:". One of them has the
number in its name, and ctest knows all of them. A test named case_NN that no section names fails too.
"""
from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "acceptance" / "README.md"
NUMBERS = (*range(1, 8), 14, 15, 16, 18, *range(20, 28), 44, 46, 48)
SECTION = re.compile(r"^## (\d+)\. .+\n((?:(?!## ).*\n)*)", re.MULTILINE)
TESTS = re.compile(r"^Test: (.+)$", re.MULTILINE)
NUMBERED_TEST = re.compile(r"case_\d\d_")


def problems_of(page: str, tests: set[str]) -> list[str]:
    """What is wrong with the page's text when these are ctest's tests."""
    problems = []
    sections: dict[int, str] = {}
    for number, text in SECTION.findall(page):
        if int(number) in sections:
            problems.append(f"case {number} has two sections")
        sections[int(number)] = text
    for number in sorted({*NUMBERS} ^ {*sections}):
        problems.append(f"case {number} has no section" if number in NUMBERS else f"case {number} is not a number here")
    named = set()
    for number, text in sections.items():
        lines = TESTS.findall(text)
        names = re.findall(r"`([^`]+)`", " ".join(lines))
        named.update(names)
        if not names:
            problems.append(f"case {number} names no test")
        elif not any(f"case_{number:02}_" in name for name in names):
            problems.append(f"no test of case {number} has the number in its name")
        problems += [f"case {number}: there is no test {name}" for name in names if name not in tests]
    for test in sorted(tests - named):
        if NUMBERED_TEST.search(test):
            problems.append(f"the test {test} is in no section")
    return problems


def tests_of(build: Path) -> set[str]:
    listing = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], capture_output=True, text=True, check=True)
    return {test["name"] for test in json.loads(listing.stdout)["tests"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True, help="the folder of CMake")
    problems = problems_of(PAGE.read_text(encoding="utf-8"), tests_of(parser.parse_args().build))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
