#!/usr/bin/env python3
"""Proves that check_map.py finds each way in which the map and the tree can differ."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK_MAP = pathlib.Path(__file__).with_name("check_map.py")
GOOD_MAP = """\
src/          the sources
src/base/     what knows nothing of the rest
tests/data/** what tests read
"""


class CheckMapTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = pathlib.Path(temporary.name)
        for file in ("README.md", "src/base/error.h", "tests/data/csv/plain.csv", "build/made.o"):
            self.add(file)

    def add(self, file: str) -> None:
        (self.root / file).parent.mkdir(parents=True, exist_ok=True)
        (self.root / file).touch()

    def check(self, folders: str) -> str:
        """What check_map.py complains about; empty where it is content."""
        text = f"# Architecture\n\n```\nno/map/\n```\n\n```map\n{folders}```\n"
        (self.root / "ARCHITECTURE.md").write_text(text, encoding="utf-8")
        command = [sys.executable, str(CHECK_MAP), "--root", str(self.root)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1 if done.stderr else 0, done.stderr)
        return done.stderr

    def test_accepts_a_map_that_fits(self) -> None:
        self.assertEqual(self.check(GOOD_MAP), "")

    def test_finds_a_folder_that_is_not_in_the_map(self) -> None:
        self.add("src/engine/task.cc")
        self.assertIn("'src/engine/' holds files but is not in the map", self.check(GOOD_MAP))

    def test_finds_a_folder_that_is_gone(self) -> None:
        self.assertIn("'src/api/' is in the map but holds no file", self.check(GOOD_MAP + "src/api/  the API\n"))

    def test_finds_a_folder_without_a_purpose(self) -> None:
        self.assertIn("'src/base/' has no purpose", self.check("src/  the sources\nsrc/base/\ntests/data/**  data\n"))

    def test_finds_a_folder_named_twice(self) -> None:
        self.assertIn("'src/base/' is in the map twice", self.check(GOOD_MAP + "src/base/  again\n"))

    def test_finds_a_second_line_of_a_purpose(self) -> None:
        self.assertIn("'of' does not end in '/'", self.check(GOOD_MAP + "              of all kinds\n"))

    def test_finds_that_there_is_no_map(self) -> None:
        self.assertIn("there is no map", self.check(""))

    def test_leaves_out_what_git_ignores(self) -> None:
        subprocess.run(["git", "init", "-q", str(self.root)], check=True)
        self.assertIn("'build/' holds files", self.check(GOOD_MAP))
        (self.root / ".gitignore").write_text("/build/\n", encoding="utf-8")
        self.assertEqual(self.check(GOOD_MAP), "")


if __name__ == "__main__":
    unittest.main()
