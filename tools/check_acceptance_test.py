#!/usr/bin/env python3
"""Proves that check_acceptance.py finds each way in which the page of acceptance cases and the tests can differ."""
import unittest

from check_acceptance import NUMBERS, problems_of


def section(number: int, end: str) -> str:
    return f"## {number}. A case\n\nSource: something.\n{end}\n\n"


def test_name(number: int) -> str:
    return f"scenario_case_{number:02}_it"


class CheckAcceptanceTest(unittest.TestCase):
    def setUp(self) -> None:
        self.sections = {number: section(number, f"Test: `{test_name(number)}`") for number in NUMBERS}
        self.tests = {test_name(number) for number in NUMBERS} | {"another"}

    def problems(self) -> list[str]:
        return problems_of("# Cases\n\n" + "".join(self.sections.values()), self.tests)

    def test_a_page_that_fits(self) -> None:
        self.assertEqual(self.problems(), [])

    def test_a_case_that_is_missing(self) -> None:
        del self.sections[20]
        self.assertEqual(self.problems(), ["case 20 has no section", "the test scenario_case_20_it is in no section"])

    def test_a_case_that_is_none(self) -> None:
        self.sections[99] = section(99, "Test: `another`")
        self.assertIn("case 99 is not a number here", self.problems())

    def test_a_case_that_stands_twice(self) -> None:
        self.sections[99] = self.sections[1]
        self.assertEqual(self.problems(), ["case 1 has two sections"])

    def test_a_test_that_is_gone(self) -> None:
        self.tests.remove(test_name(7))
        self.assertEqual(self.problems(), [f"case 7: there is no test {test_name(7)}"])

    def test_a_case_without_a_test(self) -> None:
        self.sections[7] = section(7, "Not yet.")
        self.assertIn("case 7 names no test", self.problems())

    def test_a_test_without_the_number(self) -> None:
        self.sections[7] = section(7, "Test: `another`")
        self.assertIn("no test of case 7 has the number in its name", self.problems())


if __name__ == "__main__":
    unittest.main()
