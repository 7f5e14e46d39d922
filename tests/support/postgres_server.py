"""A throw-away PostgreSQL for Python tests, the twin of postgres_server.h.

    with PostgresServer(15, ["max_replication_slots = 1"]) as server:
        server.sql("CREATE TABLE t (id int PRIMARY KEY)")
        ferry("copy", server.dsn())

The server has its own data directory in the temporary folder and its own free port on 127.0.0.1. Started by
root, it runs as `postgres`, or as `nobody` where there is no such user. It is ended when the thread that
started it ends, however it ends: start it from the main thread.
"""

import ctypes
import fcntl
import os
import pathlib
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence

import psycopg

USER = "postgres"
PASSWORD = "secret"
DEADLINE_S = 60
POLL_INTERVAL_S = 0.02
PORT_TRIES = 5
IPC_RMID = 0
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

# Nothing here need outlive the machine. synchronous_commit stays on: without it logical decoding lags behind
# the commit.
DEFAULT_SETTINGS = [
    "listen_addresses = '127.0.0.1'",
    "wal_level = logical",
    "max_wal_senders = 20",
    "max_replication_slots = 20",
    "fsync = off",
    "full_page_writes = off",
    "shared_buffers = 64MB",
]


def bin_directory(major: int) -> pathlib.Path | None:
    """The folder of the server's programs: FERRY_PG_BIN_<major> if set, else .deps/postgres/<major>/bin, else
    /usr/lib/postgresql/<major>/bin; None where none of them has a server."""
    candidates = [
        os.environ.get(f"FERRY_PG_BIN_{major}"),
        REPOSITORY / ".deps" / "postgres" / str(major) / "bin",
        pathlib.Path("/usr/lib/postgresql") / str(major) / "bin",
    ]
    for candidate in filter(None, candidates):
        # The real path: the links on the way need not be readable for the server's user.
        real = pathlib.Path(candidate).resolve()
        if (real / "postgres").exists():
            return real
    return None


def installed_majors() -> list[int]:
    return [major for major in range(13, 19) if bin_directory(major)]


