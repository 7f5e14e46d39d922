#!/usr/bin/env python3
"""Fails when a file of one layer includes a header of a layer it may not use.

The allowed layers come from cmake/FerryBuild.cmake, the one statement of the layering. Only includes in
quotes are Ferry's own; they are written with the path from src/.
"""
import argparse
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folders", type=pathlib.Path, nargs="+", required=True)
    parser.add_argument("--layer", required=True)
    parser.add_argument("--may-use", default="", help="layers, separated by ';'")
    arguments = parser.parse_args()
    allowed = {arguments.layer, *filter(None, arguments.may_use.split(";"))}

    wrong = []
    for path in sorted(path for folder in arguments.folders for path in folder.glob("*")):
        if path.suffix not in (".h", ".cc"):
            continue
        # Tests may use the layer's friends in tests/support, and servertests anything they start.
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            found = INCLUDE.match(line)
            if not found:
                continue
            top = found.group(1).split("/")[0]
            if top == "tests" and re.search(r"_(test|servertest)\.cc$", path.name):
                continue
            # A connector never includes another connector: the registry alone knows them all.
            if arguments.layer == "connectors" and top == "connectors":
                owner = path.resolve().parent.name
                parts = found.group(1).split("/")
                if owner != "connectors" and parts[1] != owner:
                    wrong.append(f"{path}:{number}: includes another connector's {found.group(1)}")
                continue
            if top not in allowed:
                wrong.append(f"{path}:{number}: layer '{arguments.layer}' may not include {found.group(1)}")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
