#!/usr/bin/env python3
"""Fails when the map of folders in ARCHITECTURE.md and the tree differ.

The map is the fenced block that opens with ```map. Each line is a folder, with its path from the repository's
root and a '/' at its end, and the folder's purpose on the same line. A path that ends in '/**' stands for the
folder and all below it. Every folder that holds a file must be in the map, and every folder in the map must
hold one, itself or further below. Files that git ignores do not count.
"""

import argparse
import os
import pathlib
import subprocess
import sys

NOT_OURS = {".git", ".deps", "build", "__pycache__"}


def files_of(root: pathlib.Path) -> list[pathlib.PurePosixPath]:
    """The project's files, committed or not; in an unpacked archive without git, all but what is made."""
    listing = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    if (root / ".git").exists() and listing.returncode == 0:
        names = filter(None, listing.stdout.split("\0"))
        # A file deleted but not yet committed as such is still listed.
        return [pathlib.PurePosixPath(name) for name in names if (root / name).exists()]
    files = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in NOT_OURS and not name.startswith("build-")]
        here = pathlib.PurePosixPath(pathlib.Path(folder).relative_to(root))
        files += [here / name for name in names]
    return files


def read_map(text: str) -> tuple[dict[str, str], list[str]]:
    """The map's folders with their purposes, and what is wrong with its lines."""
    folders: dict[str, str] = {}
    wrong = []
    inside = False
    for line in text.splitlines():
        if line.strip() == "```map":
            inside = True
        elif inside and line.startswith("```"):
            inside = False
        elif inside and line.strip():
            path, _, purpose = line.strip().partition(" ")
            if not path.endswith(("/", "/**")):
                wrong.append(f"'{path}' does not end in '/': each line starts with a folder")
            elif path in folders:
                wrong.append(f"'{path}' is in the map twice")
            elif not purpose.strip():
                wrong.append(f"'{path}' has no purpose beside it")
            else:
                folders[path] = purpose.strip()
    if not folders and not wrong:
        wrong.append("there is no map: a fenced block that opens with ```map")
    return folders, wrong


def compare(folders: dict[str, str], files: list[pathlib.PurePosixPath]) -> list[str]:
    holding = {f"{file.parent}/" for file in files if str(file.parent) != "."}
    with_files_below = {f"{parent}/" for file in files for parent in file.parents if str(parent) != "."}
    whole = tuple(path.removesuffix("**") for path in folders if path.endswith("/**"))
    missing = [
        f"'{folder}' holds files but is not in the map"
        for folder in sorted(holding)
        if folder not in folders and not folder.startswith(whole)
    ]
    stale = [
        f"'{path}' is in the map but holds no file"
        for path in folders
        if path.removesuffix("**") not in with_files_below
    ]
    return missing + stale


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1])
    root = parser.parse_args().root
    folders, wrong = read_map((root / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    wrong += compare(folders, files_of(root))
    for line in wrong:
        print(f"ARCHITECTURE.md: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
