"""How a command shows its progress and results.

Results (tables) go to stdout, all else to stderr. On a terminal: a live line a stage. Not on one: plain
lines, at most one every ten seconds. --json: stdout carries one JSON object a line and nothing else.
--quiet: the last table alone, as text or as JSON. Under `accelerate launch`, one process speaks.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from tclip.progress import Collected, Progress, Table


@runtime_checkable
class Shown(Progress, Protocol):
    """A Progress that has an end, at which the last piece of work is finished."""

    def close(self) -> None:
        """Finish what is shown."""


@contextmanager
def showing(*, json: bool, quiet: bool) -> Iterator[Progress]:
    """Give the Progress that fits the terminal and the options, and close it afterwards.

    Args:
        json: one JSON object a line on stdout.
        quiet: the last table only.
    """
    if os.environ.get("RANK", "0") != "0":
        yield Collected()
        return
    shown = _choose(json=json, quiet=quiet)
    try:
        yield shown
    finally:
        shown.close()


class Quiet:
    """Keeps the last table and shows it at the end."""

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._last: Table | None = None

    def begin(self, what: str, total: int | None = None) -> None:
        """Show nothing."""

    def update(self, done: int, total: int | None = None, **facts: float) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def table(self, table: Table) -> None:
        """Keep the table."""
        self._last = table

    def close(self) -> None:
        """Show the table that came last."""
        from tclip.cli.json_lines import write_event
        from tclip.cli.tables import print_table

        if self._last is None:
            return
        if self._json:
            write_event("table", **self._last.to_dict())
        else:
            print_table(self._last)


def _choose(*, json: bool, quiet: bool) -> Shown:
    if json or quiet or not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if quiet:
        return Quiet(json=json)
    if json:
        from tclip.cli.json_lines import JsonLines

        return JsonLines()
    if sys.stderr.isatty():
        from tclip.cli.live import Live

        return Live()
    from tclip.cli.plain import Plain

    return Plain()
