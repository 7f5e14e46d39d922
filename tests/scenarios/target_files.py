"""What a scenario sees of the target: names with their times taken out, CSV text, facts of Parquet footers."""
from __future__ import annotations

import gzip
import re
from pathlib import Path

import pyarrow.parquet

CHANGE_NAME = re.compile(r"\d{8}-\d{9}(?=\.(csv|csv\.gz|parquet)$)")


def is_change_file(path: Path) -> bool:
    return CHANGE_NAME.match(path.name) is not None


def table_files(folder: Path) -> list[Path]:
    """All files of a table's folder, those of loads first, then those of changes in their order."""
    if not folder.is_dir():
        return []
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    return sorted(files, key=lambda path: (is_change_file(path), path.name))


def abstract_name(path: Path, folder: Path) -> str:
    """The name below the table's folder; a change file's time is written <time>."""
    relative = path.relative_to(folder)
    return str(relative.with_name(CHANGE_NAME.sub("<time>", path.name)))


def csv_text(files: list[Path]) -> str:
    texts = []
    for path in files:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        texts.append(data.decode("utf-8", errors="backslashreplace"))
    return "".join(texts)


def contents(root: Path) -> dict[str, bytes]:
    """Every file below `root`, and every empty folder, for comparing before with after."""
    if not root.exists():
        return {}
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    found |= {f"{path.relative_to(root)}/": b"" for path in root.rglob("*") if path.is_dir() and not any(path.iterdir())}
    return found


def parquet_facts(files: list[Path]) -> list[str]:
    """Lines about the Parquet files of one table: per file its row groups and codecs, then what the columns are."""
    lines = []
    for path in files:
        footer = pyarrow.parquet.ParquetFile(path)
        groups = [footer.metadata.row_group(index) for index in range(footer.metadata.num_row_groups)]
        chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
        codecs = sorted({chunk.compression for chunk in chunks})
        has_dictionary = any(chunk.has_dictionary_page for chunk in chunks)
        has_statistics = any(chunk.is_stats_set for chunk in chunks)
        lines.append(f"rows {' '.join(str(group.num_rows) for group in groups)}")
        lines.append(f"codec {' '.join(codecs)}, version {footer.metadata.format_version}, "
                     f"{'with' if has_dictionary else 'without'} dictionary, "
                     f"{'with' if has_statistics else 'without'} statistics")
        for index in range(len(footer.schema)):
            column = footer.schema.column(index)
            kind = column.physical_type
            if column.length > 0:
                kind += f"({column.length})"
            if column.converted_type not in (None, "NONE"):
                kind += f" {column.converted_type}"
            if column.converted_type == "DECIMAL":
                kind += f"({column.precision},{column.scale})"
            need = "optional" if column.max_definition_level else "required"
            lines.append(f"{need} {column.name} {kind}")
    return lines
