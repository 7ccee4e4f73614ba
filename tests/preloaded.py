"""The command line in processes of their own that begin at once: forks of one that is ready.

Importing takes several seconds and is the same every time. Run as a script, this is the process
that imports once and then forks for each line it is given; `Preloaded` starts it and asks it.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

READY = b"ready\n"


class TookLongerError(Exception):
    """A process did not end in the time that was given."""


@dataclass
class Begun:
    """A command that was begun; at most one goes on at a time.

    Parameters
    ----------
    pid : int
        Its process, which leads a group of its own.
    server : Popen
        Tells how it ended.
    errors : stream
        What it says on standard error, as it says it.
    said : Path
        File with its standard output.
    """

    pid: int
    server: subprocess.Popen[bytes]
    errors: IO[str]
    said: Path
    code: int | None = field(default=None)

    def ended(self, timeout: float | None = None) -> tuple[int, str, str]:
        """Wait for its end: exit code (or minus the signal), output and errors.

        Raises
        ------
        TookLongerError
            It goes on after `timeout` seconds.
        """
        assert self.server.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.server.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                raise TookLongerError
        self.code = int(self.server.stdout.readline())
        with self.errors:
            errors = self.errors.read()
        return self.code, self.said.read_text(encoding="utf-8"), errors

    def send(self, number: int) -> None:
        """Send it a signal; the processes that it began do not get it."""
        os.kill(self.pid, number)


class Preloaded:
    """Begins commands in forks of a process that has imported everything.

    Parameters
    ----------
    folder : Path
        For what the commands say.
    environment : dict
        Of the commands.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            env={**environment, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == READY

    def begin(self, *arguments: object, file_limit: int | None = None) -> Begun:
        """Begin ``xsaga <arguments>``; no file may grow beyond `file_limit` bytes."""
        said, errors = self._folder / "said.txt", self._folder / "errors"
        errors.unlink(missing_ok=True)
        os.mkfifo(errors)
        asked = {
            "arguments": [str(argument) for argument in arguments],
            "said": str(said),
            "errors": str(errors),
            "file_limit": file_limit,
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(asked).encode() + b"\n")
        pid = int(self._server.stdout.readline())
        return Begun(pid, self._server, errors.open(encoding="utf-8"), said)

    def run(self, *arguments: object, file_limit: int | None = None) -> tuple[int, str, str]:
        """Begin a command and wait for its end."""
        return self.begin(*arguments, file_limit=file_limit).ended()

    def close(self) -> None:
        """End the process that forks."""
        self._server.communicate()


def _serve() -> None:
    """Import all that commands need; fork for each line of standard input."""
    import xsaga.report.run_report
    import xsaga.run.nightly
    import xsaga.run.train  # noqa: F401 - for the forks
    from xsaga.cli import main as command

    os.write(1, READY)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(asked)
            command(asked["arguments"])
        print(child, flush=True)  # noqa: T201
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


def _become(asked: dict[str, Any]) -> None:
    """Make a fork look like a process that a shell began."""
    os.setsid()
    for descriptor, name in ((1, asked["said"]), (2, asked["errors"])):
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if descriptor == 1 else 0)
        opened = os.open(name, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.argv = ["xsaga", *asked["arguments"]]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if asked["file_limit"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_limit"],) * 2)


if __name__ == "__main__":
    _serve()
