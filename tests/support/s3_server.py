#!/usr/bin/env python3
"""A throw-away S3 service on a free port, and a reader that looks into it without Ferry.

    with S3Server() as server:
        server.make_bucket("lake")
        ferry("copy", source, "s3://lake/shop", environment=server.environment())
        server.reader.objects("lake")          # {key: bytes}

As a program it serves another one, which finds it by its environment, and ends with the exit code of that:

    s3_server.py BUCKET COMMAND…

It is versitygw where that is installed (tools/install_test_servers.sh), which keeps objects as files and checks
signatures; else moto_server, which keeps them in memory and checks nothing. FERRY_S3_SERVER names one of these programs, or
minio.
"""
from __future__ import annotations

import datetime
import hashlib
import hmac
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import xml.etree.ElementTree
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ACCESS_KEY, SECRET_KEY, REGION = "ferrykey", "ferrysecret", "us-east-1"
READY_DEADLINE_S = 60
SKIPPED = 77  # The exit code of a test that could not run.
POLL_INTERVAL_S = 0.05


class S3ServerError(Exception):
    """The service did not start, or refuses what a test's own set-up asks."""


def find_program() -> Path | None:
    """The S3 service that tests use; nothing where none is installed."""
    named = os.environ.get("FERRY_S3_SERVER")
    places = [named] if named else [REPOSITORY / ".deps" / "s3" / "versitygw", shutil.which("versitygw"),
                                    REPOSITORY / ".deps" / "s3" / "moto" / "bin" / "moto_server"]
    return next((Path(place) for place in places if place and os.access(place, os.X_OK)), None)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _sign(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class S3Reader:
    """Asks an S3 service by requests of its own."""

    def __init__(self, port: int) -> None:
        self._host = f"127.0.0.1:{port}"

    def request(self, method: str, path: str, query: dict[str, str] | None = None, body: bytes = b"") -> bytes:
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        encoded = urllib.parse.quote(path, safe="/-._~")
        parameters = "&".join(f"{urllib.parse.quote(name, safe='-._~')}={urllib.parse.quote(value, safe='-._~')}"
                              for name, value in sorted((query or {}).items()))
        digest = hashlib.sha256(body).hexdigest()
        headers = {"host": self._host, "x-amz-content-sha256": digest, "x-amz-date": now}
        names = ";".join(sorted(headers))
        canonical = "\n".join([method, encoded, parameters, *(f"{name}:{headers[name]}" for name in sorted(headers)), "",
                               names, digest])
        scope = f"{now[:8]}/{REGION}/s3/aws4_request"
        key = f"AWS4{SECRET_KEY}".encode()
        for part in scope.split("/"):
            key = _sign(key, part)
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, "
                                    f"Signature={signature}")
        connection = http.client.HTTPConnection(self._host, timeout=60)
        try:
            connection.request(method, encoded + (f"?{parameters}" if parameters else ""), body, headers)
            answer = connection.getresponse()
            text_bytes = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise S3ServerError(f"{method} {path}: {answer.status} {text_bytes.decode(errors='replace')}")
        return text_bytes

    def _listing(self, bucket: str, query: dict[str, str]) -> xml.etree.ElementTree.Element:
        return xml.etree.ElementTree.fromstring(self.request("GET", f"/{bucket}", query))

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        keys: list[str] = []
        token = ""
        while True:
            query = {"list-type": "2", "prefix": prefix} | ({"continuation-token": token} if token else {})
            listing = self._listing(bucket, query)
            keys += [element.text or "" for element in listing.iter() if element.tag.endswith("}Key") or element.tag == "Key"]
            found = [element.text for element in listing.iter() if element.tag.endswith("NextContinuationToken")]
            if not found or not found[0]:
                return sorted(keys)
            token = found[0]

    def uploads(self, bucket: str) -> list[str]:
        """The keys of multipart uploads that nobody has completed."""
        listing = self._listing(bucket, {"uploads": ""})
        return [key.text or "" for upload in listing.iter() if upload.tag.endswith("Upload")
                for key in upload if key.tag.endswith("Key")]

    def get(self, bucket: str, key: str) -> bytes:
        return self.request("GET", f"/{bucket}/{key}")

    def tags(self, bucket: str, key: str) -> dict[str, str]:
        tag_set = xml.etree.ElementTree.fromstring(self.request("GET", f"/{bucket}/{key}", {"tagging": ""}))
        texts = [element.text or "" for element in tag_set.iter() if element.tag.rpartition("}")[2] in ("Key", "Value")]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self.request("PUT", f"/{bucket}/{key}", body=body)

    def begin_upload(self, bucket: str, key: str) -> None:
        """What a killed writer leaves."""
        self.request("POST", f"/{bucket}/{key}", {"uploads": ""})

    def objects(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        return {key: self.get(bucket, key) for key in self.keys(bucket, prefix) if not key.endswith("/")}

    def download(self, bucket: str, folder: Path) -> None:
        """The bucket's objects as files."""
        for key, body in self.objects(bucket).items():
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)


