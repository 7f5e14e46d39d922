#!/usr/bin/env python3
"""Tests that a soak's plan depends on its seed alone."""
from __future__ import annotations

import random
import re
import sys
import unittest
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import soak_writers  # noqa: E402

ROWS = 10_000
TRANSACTIONS = 300


class Recorder:
    """Stands in for a connection and its cursor and writes down what they are given."""

    def __init__(self) -> None:
        self.statements: list[Any] = []

    def execute(self, statement: str, parameters: Any = None) -> None:
        self.statements.append((statement, parameters))

    def commit(self) -> None:
        self.statements.append("commit")

    def rollback(self) -> None:
        self.statements.append("rollback")


def plan(seed: int, number: int, *, renames: bool = False) -> list[Any]:
    gate = soak_writers.Gate()
    gate.may_rename_tables = renames
    writer = soak_writers.Writer("", seed, number, 4, ROWS, gate, ddl=0.1)
    recorder = Recorder()
    for _ in range(TRANSACTIONS):
        writer._transaction(recorder, recorder)  # type: ignore[arg-type]
    return recorder.statements


class Plan(unittest.TestCase):
    def test_same_seed_same_plan(self) -> None:
        self.assertEqual(plan(7, 0), plan(7, 0))

    def test_other_seed_or_writer_other_plan(self) -> None:
        self.assertNotEqual(plan(7, 0), plan(8, 0))
        self.assertNotEqual(plan(7, 0), plan(7, 1))

    def test_tables_are_renamed_when_they_may_be_and_the_rest_stays(self) -> None:
        fixed = [str(each) for each in plan(7, 0)]
        renamed = [str(each) for each in plan(7, 0, renames=True) if "RENAME TO" not in str(each)]
        self.assertNotIn("_renamed", "".join(each for each in fixed if "moving" in each))
        self.assertIn("INSERT INTO soak.moving_0_renamed2", "".join(renamed))
        self.assertEqual([re.sub(r"moving_0\w*", "moving_0", each) for each in renamed], fixed)

    def test_plan_has_everything(self) -> None:
        statements = plan(7, 0)
        self.assertIn("rollback", statements)
        self.assertIn(("ROLLBACK TO SAVEPOINT inner_work", None), statements)


class LiveKeys(unittest.TestCase):
    def test_undo_restores_the_keys(self) -> None:
        keys = soak_writers.LiveKeys(list(range(20)))
        source = random.Random(1)
        mark = keys.mark()
        for new in range(100, 150):
            keys.add(new)
            keys.remove(keys.choose(source))
        keys.undo_to(mark)
        self.assertEqual(len(keys), 20)
        self.assertEqual({keys.choose(source) for _ in range(1000)}, set(range(20)))


if __name__ == "__main__":
    unittest.main()
