"""Where the library meets the shell: errors become one line and an exit code."""

from __future__ import annotations

import errno
import signal
import sys
from types import FrameType
from typing import Any

import click

from xsaga.errors import ExitCode, XsagaError
from xsaga.reading import escaped, printable, quiet_astropy, shortened

LONGEST_LINE = 1500
"""Characters of an error that are shown: it may repeat what a file holds."""


class OneLineErrors(click.Group):
    """A command group that prints one line for an expected error and exits with its code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line (see `click.Command.main`)."""
        signal.signal(signal.SIGTERM, _interrupt)
        kwargs["standalone_mode"] = False
        quiet_astropy()
        try:
            code = super().main(*args, **kwargs)
        except click.ClickException as error:
            error.show()
            code = ExitCode.USAGE
        except XsagaError as error:
            _say(error_line(error))
            code = error.exit_code
        except (KeyboardInterrupt, click.Abort):
            _say("interrupted; finished work is kept, the same command goes on from there")
            code = ExitCode.INTERRUPTED
        except OSError as error:
            if error.errno is None and not isinstance(error, BrokenPipeError):
                raise  # not the operating system's word on a file
            _say(error_line(error))
            code = ExitCode.ERROR
        sys.exit(int(code or 0))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C, so that temporary files are cleared."""
    raise KeyboardInterrupt


def file_trouble(error: OSError) -> str:
    """Say in one line what the operating system would not do, where, and what to do."""
    where = f": {error.filename}" if error.filename else ""
    advice = {
        errno.ENOSPC: "; make room, then start the same command again",
        errno.EDQUOT: "; make room, then start the same command again",
        errno.EACCES: "; check who may write there",
        errno.EROFS: "; choose another --out",
    }.get(error.errno or 0, "")
    return f"{error.strerror or error}{where}{advice}"


def error_line(error: XsagaError | OSError) -> str:
    """Say what went wrong in one line that is safe to show, whatever a file holds."""
    line = printable(file_trouble(error) if isinstance(error, OSError) else str(error))
    return shortened(line, LONGEST_LINE)


def echo(text: str, *, err: bool = False) -> None:
    """Print lines that may hold words of a file: control characters show as escapes."""
    click.echo("\n".join(map(escaped, text.split("\n"))), err=err)


def _say(message: str) -> None:
    click.secho("xsaga: ", fg="red", bold=True, err=True, nl=False)
    click.echo(message, err=True)
