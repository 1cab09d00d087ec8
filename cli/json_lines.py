"""Progress for machines: one JSON object a line on stdout.

Each has "event": begin (what, total), update (what, done, total, facts, rate), end (what, done, seconds),
note (text) or table (title, columns, rows). Updates come at most once a second. A value that JSON has no
word for (NaN, infinity) is null.
"""

import json
import math
import sys
import time
from typing import Any

from tclip.cli.pace import Pace
from tclip.progress import Table

SECONDS_BETWEEN_UPDATES = 1.0


def write_event(event: str, **values: Any) -> None:
    """Write one line of JSON and flush it, so that a reader need not wait."""
    sys.stdout.write(json.dumps({"event": event, **_plain(values)}, ensure_ascii=False) + "\n")
    sys.stdout.flush()


class JsonLines:
    """A Progress that writes every event as a line of JSON."""

    def __init__(self) -> None:
        self._what: str | None = None
        self._total: int | None = None
        self._pace = Pace()
        self._written = -math.inf

    def begin(self, what: str, total: int | None = None) -> None:
        """Write `end` for the work before and `begin` for this."""
        self.close()
        self._what, self._total, self._pace, self._written = what, total, Pace(), -math.inf
        write_event("begin", what=what, total=total)

    def update(self, done: int, total: int | None = None, **facts: float) -> None:
        """Write an `update`, unless one was written just now and there is more to come."""
        self._pace.mark(done)
        total = self._total = self._total if total is None else total
        now = time.monotonic()
        if done == total or now - self._written >= SECONDS_BETWEEN_UPDATES:
            self._written = now
            write_event("update", what=self._what, done=done, total=total, facts=facts, rate=self._pace.rate)

    def note(self, text: str) -> None:
        """Write a `note`."""
        write_event("note", text=text)

    def table(self, table: Table) -> None:
        """Write `end` for the work whose result the table is, and the `table`."""
        self.close()
        write_event("table", **table.to_dict())

    def close(self) -> None:
        """Write `end` for the work that was going on."""
        if self._what is not None:
            seconds = round(self._pace.seconds, 3)
            write_event("end", what=self._what, done=self._pace.done, seconds=seconds)
            self._what = None


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold: no NaN, no numbers of numpy or torch."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
