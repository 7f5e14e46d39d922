#!/usr/bin/env python3
"""Tests that a short soak's plan leaves no failpoint out, and that a long one's depends on its seed alone."""
from __future__ import annotations

import random
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import soak_kills  # noqa: E402

FAILPOINTS = ["a_new_one", *soak_kills.OF_A_LOAD, *soak_kills.FIRST_OF_CHANGES, *soak_kills.OF_A_STOP]


class EachFailpoint(unittest.TestCase):
    def setUp(self) -> None:
        self.groups = {name: list(plan.lives()) for name, plan in soak_kills.failpoint_groups(FAILPOINTS).items()}

    def test_every_failpoint_is_required_somewhere(self) -> None:
        lives = [life for group in self.groups.values() for life in group]
        self.assertTrue(all(life.required for life in lives))
        self.assertEqual({life.failpoint for life in lives}, set(FAILPOINTS))

    def test_objects_are_killed_in_load_and_in_changes(self) -> None:
        for group in self.groups.values():
            self.assertLessEqual(set(soak_kills.OF_AN_OBJECT), {life.failpoint for life in group})

    def test_changes_begin_when_the_load_is_over_and_end_with_a_stop(self) -> None:
        changes = self.groups["changes"]
        self.assertIn(changes[0].failpoint, soak_kills.FIRST_OF_CHANGES)
        self.assertIn("a_new_one", [life.failpoint for life in changes])
        self.assertEqual([life.failpoint for life in changes if life.stopped], list(soak_kills.OF_A_STOP))
        self.assertTrue(changes[-1].stopped)

    def test_a_failpoint_that_the_program_does_not_have_is_left_out(self) -> None:
        groups = soak_kills.failpoint_groups(["before_acknowledge"])
        self.assertEqual(groups["load"].failpoints, ())
        self.assertEqual(groups["changes"].failpoints, ("before_acknowledge",))


class RandomKills(unittest.TestCase):
    def first_lives(self, seed: int) -> list[soak_kills.Life]:
        plan = soak_kills.RandomKills(random.Random(seed), FAILPOINTS, duration_s=60)
        return [life for life, _ in zip(plan.lives(), range(50))]

    def test_same_seed_same_lives(self) -> None:
        self.assertEqual(self.first_lives(3), self.first_lives(3))
        self.assertNotEqual(self.first_lives(3), self.first_lives(4))


if __name__ == "__main__":
    unittest.main()
