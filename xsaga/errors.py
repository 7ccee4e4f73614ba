"""The family of errors that a user can meet, and the exit codes they end in.

Every message says what was wrong, where (file, row, column) and what to do about it. The command
line prints that message as one line and exits with :attr:`XsagaError.exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the ``xsaga`` command returns to the shell."""

    OK = 0
    """All done, nothing failed."""
    ERROR = 1
    """Stopped by an error; finished work is intact."""
    USAGE = 2
    """A wrong option, argument or configuration key; nothing was started."""
    SOURCES_FAILED = 3
    """Done, but some sources could not be scored; ``xsaga status`` lists them."""
    NOTHING_NEW = 4
    """``xsaga nightly``: nothing has changed since the last list, which stays the latest."""
    OUT_OF_TIME = 5
    """``xsaga nightly``: a list is published, but time ran out; the next night goes on."""
    BUSY = 6
    """``xsaga nightly``: another process works on the folder; nothing was started."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C or SIGTERM; start the same command again to go on."""


class XsagaError(Exception):
    """Base of all errors that are reported to the user in one line."""

    exit_code: ExitCode = ExitCode.ERROR


class ConfigError(XsagaError):
    """A configuration file or option that cannot be used."""

    exit_code = ExitCode.USAGE


class FootprintError(XsagaError):
    """A footprint that is malformed or empty."""

    exit_code = ExitCode.USAGE


class CatalogError(XsagaError):
    """A catalog that cannot be read or lacks what is needed."""


class ImagingError(XsagaError):
    """Imaging that cannot be used as a whole; single bad cutouts are outcomes, not errors."""


class ModelError(XsagaError):
    """Weights that cannot be trusted or do not fit the cutouts."""


class SimulationError(XsagaError):
    """A simulated sky that cannot be made as asked."""


class TargetsError(XsagaError):
    """Targets that cannot be ranked or written."""


class RunError(XsagaError):
    """A run folder that cannot be used: other settings, another process, not a run folder."""


class BusyError(RunError):
    """A folder of nightly lists that another process holds."""

    exit_code = ExitCode.BUSY


class EvaluationError(XsagaError):
    """A run, labels or a training sky that a model cannot be judged with."""


class MissingExtraError(XsagaError):
    """An optional dependency that is not installed.

    Parameters
    ----------
    package : str
        The package that could not be imported.
    extra : str
        The extra of xsaga that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: run `pip install 'xsaga[{extra}]'`")


def nearest_name(name: str, known: Iterable[str]) -> str:
    """End of a message that offers the known name most like `name`, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=1, cutoff=0.5)
    if close:
        best = next(k for k in known if k.lower() == close[0])
        return f"did you mean '{best}'?"
    return f"known are: {', '.join(known)}"
