#!/usr/bin/env python3
"""A Parquet file that Ferry writes has the footer of the file that AWS DMS wrote from the same columns.

tests/data/dms_footer.txt has the facts of that file, and the settings it was made with.

    footer_test.py [--ferry build/ferry]
"""
from __future__ import annotations

import argparse
import json
import sys
import tempfile
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import psycopg  # noqa: E402
import pyarrow.parquet  # noqa: E402

from ferry_command import FerryCommand  # noqa: E402
from ferry_process import current_wal_position, has_confirmed  # noqa: E402
from parquet_form import Form, form_of_column, form_of_type  # noqa: E402
from postgres_server import PASSWORD, USER, PostgresServer, installed_majors  # noqa: E402

FOOTER = REPOSITORY / "tests" / "data" / "dms_footer.txt"
SKIPPED = 77
NONE = "-"
# The columns' types on the source, where their names do not say them.
SOURCE_TYPES = {"id": "bigint", "my_numeric": "numeric(15,2)", "my_double": "double precision"}
OPERATION = Form("required", "BYTE_ARRAY", "UTF8")
CREATED_BY = "Ferry"  # The one difference that is meant.

ferry = REPOSITORY / "build" / "ferry"


class Footer:
    """The facts of a footer: some of the whole file, and those of each column in its order."""

    def __init__(self) -> None:
        self.facts: dict[str, str] = {}
        self.columns: dict[str, Form] = {}
        self.dms_types: dict[str, str] = {}

    @classmethod
    def of_dms(cls) -> Footer:
        footer = cls()
        for line in FOOTER.read_text(encoding="utf-8").splitlines():
            if not line or line.startswith("#"):
                continue
            key, *words = line.split(" ")
            if key != "column":
                footer.facts[key] = " ".join(words)
                continue
            name, repetition, physical, converted, precision, scale, length, dms_type = words
            footer.columns[name] = Form(repetition, physical, "NONE" if converted == NONE else converted,
                                        *(0 if word == NONE else int(word) for word in (precision, scale, length)))
            if dms_type != NONE:
                footer.dms_types[name] = dms_type
        return footer

    @classmethod
    def of_file(cls, path: Path) -> Footer:
        footer, file = cls(), pyarrow.parquet.ParquetFile(path)
        metadata = file.metadata
        # "required group field_id=-1 schema {" is the first of the lines that describe the columns.
        root = next(line.split() for line in str(file.schema).splitlines() if "group" in line)
        codecs = {metadata.row_group(group).column(column).compression.lower()
                  for group in range(metadata.num_row_groups) for column in range(metadata.num_columns)}
        footer.facts = {
            "created_by": metadata.created_by, "version": metadata.format_version.split(".")[0], "root": root[3],
            "root_repetition": root[0], "key_value_metadata": "none" if metadata.metadata is None else "some",
            "codec": " ".join(codecs)}
        footer.columns = {column.name: form_of_column(column)
                          for column in (file.schema.column(at) for at in range(len(file.schema)))}
        return footer


class FooterTest(unittest.TestCase):
    def setUp(self) -> None:
        self.dms = Footer.of_dms()
        self.server = PostgresServer(15 if 15 in installed_majors() else installed_majors()[-1])
        self.addCleanup(self.server.close)
        self.server.start()
        folder = tempfile.TemporaryDirectory(prefix="footer-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        columns = ", ".join(f"{name} {SOURCE_TYPES.get(name, name.removeprefix('my_'))}" for name in self.dms.dms_types)
        self.server.sql(f"CREATE TABLE t ({columns}, PRIMARY KEY (id)); INSERT INTO t (id) VALUES (1)")

    def write_files(self) -> list[Path]:
        document = self.folder / "task.json"
        document.write_text(json.dumps({
            "SourceEndpoint": {"EngineName": "postgres", "ServerName": "127.0.0.1", "Port": self.server.port,
                               "Username": USER, "Password": PASSWORD, "DatabaseName": "postgres",
                               "PostgreSQLSettings": {"MapBooleanAsBoolean": True}},
            "TargetEndpoint": {"EngineName": "s3", "EndpointUrl": f"file://{self.folder / 'target'}", "S3Settings": {
                "BucketName": "b", "DataFormat": "parquet", "ParquetVersion": "parquet-2-0", "EncodingType": "plain",
                "ParquetTimestampInMillisecond": True, "TimestampColumnName": "DMS_TIMESTAMP",
                "CdcMaxBatchInterval": 1}},
            "ReplicationTask": {
                "ReplicationTaskIdentifier": "footer", "MigrationType": "full-load-and-cdc",
                "TableMappings": {"rules": [{
                    "rule-type": "selection", "rule-id": "1", "rule-name": "1", "rule-action": "include",
                    "object-locator": {"schema-name": "public", "table-name": "t"}}]}}}), encoding="utf-8")
        run = FerryCommand(ferry, ["run", document, "--state", self.folder / "state"], folder=self.folder)
        self.addCleanup(run.kill)
        run.wait_for_output("following changes")
        with psycopg.connect(self.server.dsn()) as connection:
            connection.execute("INSERT INTO t (id) VALUES (2)")
            connection.commit()
            position = current_wal_position(connection)
            run.wait_until(lambda: has_confirmed(connection, position), "the change in a file")
        run.stop()
        return sorted((self.folder / "target" / "b" / "public" / "t").iterdir())

    def test_load_and_changes_have_the_footer_of_dms(self) -> None:
        files = self.write_files()
        self.assertEqual(len(files), 2, files)
        for path in files:
            footer = Footer.of_file(path)
            with self.subTest(path.name):
                self.assertEqual(footer.facts, self.dms.facts | {"created_by": CREATED_BY})
                wanted = list(self.dms.columns.items())
                if not path.name.startswith("LOAD"):
                    wanted.insert(0, ("Op", OPERATION))
                self.assertEqual(list(footer.columns.items()), wanted)


class FormsTest(unittest.TestCase):
    def test_the_types_matrix_expects_the_forms_of_dms(self) -> None:
        dms = Footer.of_dms()
        for name, dms_type in dms.dms_types.items():
            wanted = form_of_type(dms_type)
            if dms_type.startswith("DATETIME"):  # In milliseconds here.
                wanted = Form("optional", "INT64", "TIMESTAMP_MILLIS")
            self.assertEqual(dms.columns[name], wanted, name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--ferry", type=Path, default=ferry)
    arguments, rest = parser.parse_known_args()
    ferry = arguments.ferry.resolve()
    if not installed_majors():
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *rest])
