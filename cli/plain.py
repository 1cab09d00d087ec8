"""Progress as plain lines, for logs and pipes."""

import sys
import time

from tclip.cli.pace import Pace, duration_text, fact_text, status_text
from tclip.cli.tables import print_table
from tclip.progress import Table

SECONDS_BETWEEN_LINES = 10.0


class Plain:
    """A Progress that writes a line when work begins and ends, and every ten seconds between."""

    def __init__(self) -> None:
        self._what: str | None = None
        self._total: int | None = None
        self._facts: dict[str, float] = {}
        self._pace = Pace()
        self._written = time.monotonic()

    def begin(self, what: str, total: int | None = None) -> None:
        """Close the work before and write a line for this."""
        self.close()
        self._what, self._total, self._pace, self._facts = what, total, Pace(), {}
        self._line(f"{what} ..." if total is None else f"{what} (0/{total}) ...")

    def update(self, done: int, total: int | None = None, **facts: float) -> None:
        """Write a line if the last one is ten seconds old."""
        self._pace.mark(done)
        self._facts = facts
        self._total = self._total if total is None else total
        if time.monotonic() - self._written >= SECONDS_BETWEEN_LINES:
            self._line(f"{self._what}: {status_text(self._pace, self._total, facts)}")

    def note(self, text: str) -> None:
        """Write the note."""
        self._line(text)

    def table(self, table: Table) -> None:
        """Close the work whose result the table is, and write it to stdout."""
        self.close()
        print_table(table)

    def close(self) -> None:
        """Write a line for the work that was going on."""
        if self._what is not None:
            count = f"{self._pace.done} in " if self._pace.done else ""
            facts = "".join(f"  {fact_text(*fact)}" for fact in self._facts.items())
            self._line(f"{self._what}: {count}{duration_text(self._pace.seconds)}{facts}")
            self._what = None

    def _line(self, text: str) -> None:
        self._written = time.monotonic()
        print(text, file=sys.stderr, flush=True)
