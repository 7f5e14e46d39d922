"""One run of a Ferry command, its standard output and standard error kept apart, for tests that read both."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

POLL_INTERVAL_S = 0.02
DEADLINE_S = 60
# docs/errors.md: "ferry: error <code>: <message>".
ERROR_LINE = re.compile(r"^ferry: error (?P<code>[a-z_]+): (?P<message>.*)$", re.MULTILINE)


class CommandFailed(Exception):
    """A command did not do in time what was waited for, or ended otherwise than it should have."""


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Polls until the condition holds."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise CommandFailed(f"{what}: not within {deadline_s:g} s")
        time.sleep(POLL_INTERVAL_S)


class FerryCommand:
    """A started command. It gets SIGKILL when the thread that started it ends, so start it from the main thread."""

    def __init__(self, ferry: Path, words: Sequence[str | Path], *, folder: Path, failpoint: str = "",
                 prefix: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> None:
        """`folder` takes the outputs and is the home of states; `prefix` is a command that runs Ferry; `environment`
        holds variables that it gets beside the few of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        # The tools' own secrets and settings are nothing that a test may depend on.
        variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_STATE_HOME": str(folder / "states")}
        variables |= {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
        variables |= environment or {}
        if failpoint:
            variables["FERRY_FAILPOINT"] = failpoint
        self.command = [str(word) for word in [ferry, *words]]
        self._output = self._open(folder, "stdout-")
        self._errors = self._open(folder, "stderr-")
        self.started = time.monotonic()
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *prefix, *self.command],
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=variables)

    @staticmethod
    def _open(folder: Path, prefix: str) -> Path:
        descriptor, name = tempfile.mkstemp(prefix=prefix, dir=folder)
        os.close(descriptor)
        return Path(name)

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def errors(self) -> str:
        return self._errors.read_text(errors="replace")

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self.process.poll()

    @property
    def error_code(self) -> str | None:
        """The stable code of the error it printed."""
        match = ERROR_LINE.search(self.errors)
        return match["code"] if match else None

    @property
    def error_message(self) -> str:
        match = ERROR_LINE.search(self.errors)
        return match["message"] if match else ""

    def report(self) -> str:
        """What a failed test shows."""
        return (f"exit code: {self.exit_code}\n--- standard output\n{self.output}--- standard error\n{self.errors}---")

    def wait_until(self, condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
        """Polls until the condition holds, and fails at once when the command ends before."""
        def holds() -> bool:
            # Asked for first: what the command did last counts also when it has ended since.
            ended = self.exit_code is not None
            if condition():
                return True
            if ended:
                raise CommandFailed(f"{what}: ferry has ended before")
            return False

        try:
            wait_for(holds, what, deadline_s)
        except CommandFailed as error:
            raise CommandFailed(f"{error}\n{self.report()}") from error

    def wait_for_output(self, text: str, deadline_s: float = DEADLINE_S) -> None:
        self.wait_until(lambda: text in self.output, f"the output '{text}'", deadline_s)

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Waits for the end and returns the exit code."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired as error:
            report = self.report()
            self.kill()
            raise CommandFailed(f"ferry did not end within {deadline_s:g} s\n{report}") from error

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, deadline_s: float = DEADLINE_S) -> None:
        """SIGTERM, after which Ferry writes what it has captured and exits with 0."""
        self.signal(signal.SIGTERM)
        if self.wait(deadline_s) != 0:
            raise CommandFailed(f"ferry did not stop with exit code 0\n{self.report()}")

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone. Repeating it changes nothing."""
        self.process.kill()
        self.process.wait()