class PostgresServer:
    """`settings` are lines of postgresql.conf; they win over the defaults. It is started by start() or `with`."""

    def __init__(self, major: int, settings: Sequence[str] = ()):
        found = bin_directory(major)
        if found is None:
            raise RuntimeError(
                f"PostgreSQL {major} is not installed; run tools/install_test_servers.sh or set FERRY_PG_BIN_{major}"
            )
        self.major = major
        self.port = 0
        self._bin = found
        self._settings = list(settings)
        self._user = _server_user()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: pathlib.Path | None = None

    def __enter__(self) -> "PostgresServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def data_directory(self) -> pathlib.Path:
        assert self._folder is not None, "the server was never started, or is closed"
        return self._folder / "data"

    @property
    def running(self) -> bool:
        return self._process is not None

    def log(self) -> str:
        return (self.data_directory.parent / "log").read_text(errors="replace")

    def dsn(self, database: str = "postgres") -> str:
        """A connection string for libpq, over TCP and with the superuser's password."""
        return psycopg.conninfo.make_conninfo(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=database
        )

    def sql(self, statements: str, parameters: Sequence[object] | None = None, database: str = "postgres") -> list[tuple]:
        """Runs the statements on a connection of their own and returns the rows of the last one. Without
        parameters there may be several statements; they are one transaction."""
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            cursor = connection.execute(statements, parameters)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Starts a new, stopped or killed server; returns when it takes connections. The port stays the same."""
        if self._process:
            return
        if self._folder:
            self._launch()
            return
        try:
            self._make_folder()
            for attempt in range(1, PORT_TRIES + 1):
                self.port = _free_port()
                try:
                    self._launch()
                    return
                except RuntimeError:
                    # Another process may have taken the port since it was found free.
                    if attempt == PORT_TRIES or "Address already in use" not in self.log():
                        raise
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """A fast shutdown, connections cut. Does nothing where the server is not running."""
        if not self._process:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """Ends the server's processes with SIGKILL; returns when all of them are gone. start() then recovers."""
        if not self._process:
            return
        # The postmaster stops first, so that it starts no more processes while they are being counted.
        self._process.send_signal(signal.SIGSTOP)
        children = []
        for pid in _children_of(self._process.pid):
            try:
                children.append(os.pidfd_open(pid))
            except ProcessLookupError:
                pass
        self._process.kill()
        self._process.wait()
        self._process = None
        for child in children:
            try:
                signal.pidfd_send_signal(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
            # Readable once the process has ended, also where nobody reaps it.
            ended = select.poll()
            ended.register(child, select.POLLIN)
            in_time = ended.poll(DEADLINE_S * 1000)
            os.close(child)
            if not in_time:
                raise RuntimeError("a PostgreSQL process did not end in time")

    def close(self) -> None:
        """Ends the server and removes its data. Repeating it changes nothing."""
        if not self._folder:
            return
        try:
            self.stop()
            _remove_shared_memory(self.data_directory)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _make_folder(self) -> None:
        made_before = _template_data(self._bin, self._user)
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix=f"postgres-{self.major}-", dir=_shared_folder()))
        os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        subprocess.run(
            [*_as_user(self._user), "cp", "-a", "--reflink=auto", made_before, self.data_directory],
            cwd=self._folder,
            check=True,
        )
        with open(self.data_directory / "postgresql.conf", "a", encoding="utf-8") as file:
            lines = [*DEFAULT_SETTINGS, f"unix_socket_directories = '{self._folder}'", *self._settings]
            file.write("\n" + "\n".join(lines) + "\n")

    def _launch(self) -> None:
        assert self._folder is not None
        with open(self._folder / "log", "ab") as log:
            # SIGINT, a fast shutdown, is also what the server gets when the starting thread is gone.
            self._process = subprocess.Popen(
                [*_as_user(self._user, "INT"), self._bin / "postgres", "-D", self.data_directory, "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=_environment(self._folder),
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + DEADLINE_S
        while not self._is_ready():
            if self._process.poll() is not None:
                self._process = None
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL is not ready in time:\n{self.log()}")
            time.sleep(POLL_INTERVAL_S)

    def _is_ready(self) -> bool:
        lines = _postmaster_lines(self.data_directory)
        # A killed server leaves its file behind; only the one of this process counts.
        return len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].startswith("ready")


def _server_user() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")


def _as_user(user: pwd.struct_passwd, death_signal: str = "KILL") -> list[str]:
    prefix = ["setpriv", "--pdeathsig", death_signal]
    if user.pw_uid != os.geteuid():
        prefix += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return prefix


def _environment(home: pathlib.Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _shared_folder() -> pathlib.Path:
    """The folder of this user's test servers. Its name can be foretold, so it must really be ours."""
    folder = pathlib.Path(tempfile.gettempdir()) / f"ferry-test-{os.geteuid()}"
    folder.mkdir(mode=0o755, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise RuntimeError(f"{folder} is not a folder of this user's; remove it")
    return folder


def _template_data(bin_folder: pathlib.Path, user: pwd.struct_passwd) -> pathlib.Path:
    """The result of initdb, made once for each installed server. postgres_server.cc uses the same one under the
    same lock."""
    folder = _shared_folder() / ("template" + str(bin_folder).replace("/", "_"))
    data = folder / "data"
    with open(f"{folder}.lock", "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "complete").exists():
            return data
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        os.chown(folder, user.pw_uid, user.pw_gid)
        password = folder / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        os.chown(password, user.pw_uid, user.pw_gid)
        done = subprocess.run(
            [*_as_user(user), bin_folder / "initdb", "-D", data, "-U", USER, "-A", "scram-sha-256"]
            + [f"--pwfile={password}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-k"],
            cwd=folder,
            env=_environment(folder),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")
        (folder / "complete").touch()
    return data


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _children_of(parent: int) -> list[int]:
    children = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except OSError:
            continue
        # "pid (name) state ppid …"; the name may hold anything, so the last ')' counts.
        if int(text[text.rindex(")") + 2 :].split()[1]) == parent:
            children.append(int(stat.parent.name))
    return children


def _postmaster_lines(data: pathlib.Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _remove_shared_memory(data: pathlib.Path) -> None:
    """A killed server leaves its shared memory segment behind; line 7 of its file names it."""
    lines = _postmaster_lines(data)
    if len(lines) > 6 and len(words := lines[6].split()) == 2:
        ctypes.CDLL(None).shmctl(int(words[1]), IPC_RMID, None)
