#!/usr/bin/env python3
"""Credentials of every origin write into a bucket, and no secret gets into what a task leaves behind."""
from __future__ import annotations

import datetime
import http.server
import json
import threading
import urllib.parse

from bucket_case import BUCKET, CSV, BucketCase, FerryCommand, main
from s3_gateway import Fault
from s3_server import ACCESS_KEY, REGION, SECRET_KEY

SESSION_TOKEN = "session/token=="
IDENTITY_TOKEN = "identity token"
ROLE = "arn:aws:iam::1:role/writer"
METADATA_PATH = "/latest/meta-data/iam/security-credentials/"


class KeyService:
    """What platforms have: a container's endpoint, an instance's metadata, and STS. All give the service's real keys."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.session_token = ""  # The service knows none.
        self.cuts: list[bool] = []  # Whether each of the next requests gets no answer.
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, method: str, path: str, headers: dict[str, str], body: str) -> tuple[int, str]:
        end = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = json.dumps({"AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET_KEY, "Token": self.session_token, "Expiration": end})
        if path == "/container" and headers.get("authorization") == "container token":
            return 200, keys
        if method == "PUT" and path == "/latest/api/token":
            return 200, "metadata token"
        if headers.get("x-aws-ec2-metadata-token") == "metadata token" and path == METADATA_PATH:
            return 200, "writer"
        if headers.get("x-aws-ec2-metadata-token") == "metadata token" and path == METADATA_PATH + "writer":
            return 200, keys
        form = urllib.parse.parse_qs(body)
        action = form.get("Action", [""])[0]
        by_token = action == "AssumeRoleWithWebIdentity" and form.get("WebIdentityToken") == [IDENTITY_TOKEN]
        if (action == "AssumeRole" or by_token) and form.get("RoleArn") == [ROLE]:
            return 200, (f"<{action}Response><{action}Result><Credentials>"
                         f"<AccessKeyId>{ACCESS_KEY}</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey>"
                         f"<SessionToken>{self.session_token}</SessionToken><Expiration>{end}</Expiration></Credentials>"
                         f"</{action}Result></{action}Response>")
        return 403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def _serve(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length", 0))).decode()
                service.requests.append(f"{self.command} {self.path}")
                if service.cuts and service.cuts.pop(0):
                    self.close_connection = True
                    return
                status, text = service._answer(self.command, self.path, headers, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PUT = do_POST = _serve  # noqa: N815

        return Handler


class CredentialsTest(BucketCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.sql("CREATE TABLE small (id int PRIMARY KEY); INSERT INTO small VALUES (1)")
        self.keys = KeyService()
        self.addCleanup(self.keys.close)
        self.token_file = self.folder / "identity"
        self.token_file.write_text(f"{IDENTITY_TOKEN}\n")
        self.place = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.gateway.port}", "AWS_REGION": REGION}

    def check_writes(self, environment: dict[str, str]) -> None:
        self.succeed(self.copy(f"s3://{BUCKET}", *CSV, environment=self.place | environment))
        self.check_written()

    def check_written(self) -> None:
        self.assertEqual(self.s3.reader.objects(BUCKET), {"public/small/LOAD00000001.csv": b"1\n"})
        self.check_that_no_secret_is_left()

    def check_that_no_secret_is_left(self) -> None:
        # Also in states: they are below it.
        for path in self.folder.rglob("*"):
            if path.is_file() and ".aws" not in path.parts and path != self.token_file:
                for secret in (SECRET_KEY, SESSION_TOKEN, IDENTITY_TOKEN):
                    self.assertNotIn(secret.encode(), path.read_bytes(), path)

    def test_profile(self) -> None:
        files = self.folder / "home" / ".aws"
        files.mkdir(parents=True)
        (files / "credentials").write_text("[default]\naws_access_key_id = wrong\naws_secret_access_key = wrong\n"
                                           f"[work]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
        (files / "config").write_text(f"[profile work]\nregion = {REGION}\n")
        del self.place["AWS_REGION"]
        self.check_writes({"AWS_PROFILE": "work"})

    def test_container(self) -> None:
        self.check_writes({"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.keys.url}/container",
                           "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container token"})
        self.assertEqual(self.keys.requests, ["GET /container"])

    def test_instance(self) -> None:
        self.check_writes({"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.keys.url})
        self.assertEqual(self.keys.requests,
                         ["PUT /latest/api/token", f"GET {METADATA_PATH}", f"GET {METADATA_PATH}writer"])

    def test_an_instance_whose_metadata_is_silent_for_a_while_stays_one(self) -> None:
        """Also for the task's next attempts: the first learns that it is one, the second hears nothing at all."""
        client_attempts = 3
        self.keys.cuts = [False, True] * client_attempts + [True] * client_attempts
        self.succeed(self.start("run", self.document(), environment=self.place | {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.keys.url}))
        self.assertEqual(self.keys.cuts, [])
        self.check_written()

    def test_web_identity(self) -> None:
        self.check_writes({"AWS_WEB_IDENTITY_TOKEN_FILE": str(self.token_file), "AWS_ROLE_ARN": ROLE,
                           "AWS_ENDPOINT_URL_STS": self.keys.url})
        self.assertEqual(self.keys.requests, ["POST /"])

    def test_session_tokens_go_with_every_request_and_are_signed(self) -> None:
        """The service would refuse a token, so the gateway answers for it."""
        self.keys.session_token = SESSION_TOKEN
        self.gateway.inject("PutObject", Fault.answer(200, ""), times=None)
        self.gateway.inject("DeleteObject", Fault.answer(204, ""), times=None)
        self.gateway.inject("ListObjectsV2", Fault.answer_body(200, "<ListBucketResult/>"), times=None)
        self.gateway.inject("ListMultipartUploads", Fault.answer_body(200, "<ListMultipartUploadsResult/>"), times=None)
        self.succeed(self.copy(f"s3://{BUCKET}", *CSV, environment=self.place | {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.keys.url}/container",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container token"}))
        self.assertIn(f"/{BUCKET}/public/small/LOAD00000001.csv", [call.path for call in self.gateway.calls])
        for call in self.gateway.calls:
            self.assertEqual(call.headers.get("x-amz-security-token"), SESSION_TOKEN, call.action)
            self.assertIn("x-amz-security-token", call.headers["authorization"], call.action)
        self.check_that_no_secret_is_left()

    def test_role(self) -> None:
        """The role's keys are used, not those that asked for it."""
        self.run_with_role(ROLE, {"AWS_ACCESS_KEY_ID": "caller", "AWS_SECRET_ACCESS_KEY": "wrong",
                                                          "AWS_ENDPOINT_URL_STS": self.keys.url})
        self.assertEqual(self.keys.requests, ["POST /"])

    def test_a_role_that_is_not_given(self) -> None:
        environment = {"AWS_ACCESS_KEY_ID": "caller", "AWS_SECRET_ACCESS_KEY": "wrong", "AWS_ENDPOINT_URL_STS": self.keys.url}
        message = self.fail_with(self.start_with_role("arn:other", environment), "target_authentication")
        self.assertIn("arn:other", message)

    def test_a_role_without_sts_has_no_effect_and_one_line_says_so(self) -> None:
        self.run_with_role(ROLE,
                           {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY})
        log = (self.folder / "state" / "logs" / "task.log").read_text()
        self.assertEqual(log.count(f"ServiceAccessRoleArn {ROLE} has no effect"), 1, log)

    def start_with_role(self, role: str, environment: dict[str, str]) -> FerryCommand:
        return self.start("run", self.document(ServiceAccessRoleArn=role), "--state", self.folder / "state",
                          environment=self.place | environment)

    def run_with_role(self, role: str, environment: dict[str, str]) -> None:
        self.succeed(self.start_with_role(role, environment))
        self.check_written()


if __name__ == "__main__":
    main()
