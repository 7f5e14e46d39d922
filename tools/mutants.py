#!/usr/bin/env python3
"""Breaks the code on purpose, one way after another, and sees that a test fails each time.

Each patch in tests/mutations is one mutation. Above its diff it says what it breaks and which tests are to notice,
each a test program's CMake target and a filter of its cases:

    What: The source is acknowledged before the checkpoint is stored.
    Test: engine_memory_test *AcknowledgesOnlyStoredCheckpoints*

The working tree is copied to build/mutants/source and built in build/mutants/build, so the tree itself is never
touched, and a second run builds only what has changed since. The tests must be green before the first mutation. A
mutation is caught when one of its tests is red. One that survives, does not apply or does not build fails the run.
"""
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PATCHES = REPOSITORY / "tests" / "mutations"
WORK = REPOSITORY / "build" / "mutants"
SOURCE = WORK / "source"
BUILD = WORK / "build"
LOG = WORK / "mutants.log"
TEST_DEADLINE_S = 600
CAUGHT, SURVIVED = "caught", "SURVIVED"


class MutantsError(Exception):
    """The run itself cannot go on or says nothing: no build, a red test without a mutation, a bad patch."""


@dataclass(frozen=True)
class Test:
    """Some cases of one GoogleTest program."""

    target: str
    cases: str

    def __str__(self) -> str:
        return f"{self.target} {self.cases}"


@dataclass(frozen=True)
class Mutation:
    name: str
    what: str
    tests: tuple[Test, ...]
    patch: Path


def read_mutation(patch: Path) -> Mutation:
    what, tests = "", []
    for line in patch.read_text().splitlines():
        if line.startswith(("diff ", "--- ")):
            break
        key, _, value = line.partition(": ")
        if key == "What":
            what = value
        elif key == "Test":
            target, _, cases = value.partition(" ")
            tests.append(Test(target, cases or "*"))
    if not what or not tests:
        raise MutantsError(f"{patch}: there is no 'What:' or no 'Test:' above the diff")
    return Mutation(patch.stem, what, tuple(tests), patch)


def run(command: list[str | Path], **options: object) -> subprocess.CompletedProcess[str]:
    with LOG.open("a") as log:
        log.write(f"\n$ {' '.join(str(word) for word in command)}\n")
        log.flush()
        return subprocess.run(command, stdout=log, stderr=log, text=True, check=False, **options)  # type: ignore


def copy_if_other(name: str) -> None:
    """Leaves an equal file alone, so that its time says nothing new to the build."""
    original, copy = REPOSITORY / name, SOURCE / name
    if copy.exists() and copy.read_bytes() == original.read_bytes():
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(original, copy)
    shutil.copymode(original, copy)


def copy_working_tree() -> None:
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY,
                            capture_output=True, text=True, check=True).stdout
    names = {name for name in listed.split("\0") if name and (REPOSITORY / name).is_file()}
    SOURCE.mkdir(parents=True, exist_ok=True)
    for folder, _, files in os.walk(SOURCE):
        for file in files:
            path = Path(folder) / file
            if str(path.relative_to(SOURCE)) not in names:
                path.unlink()
    for name in names:
        copy_if_other(name)
    if not (SOURCE / ".deps").exists():
        (SOURCE / ".deps").symlink_to(REPOSITORY / ".deps")


def configure() -> None:
    if (BUILD / "build.ninja").exists():
        return
    # Without optimization: what counts is how soon a mutation is built.
    done = run(["cmake", "-S", SOURCE, "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
                "-DCMAKE_CXX_FLAGS_DEBUG=-O0", f"-DFerry_PYTHON={REPOSITORY / '.deps' / 'venv' / 'bin' / 'python'}"])
    if done.returncode != 0:
        raise MutantsError(f"CMake failed; see {LOG}")


def build(targets: set[str], jobs: int) -> bool:
    return run(["cmake", "--build", BUILD, "--parallel", str(jobs), "--target", *sorted(targets)]).returncode == 0


def is_green(test: Test) -> bool:
    programs = [path for path in BUILD.rglob(test.target) if path.is_file() and os.access(path, os.X_OK)]
    if len(programs) != 1:
        raise MutantsError(f"{test.target} is not one test program")
    try:
        done = run([programs[0], f"--gtest_filter={test.cases}", "--gtest_fail_fast"], timeout=TEST_DEADLINE_S)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def has_cases(test: Test) -> bool:
    program = next(path for path in BUILD.rglob(test.target) if path.is_file())
    listed = subprocess.run([program, "--gtest_list_tests", f"--gtest_filter={test.cases}"], capture_output=True,
                            text=True, check=True).stdout
    return any(line.startswith("  ") for line in listed.splitlines())


def apply(mutation: Mutation) -> list[str]:
    """Returns the files it changed."""
    # Git must not find the repository around the copy, or it would leave out what is not its own.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(WORK)}
    listed = subprocess.run(["git", "apply", "--numstat", mutation.patch], cwd=SOURCE, env=environment, text=True,
                            capture_output=True, check=False)
    done = run(["git", "apply", "-C1", "--recount", mutation.patch], cwd=SOURCE, env=environment)
    if listed.returncode != 0 or done.returncode != 0:
        raise MutantsError(f"{mutation.patch.name} does not apply: the code it breaks has changed, so write it anew")
    return [line.split("\t")[2] for line in listed.stdout.splitlines()]


def judge(mutation: Mutation, jobs: int) -> tuple[str, str]:
    """Returns the verdict and the test that caught it."""
    files = apply(mutation)
    try:
        if not build({test.target for test in mutation.tests}, jobs):
            raise MutantsError(f"{mutation.patch.name} does not build; see {LOG}")
        for test in mutation.tests:
            if not is_green(test):
                return CAUGHT, str(test)
        return SURVIVED, ", ".join(str(test) for test in mutation.tests)
    finally:
        for file in files:
            copy_if_other(file)


def require_green(mutations: list[Mutation], jobs: int) -> None:
    tests = sorted({test for mutation in mutations for test in mutation.tests}, key=str)
    if not build({test.target for test in tests}, jobs):
        raise MutantsError(f"the tests do not build without a mutation; see {LOG}")
    for test in tests:
        if not has_cases(test):
            raise MutantsError(f"{test} matches no case")
        if not is_green(test):
            raise MutantsError(f"{test} is red without a mutation; see {LOG}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="mutation", help="file names without .patch (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="how many compilers at once (default %(default)s)")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    WORK.mkdir(parents=True, exist_ok=True)
    LOG.unlink(missing_ok=True)
    try:
        mutations = [read_mutation(patch) for patch in sorted(PATCHES.glob("*.patch"))
                     if not arguments.names or patch.stem in arguments.names]
        if not mutations:
            raise MutantsError(f"no such mutation in {PATCHES}")
        copy_working_tree()
        configure()
        started = time.monotonic()
        require_green(mutations, arguments.jobs)
        print(f"all tests are green without a mutation ({time.monotonic() - started:.0f} s)", flush=True)
        caught = 0
        width = max(len(mutation.name) for mutation in mutations)
        for mutation in mutations:
            started = time.monotonic()
            try:
                verdict, by = judge(mutation, arguments.jobs)
            except MutantsError as error:
                verdict, by = "NOT TRIED", str(error)
            caught += verdict == CAUGHT
            print(f"{mutation.name:{width}}  {verdict:9}  {time.monotonic() - started:4.0f} s  {by}", flush=True)
    except MutantsError as error:
        print(error)
        return 1
    print(f"{caught} of {len(mutations)} mutations were caught")
    return 0 if caught == len(mutations) else 1


if __name__ == "__main__":
    sys.exit(main())