class S3Server:
    """One service with a data folder of its own; ends with the thread that started it."""

    def __init__(self) -> None:
        program = find_program()
        if program is None:
            raise S3ServerError("no S3 service is installed; run tools/install_test_servers.sh s3")
        self.program = program
        self.is_moto = "moto" in program.name
        self._health = "/moto-api/data.json" if self.is_moto else "/minio/health/ready" if "minio" in program.name else "/health"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.reader = S3Reader(self.port)
        self._folder = tempfile.TemporaryDirectory(prefix="ferry-s3-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> S3Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()

    @property
    def keeps_objects(self) -> bool:
        """Whether what was written is there after a restart."""
        return not self.is_moto

    def environment(self, port: int | None = None) -> dict[str, str]:
        """What a process needs that writes to it, or to something at `port` in front of it."""
        return {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": REGION,
                "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port or self.port}"}

    def _command(self) -> list[str]:
        folder = Path(self._folder.name)
        if self.is_moto:
            return [str(self.program), "-H", "127.0.0.1", "-p", str(self.port)]
        data = folder / "data"
        metadata = folder / "metadata"
        for each in (data, metadata):
            each.mkdir(exist_ok=True)
        if "minio" in self.program.name:
            return [str(self.program), "server", "--quiet", "--address", f"127.0.0.1:{self.port}", "--console-address",
                    f"127.0.0.1:{free_port()}", str(data)]
        # The folder for metadata spares the file system extended attributes.
        return [str(self.program), "--port", f"127.0.0.1:{self.port}", "--health", "/health", "--quiet",
                "posix", "--sidecar", str(metadata), str(data)]

    def start(self) -> None:
        log = Path(self._folder.name) / "log"
        environment = {"PATH": os.environ["PATH"], "HOME": self._folder.name, "ROOT_ACCESS_KEY": ACCESS_KEY,
                       "ROOT_SECRET_KEY": SECRET_KEY, "MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY}
        with log.open("ab") as out:
            self._process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self._command()], env=environment,
                                             stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        deadline = time.monotonic() + READY_DEADLINE_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise S3ServerError(f"{self.program} is not ready\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(POLL_INTERVAL_S)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self._health)
            if connection.getresponse().status != 200:
                return False
            # A service may be healthy before it answers.
            self.reader.request("GET", "/")
            return True
        except (OSError, S3ServerError):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def make_bucket(self, bucket: str) -> None:
        self.reader.request("PUT", f"/{bucket}")


def main() -> int:
    if find_program() is None:
        print("no S3 service is installed; run tools/install_test_servers.sh s3")
        return SKIPPED
    bucket, *command = sys.argv[1:]
    with S3Server() as server:
        print(f"S3 service: {server.program}", flush=True)
        server.make_bucket(bucket)
        return subprocess.run(command, env=os.environ | server.environment()).returncode


if __name__ == "__main__":
    sys.exit(main())
