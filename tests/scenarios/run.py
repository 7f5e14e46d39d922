#!/usr/bin/env python3
"""Runs scenario files against throw-away PostgreSQL servers; README.md describes their form.

    run.py [--ferry build/ferry] [--only TITLE] FILE.test…

Exits with 0 when all scenarios hold, with 1 when one does not, with 77 when the servers that a file needs are not
installed.
"""
from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

from postgres_server import installed_majors  # noqa: E402
from scenario import NotInstalled, Scenery, run_scenario  # noqa: E402
from scenario_file import read_scenarios  # noqa: E402

EXIT_SKIPPED = 77  # ctest's SKIP_RETURN_CODE


def run_file(path: Path, ferry: Path, only: str, *, shows_all: bool) -> list[str]:
    """Runs the scenarios of one file, prints a line for each, and returns their ends: held, failed, left out."""
    ends = []
    with Scenery(ferry) as scenery:
        for scenario in read_scenarios(path):
            if only not in scenario.title:
                continue
            started = time.monotonic()
            try:
                run_scenario(scenario, scenery, path)
                end, detail = "held", ""
            except NotInstalled as error:
                end, detail = "left out", str(error)
            except Exception as error:  # Whatever it was, the other scenarios are to run too.
                end, detail = "failed", str(error) or repr(error)
                if shows_all or not isinstance(error, AssertionError | RuntimeError):
                    detail = f"{type(error).__name__}: {detail}"
            ends.append(end)
            print(f"{end:8} {time.monotonic() - started:6.2f} s  {path.name}: {scenario.title}", flush=True)
            if detail:
                print("  " + detail.replace("\n", "\n  "), flush=True)
    return ends


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferry", type=Path, default=REPOSITORY / "build" / "ferry")
    parser.add_argument("--only", default="", metavar="TITLE", help="only scenarios whose title contains this")
    parser.add_argument("--verbose", action="store_true", help="name the type of every failure")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.test")
    arguments = parser.parse_args()
    if not installed_majors():
        print("no PostgreSQL is installed")
        return EXIT_SKIPPED
    ends = [end for path in arguments.files
            for end in run_file(path, arguments.ferry.resolve(), arguments.only, shows_all=arguments.verbose)]
    if "failed" in ends:
        return 1
    if "held" not in ends:
        return EXIT_SKIPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
