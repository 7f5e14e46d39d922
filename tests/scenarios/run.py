#!/usr/bin/env python3
"""Runs scenario files against throw-away PostgreSQL servers; README.md describes their form.

    run.py [--ferry build/ferry] [--only TITLE] [--major 13] [--parallel 4] FILE.test…

Exits with 0 when all scenarios hold, with 1 when one does not, with 77 when the servers that a file needs are not
installed.
"""
from __future__ import annotations

import argparse
import queue
import sys
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

from postgres_server import installed_majors  # noqa: E402
from scenario import LeftOut, Scenery, run_scenario  # noqa: E402
from scenario_file import Scenario, read_scenarios  # noqa: E402

EXIT_SKIPPED = 77  # ctest's SKIP_RETURN_CODE


def run_one(scenario: Scenario, scenery: Scenery, path: Path, *, shows_all: bool) -> str:
    """Runs a scenario, prints a line, and returns its end: held, failed, left out."""
    started = time.monotonic()
    try:
        run_scenario(scenario, scenery, path)
        end, detail = "held", ""
    except LeftOut as error:
        end, detail = "left out", str(error)
    except Exception as error:  # Whatever it was, the other scenarios are to run too.
        end, detail = "failed", str(error) or repr(error)
        if shows_all or not isinstance(error, AssertionError | RuntimeError):
            detail = f"{type(error).__name__}: {detail}"
    text = f"{end:8} {time.monotonic() - started:6.2f} s  {path.name}: {scenario.title}\n"
    if detail:
        text += "  " + detail.replace("\n", "\n  ") + "\n"
    print(text, end="", flush=True)
    return end


def run_all(arguments: argparse.Namespace) -> list[str]:
    """Runs the files' scenarios in as many threads as were asked for, each with servers of its own."""
    waiting: queue.SimpleQueue[tuple[Path, Scenario]] = queue.SimpleQueue()
    for path in arguments.files:
        for scenario in read_scenarios(path):
            if arguments.only in scenario.title:
                waiting.put((path, scenario))
    ends: list[str] = []

    def work() -> None:
        with Scenery(arguments.ferry.resolve(), arguments.major) as scenery:
            while not waiting.empty():
                try:
                    path, scenario = waiting.get_nowait()
                except queue.Empty:
                    return
                ends.append(run_one(scenario, scenery, path, shows_all=arguments.verbose))

    # The servers and Ferry end with the thread that started them, so each thread stays until its scenarios are over.
    threads = [threading.Thread(target=work) for _ in range(arguments.parallel)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferry", type=Path, default=REPOSITORY / "build" / "ferry")
    parser.add_argument("--only", default="", metavar="TITLE", help="only scenarios whose title contains this")
    parser.add_argument("--major", type=int, help="run on this PostgreSQL what needs no other (default: "
                        "each scenario on its own, which is 15 where it does not say otherwise)")
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="so many scenarios at once")
    parser.add_argument("--verbose", action="store_true", help="name the type of every failure")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.test")
    arguments = parser.parse_args()
    if not installed_majors() or (arguments.major and arguments.major not in installed_majors()):
        print(f"no PostgreSQL {arguments.major or ''} is installed".replace("  ", " "))
        return EXIT_SKIPPED
    ends = run_all(arguments)
    if "failed" in ends:
        return 1
    if "held" not in ends:
        return EXIT_SKIPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
