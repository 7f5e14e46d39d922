"""When a soak ends Ferry: at random times and places for long runs, or once at every failpoint for short ones."""
from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

FAILPOINT_PROBABILITY = 0.5  # of a kill being left to a failpoint
FAILPOINT_PASSES_MAX = 5  # a failpoint strikes when it is passed for the 1st to 5th time
# How long Ferry lives before a kill: through part of a load, of the catch-up, of steady CDC.
LIVES_S = ((0.1, 1.5), (1.5, 8.0), (8.0, 25.0))
REACHED_DEADLINE_S = 60  # a failpoint that must be reached

OF_AN_OBJECT = ("before_object_intent", "after_object_intent", "before_object_publish", "after_object_publish",
                "before_object_done", "after_object_done")
# In the order in which one copy passes them, so that one copy can die at all of them, one after another.
OF_A_LOAD = ("before_capture_prepared", "after_capture_prepared", "before_start_stored", "after_start_stored",
             "before_table_loading", "after_table_loading", "during_table_load", *OF_AN_OBJECT, "before_table_loaded",
             "after_table_loaded", "before_load_finished", "after_load_finished")
# The first that shows that the load is over.
FIRST_OF_CHANGES = ("before_stream_start",)
# Passed only by a task that was asked to stop.
OF_A_STOP = ("before_final_state",)


@dataclass(frozen=True)
class Life:
    """One start of Ferry and its end: at a failpoint, or after `time_s` from outside.

    `required`: not reaching the failpoint in time fails the run. `stopped`: Ferry follows the changes and is then
    asked to stop, and the failpoint is on its way to that.
    """

    time_s: float
    failpoint: str = ""  # name or name:nth
    required: bool = False
    stopped: bool = False


class KillPlan(Protocol):
    """The lives of Ferry in one round, before the last, which nobody ends."""

    def lives(self) -> Iterator[Life]: ...


@dataclass(frozen=True)
class RandomKills:
    """Short and long lives in a mixture, until the round's time is over."""

    source: random.Random
    failpoints: list[str]
    duration_s: float

    def __str__(self) -> str:
        return f"random kills for {self.duration_s:.0f} s"

    def lives(self) -> Iterator[Life]:
        end = time.monotonic() + self.duration_s
        while time.monotonic() < end:
            shortest, longest = self.source.choice(LIVES_S)
            life_s, failpoint = self.source.uniform(shortest, longest), ""
            if self.failpoints and self.source.random() < FAILPOINT_PROBABILITY:
                failpoint = f"{self.source.choice(self.failpoints)}:{self.source.randint(1, FAILPOINT_PASSES_MAX)}"
            yield Life(life_s, failpoint)


@dataclass(frozen=True)
class EachFailpoint:
    """One copy that dies at some failpoints, one after another."""

    failpoints: tuple[str, ...]

    def __str__(self) -> str:
        return f"a death at each of {', '.join(self.failpoints)}"

    def lives(self) -> Iterator[Life]:
        for failpoint in self.failpoints:
            yield Life(REACHED_DEADLINE_S, failpoint, required=True, stopped=failpoint in OF_A_STOP)


def failpoint_groups(failpoints: list[str]) -> dict[str, EachFailpoint]:
    """Shares out all failpoints to a copy that dies during its load and one that dies while it follows changes.

    Those of objects belong to both. One that is new and not listed above counts as one of changes.
    """
    listed = (*OF_A_LOAD, *FIRST_OF_CHANGES, *OF_A_STOP)
    others = tuple(name for name in failpoints if name not in listed)
    changes = (*FIRST_OF_CHANGES, *OF_AN_OBJECT, *others, *OF_A_STOP)
    return {group: EachFailpoint(tuple(name for name in names if name in failpoints))
            for group, names in (("load", OF_A_LOAD), ("changes", changes))}
