#!/usr/bin/env python3
"""A bucket gets the same objects as a folder, by the calls that are allowed and no others, and says what is wrong."""
from __future__ import annotations

import json
import subprocess
from pathlib import Path

from bucket_case import BUCKET, CSV, BucketCase, main
from s3_gateway import Fault, S3Gateway
from table_files import CHANGE_NAME


def changes_of(objects: dict[str, bytes], table: str) -> bytes:
    """The concatenation of a table's objects of changes in their order."""
    return b"".join(objects[key] for key in sorted(objects)
                    if key.startswith(f"public/{table}/") and CHANGE_NAME.fullmatch(key.rpartition("/")[2]))


def loads_of(objects: dict[str, bytes]) -> dict[str, bytes]:
    return {key: body for key, body in objects.items() if key.rpartition("/")[2].startswith("LOAD")}


class SameAsAFolderTest(BucketCase):
    def objects_of_folder(self, folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def check_load(self, *words: str) -> None:
        self.make_wide_table()
        self.server.sql("""CREATE TABLE "Größe & 50%+?" (id int PRIMARY KEY, note text);
                           INSERT INTO "Größe & 50%+?" VALUES (1, 'a,b'), (2, NULL);
                           CREATE TABLE empty (id int PRIMARY KEY)""")
        files = self.folder / "files"
        self.succeed(self.copy(f"file://{files}", *words))
        self.succeed(self.copy(f"s3://{BUCKET}", *words))
        self.assertEqual(self.s3.reader.objects(BUCKET), self.objects_of_folder(files))
        self.assertGreater(self.gateway.counts()["UploadPart"], 1)
        self.assertGreater(self.gateway.counts()["PutObject"], 1)
        self.require_clean_gateway()

    def test_csv_load(self) -> None:
        self.check_load(*CSV, "--set", "MaxFileSize=7000")

    def test_parquet_load(self) -> None:
        self.check_load("--format", "parquet", "--set", "parquetCompression=zstd")

    def test_changes(self) -> None:
        self.make_wide_table(rows=100)
        self.server.sql("CREATE TABLE small (id serial PRIMARY KEY, note text)")
        files = self.folder / "files"
        words = [*CSV, "--follow", "--set", "CdcMaxBatchInterval=2"]
        to_folder = self.copy(f"file://{files}", *words)
        to_bucket = self.copy(f"s3://{BUCKET}/", *words)
        for command in (to_folder, to_bucket):
            command.wait_for_output("following changes")
        # One object of changes is larger than a part, so it waits on disk until its key is known.
        self.insert_wide(1000, 8000)
        self.server.sql("UPDATE wide SET number = -1 WHERE id % 3 = 0; DELETE FROM wide WHERE id % 5 = 0")
        for number in range(5):
            self.server.sql(f"INSERT INTO small (note) VALUES ('{number}'); UPDATE small SET note = NULL WHERE id = {number}")
        self.wait_until_confirmed(to_folder, to_bucket, marker="INSERT INTO small (note) VALUES ('marker')")
        for command in (to_folder, to_bucket):
            command.stop()
        in_folder, in_bucket = self.objects_of_folder(files), self.s3.reader.objects(BUCKET)
        self.assertEqual(loads_of(in_bucket), loads_of(in_folder))
        for table in ("wide", "small"):
            self.assertTrue(changes_of(in_folder, table))
            self.assertEqual(changes_of(in_bucket, table), changes_of(in_folder, table), table)
        self.assertGreater(self.gateway.counts()["UploadPart"], 0)
        self.compare("wide", "small")
        self.require_clean_gateway()


class RequestsTest(BucketCase):
    def header_of(self, action: str, name: str) -> set[str | None]:
        return {call.headers.get(name) for call in self.gateway.calls if call.action == action}

    def test_attributes_are_on_every_new_object(self) -> None:
        """Each object's PUT shows encryption, key and ACL; the bucket's owner is on every call."""
        self.make_wide_table(rows=6000)
        self.server.sql("CREATE TABLE small (id int PRIMARY KEY); INSERT INTO small VALUES (1)")
        # The service need not know keys, ACLs and owners.
        for action in ("PutObject", "UploadPart"):
            self.gateway.inject(action, Fault.answer(200, ""), times=None)
        self.gateway.inject("CreateMultipartUpload", Fault.answer_body(
            200, "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"), times=None)
        self.gateway.inject("CompleteMultipartUpload", Fault.answer_body(200, "<CompleteMultipartUploadResult/>"), times=None)
        self.gateway.inject("DeleteObject", Fault.answer(204, ""), times=None)
        self.gateway.inject("ListObjectsV2", Fault.answer_body(200, "<ListBucketResult></ListBucketResult>"), times=None)
        self.gateway.inject("ListMultipartUploads", Fault.answer_body(200, "<ListMultipartUploadsResult/>"), times=None)
        document = self.document(EncryptionMode="sse-kms", ServerSideEncryptionKmsKeyId="arn:key",
                                CannedAclForObjects="bucket-owner-full-control", ExpectedBucketOwner="111122223333")
        self.succeed(self.start("run", document))
        for action in ("PutObject", "CreateMultipartUpload"):
            self.assertEqual(self.header_of(action, "x-amz-server-side-encryption"), {"aws:kms"}, action)
            self.assertEqual(self.header_of(action, "x-amz-server-side-encryption-aws-kms-key-id"), {"arn:key"})
            self.assertEqual(self.header_of(action, "x-amz-acl"), {"bucket-owner-full-control"})
        for action in self.gateway.counts():
            self.assertEqual(self.header_of(action, "x-amz-expected-bucket-owner"), {"111122223333"}, action)

    def refuse_encryption(self) -> None:
        for action in ("PutObject", "CreateMultipartUpload"):
            self.gateway.inject(action, Fault.answer(501, "NotImplemented"), times=None,
                                only=lambda call: "x-amz-server-side-encryption" in call.headers)

    def test_encryption_that_nobody_named_is_left_out(self) -> None:
        self.make_wide_table(rows=6000)
        self.refuse_encryption()
        command = self.start("run", self.document(CsvNullValue="\\N"))
        self.succeed(command)
        self.assertEqual(command.errors.count("refuses to encrypt"), 1, command.report())
        self.compare("wide")
        self.require_clean_gateway()

    def test_encryption_that_was_named_is_not_left_out(self) -> None:
        self.server.sql("CREATE TABLE small (id int PRIMARY KEY); INSERT INTO small VALUES (1)")
        self.refuse_encryption()
        command = self.start("run", self.document(EncryptionMode="SSE_S3"))
        self.assertIn("PutObject", self.fail_with(command, "target_unwritable"))
        self.assertEqual(self.s3.reader.keys(BUCKET), [])

    def test_case_28_tags_of_the_best_rule_are_on_loads_and_changes(self) -> None:
        self.make_wide_table(rows=6000)
        self.server.sql("CREATE TABLE small (id int PRIMARY KEY); INSERT INTO small VALUES (1)")
        path = self.document(CsvNullValue="\\N", CdcMaxBatchInterval=1)
        document = json.loads(path.read_text())
        document["ReplicationTask"]["MigrationType"] = "full-load-and-cdc"
        document["ReplicationTask"]["TableMappings"]["rules"] += [
            {"rule-type": "post-processing", "rule-id": number, "rule-name": number, "rule-action": "add-tag",
             "object-locator": {"schema-name": schema, "table-name": table}, "tag-set": tags}
            for number, schema, table, tags in (
                ("2", "%", "%", [{"key": "t", "value": "${table-name}"}, {"key": "a b+c", "value": "ä/${schema-name}"}]),
                ("3", "public", "small", [{"key": "k", "value": "v"}]))]
        path.write_text(json.dumps(document))
        command = self.start("run", path)
        command.wait_for_output("following changes")
        self.insert_wide(10000, 6000)
        self.wait_until_confirmed(command, marker="INSERT INTO small VALUES (2)")
        command.stop()
        self.assertGreater(self.gateway.counts()["CreateMultipartUpload"], 1)
        tags = {key: self.s3.reader.tags(BUCKET, key) for key in self.s3.reader.keys(BUCKET) if not key.endswith("/")}
        self.assertEqual(len(tags), 4)
        for key, found in tags.items():
            of_wide = {"t": "wide", "a b+c": "ä/public"}
            self.assertEqual(found, {"k": "v"} if "/small/" in key else of_wide, key)
        self.require_clean_gateway()

    def test_a_bucket_that_wants_a_digest_of_each_object_gets_it(self) -> None:
        self.make_wide_table(rows=6000)
        for action in ("PutObject", "UploadPart"):
            self.gateway.inject(action, Fault.answer_body(
                400, "<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is required for "
                     "Put Object requests with Object Lock parameters</Message></Error>"),
                times=None, only=lambda call: "content-md5" not in call.headers)
        self.succeed(self.copy(f"s3://{BUCKET}", *CSV))
        # The probe is told; all that follows knows.
        self.assertEqual([call.action for call in self.gateway.calls if call.action in ("PutObject", "UploadPart")
                          and "content-md5" not in call.headers], ["PutObject"])
        self.compare("wide")
        self.require_clean_gateway()

    def test_a_policy_of_three_rights_is_enough(self) -> None:
        """Those of docs/s3.md: to put, to delete and to list."""
        self.make_wide_table(rows=6000)
        self.s3.reader.begin_upload(BUCKET, "public/wide/LOAD00000001.csv")
        for action in ("AbortMultipartUpload", "ListMultipartUploads", "PutObjectTagging"):
            self.gateway.inject(action, Fault.answer(403, "AccessDenied"), times=None)
        self.succeed(self.copy(f"s3://{BUCKET}", *CSV))
        self.compare("wide")
        self.assertEqual(self.gateway.forbidden, [])
        self.assertEqual(self.gateway.counts()["ListMultipartUploads"], 1)

    def test_uploads_that_a_killed_run_left_are_removed(self) -> None:
        self.server.sql("CREATE TABLE small (id int PRIMARY KEY); INSERT INTO small VALUES (1)")
        for key in ("raw/public/small/LOAD00000007.csv", "raw/public/small/20260101-000000000.csv",
                    "raw/public/small/other.bin", "raw/public/small_too/LOAD00000001.csv"):
            self.s3.reader.begin_upload(BUCKET, key)
        self.succeed(self.copy(f"s3://{BUCKET}/raw", *CSV))
        self.assertEqual(sorted(self.s3.reader.uploads(BUCKET)),
                         ["raw/public/small/other.bin", "raw/public/small_too/LOAD00000001.csv"])
        self.assertEqual(self.gateway.counts()["ListMultipartUploads"], 1)

    def test_virtual_host_style(self) -> None:
        """The bucket's name is in the host; "localhost" and names below it are this machine."""
        self.server.sql("CREATE TABLE small (id int PRIMARY KEY); INSERT INTO small VALUES (1)")
        self.gateway.virtual_bucket = BUCKET
        environment = self.s3.environment() | {"AWS_ENDPOINT_URL_S3": f"http://localhost:{self.gateway.port}"}
        for action in ("PutObject", "DeleteObject"):
            self.gateway.inject(action, Fault.answer(200, ""), times=None)
        self.gateway.inject("ListObjectsV2", Fault.answer_body(200, "<ListBucketResult></ListBucketResult>"), times=None)
        self.gateway.inject("ListMultipartUploads", Fault.answer_body(200, "<ListMultipartUploadsResult/>"), times=None)
        self.succeed(self.copy(f"s3://{BUCKET}", *CSV, "--set", "s3AddressingStyle=virtual", environment=environment))
        self.assertEqual({call.headers["host"] for call in self.gateway.calls}, {f"{BUCKET}.localhost:{self.gateway.port}"})
        self.assertIn("/public/small/LOAD00000001.csv", {call.path for call in self.gateway.calls})


class RefusalsTest(BucketCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.sql("CREATE TABLE small (id int PRIMARY KEY); INSERT INTO small VALUES (1)")

    def test_wrong_key(self) -> None:
        if self.s3.is_moto:
            self.gateway.inject("ListObjectsV2", Fault.answer(403, "SignatureDoesNotMatch"), times=None)
        for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
            environment = self.s3.environment(self.gateway.port) | {name: "wrong"}
            self.fail_with(self.copy(f"s3://{BUCKET}", environment=environment), "target_authentication")

    def test_no_credentials(self) -> None:
        environment = {name: value for name, value in self.s3.environment().items() if "KEY" not in name}
        message = self.fail_with(self.copy(f"s3://{BUCKET}", environment=environment), "target_authentication")
        self.assertIn("AWS_ACCESS_KEY_ID", message)

    def test_missing_bucket(self) -> None:
        message = self.fail_with(self.copy("s3://no-such-bucket"), "target_configuration")
        self.assertIn("s3://no-such-bucket", message)

    def test_denied_actions_are_named(self) -> None:
        for action, right in (("ListObjectsV2", "s3:ListBucket"), ("PutObject", "s3:PutObject"),
                              ("DeleteObject", "s3:DeleteObject")):
            self.gateway.clear()
            self.gateway.inject(action, Fault.answer(403, "AccessDenied"), times=None)
            message = self.fail_with(self.copy(f"s3://{BUCKET}", "--restart"), "target_privilege")
            self.assertIn(right, message)

    def test_another_region(self) -> None:
        self.gateway.inject("ListObjectsV2", Fault.answer(301, "PermanentRedirect", ("x-amz-bucket-region", "eu-central-1")))
        self.assertIn("eu-central-1", self.fail_with(self.copy(f"s3://{BUCKET}"), "target_configuration"))

    def test_nobody_there(self) -> None:
        self.s3.kill()
        environment = self.s3.environment()
        self.fail_with(self.copy(f"s3://{BUCKET}", environment=environment), "target_unreachable")

    def test_certificates(self) -> None:
        """An untrusted one is refused, one of the named authority and host is taken."""
        certificate = self.folder / "certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost", "-keyout", certificate, "-out", self.folder / "ca.pem"],
                       check=True, capture_output=True)
        with certificate.open("ab") as both:
            both.write((self.folder / "ca.pem").read_bytes())
        with S3Gateway(self.s3.port, certificate) as gateway:
            place = {"AWS_ENDPOINT_URL_S3": f"https://localhost:{gateway.port}"}
            trusted = self.s3.environment() | place | {"AWS_CA_BUNDLE": str(self.folder / "ca.pem")}
            self.fail_with(self.copy(f"s3://{BUCKET}", environment=self.s3.environment() | place), "target_tls")
            self.assertEqual(gateway.calls, [])
            by_address = trusted | {"AWS_ENDPOINT_URL_S3": f"https://127.0.0.1:{gateway.port}"}
            self.fail_with(self.copy(f"s3://{BUCKET}", environment=by_address), "target_tls")
            self.succeed(self.copy(f"s3://{BUCKET}", environment=trusted))
        self.assertEqual(self.s3.reader.keys(BUCKET), ["public/small/LOAD00000001.parquet"])

    def test_nothing_is_left_by_a_start_that_fails(self) -> None:
        self.s3.reader.put(BUCKET, "public/small/LOAD00000001.csv", b"not ours")
        self.fail_with(self.copy(f"s3://{BUCKET}", *CSV), "target_foreign_objects")
        self.assertEqual(self.s3.reader.objects(BUCKET), {"public/small/LOAD00000001.csv": b"not ours"})


if __name__ == "__main__":
    main()
