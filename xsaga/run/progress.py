"""Progress with rate and time left: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 10.0

Advance = Callable[[int], None]
"""Tells that so many more sources are done."""


@contextmanager
def progress(
    title: str, total: int | None, console: Console, clock: Callable[[], float] = time.monotonic
) -> Iterator[Advance]:
    """Show the progress of one stage.

    Parameters
    ----------
    title : str
        What is being done.
    total : int or None
        Number of sources to do, None where that is not known.
    console : rich.console.Console
        Where to show it; whether it is a terminal decides how.
    clock : callable
        Gives the time in seconds.

    Yields
    ------
    callable
        To be called with the number of sources that were just finished.
    """
    shown = _bar if console.is_terminal else _lines
    with shown(title, total, console, clock) as advance:
        yield advance


@contextmanager
def _bar(
    title: str, total: int | None, console: Console, clock: Callable[[], float]
) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    begun = clock()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total, rate=0.0)

        def advance(count: int) -> None:
            done = bar.tasks[0].completed + count
            bar.update(task, advance=count, rate=done / max(clock() - begun, 1e-9))

        yield advance


@contextmanager
def _lines(
    title: str, total: int | None, console: Console, clock: Callable[[], float]
) -> Iterator[Advance]:
    begun = last = clock()
    done = 0

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        now = clock()
        if done != total and now - last < SECONDS_BETWEEN_LINES:
            return
        last = now
        rate = done / max(now - begun, 1e-9)
        line = f"{title}: {done:,}" + (f" of {total:,}" if total is not None else "")
        line += f", {rate:,.0f}/s"
        if total is not None and rate > 0:
            line += f", {(total - done) / rate:.0f} s left"
        console.print(line, highlight=False, soft_wrap=True)

    yield advance
