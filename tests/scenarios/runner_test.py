"""Tests of the scenario runner itself: that it reads what README.md describes, and that it fails where it should."""
from __future__ import annotations

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from scenario import merged, require_lines, session_words, Unexpected  # noqa: E402
from scenario_file import ScenarioFileError, read_commands, read_scenarios  # noqa: E402
from source_sessions import split_statements  # noqa: E402
from target_files import abstract_name, contents, csv_text, table_files  # noqa: E402


class ScenarioFileTest(unittest.TestCase):
    def test_a_body_keeps_its_inner_blank_lines_and_its_blanks(self) -> None:
        commands = read_commands("source\n    a \n\n      b\n\nrun until loaded\n# a comment\n")
        self.assertEqual([(command.verb, command.rest) for command in commands],
                         [("source", ""), ("run", "until loaded")])
        self.assertEqual(commands[0].body, "a \n\n  b\n")

    def test_commands_before_the_first_scenario_begin_each(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.test"
            path.write_text("server 15\nscenario One\nkill\nscenario Two\nstop\n", encoding="utf-8")
            scenarios = read_scenarios(path)
            self.assertEqual([[command.verb for command in scenario.commands] for scenario in scenarios],
                             [["server", "kill"], ["server", "stop"]])
            path.write_text("server 15\n", encoding="utf-8")
            with self.assertRaisesRegex(ScenarioFileError, "no scenario"):
                read_scenarios(path)

    def test_refuses_lines_that_are_neither(self) -> None:
        for text in ("    body first\n", "source\n  two blanks\n", "source\n\ttab\n"):
            with self.assertRaises(ScenarioFileError):
                read_commands(text)


class WordsTest(unittest.TestCase):
    def test_statements_end_with_a_line_outside_of_dollar_quotes(self) -> None:
        self.assertEqual(split_statements("A;\nDO $$\nB;\nEND $$;\nC; D;\nE"),
                         ["A;\n", "DO $$\nB;\nEND $$;\n", "C; D;\n", "E"])

    def test_documents_are_merged_member_by_member(self) -> None:
        self.assertEqual(merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": None, "e": 4}, "d": [5]}),
                         {"a": {"c": 2, "e": 4}, "d": [5]})

    def test_sessions_have_names_and_databases(self) -> None:
        self.assertEqual(session_words("source", ""), ("", ""))
        self.assertEqual(session_words("source", "as s"), ("s", ""))
        self.assertEqual(session_words("source", "as s in d"), ("s", "d"))
        self.assertEqual(session_words("source", "in d"), ("", "d"))
        with self.assertRaises(Unexpected):
            session_words("source", "SELECT 1")

    def test_a_missing_line_is_named(self) -> None:
        require_lines("it", "one\ntwo\n", "two\n")
        with self.assertRaisesRegex(Unexpected, "three"):
            require_lines("it", "one\ntwo\n", "two\nthree\n")


class TargetFilesTest(unittest.TestCase):
    def test_loads_come_before_changes_and_names_lose_their_times(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file, text in {"20240101-000000001.csv": "I,2\n", "LOAD00000001.csv": "1\n",
                               "20230101-000000001.csv": "I,1\n"}.items():
                (folder / file).write_text(text, encoding="utf-8")
            files = table_files(folder)
            self.assertEqual([abstract_name(file, folder) for file in files],
                             ["LOAD00000001.csv", "<time>.csv", "<time>.csv"])
            self.assertEqual(csv_text(files), "1\nI,1\nI,2\n")

    def test_contents_see_files_and_empty_folders(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self.assertEqual(contents(folder / "missing"), {})
            (folder / "a" / "b").mkdir(parents=True)
            self.assertEqual(contents(folder), {"a/b/": b""})
            (folder / "a" / "b" / "f").write_bytes(b"x")
            self.assertEqual(contents(folder), {"a/b/f": b"x"})


if __name__ == "__main__":
    unittest.main()
