"""Nights that kill themselves at a rename: each in a fork, by SIGKILL, as a power cut would.

Called with a JSON list of ``[arguments, destination, count, after]``: the night with these
arguments of the command line is killed before, or after, the rename whose destination matches
the pattern, the count-th time. Prints the signal or exit code of each.
"""

from __future__ import annotations

import fnmatch
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def killing(rename: Callable[..., Any], pattern: str, count: int, after: bool) -> Any:
    """Wrap a rename of the operating system."""
    left = [count]

    def renamed(source: Any, destination: Any, **how: Any) -> None:
        left[0] -= fnmatch.fnmatch(os.fspath(destination), pattern)
        if left[0] == 0 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, destination, **how)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return renamed


def main() -> None:
    """Do the nights one after the other."""
    import xsaga.run.nightly  # noqa: F401 - once for all forks
    from xsaga.cli import main as command

    for arguments, pattern, count, after in json.loads(sys.argv[1]):
        child = os.fork()
        if child == 0:
            sys.stdout = sys.stderr
            os.rename = killing(os.rename, pattern, count, after)
            os.replace = killing(os.replace, pattern, count, after)
            command(arguments)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
