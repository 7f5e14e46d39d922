#!/usr/bin/env python3
"""Every error kind of src/base/error.cc has its line in docs/errors.md, with the same exit code, and no other has."""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
IN_CODE = re.compile(r'ErrorKindFacts\{k\w+, "(\w+)", (\d+), k\w+\}')
IN_DOCS = re.compile(r"^\| (\d+) \| `(\w+)` \| .+ \| .+ \|$", re.MULTILINE)


class ErrorsDocumented(unittest.TestCase):
    def test_code_and_docs_agree(self) -> None:
        code = {name: int(number) for name, number in IN_CODE.findall((ROOT / "src/base/error.cc").read_text())}
        docs = {name: int(number) for number, name in IN_DOCS.findall((ROOT / "docs/errors.md").read_text())}
        self.assertGreater(len(code), 20)
        self.assertEqual(code, docs)
        self.assertEqual(len(set(code.values())), len(code), "an exit code stands twice")
        self.assertTrue(all(1 <= number <= 125 for number in code.values()))


if __name__ == "__main__":
    unittest.main()
