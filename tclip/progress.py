"""What a stage tells while it works. The command line shows it; a library user may ignore or collect it."""

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Table:
    """Rows to show and to keep.

    Attributes:
        title: what the rows are about.
        columns: a name for each column.
        rows: one list a row, texts or numbers, as many as there are columns.
    """

    title: str
    columns: list[str]
    rows: list[list[Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return the table for JSON."""
        return {"title": self.title, "columns": self.columns, "rows": self.rows}


@runtime_checkable
class Progress(Protocol):
    """Where a stage reports to."""

    def begin(self, what: str, total: int | None = None) -> None:
        """A piece of work starts: `what` in words, `total` its number of units if known."""

    def update(self, done: int, total: int | None = None, **facts: float) -> None:
        """`done` units are finished; facts such as loss=0.2 describe the latest."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def table(self, table: Table) -> None:
        """A result worth a table."""


@dataclass
class Collected:
    """A Progress that shows nothing and keeps notes and tables."""

    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def begin(self, what: str, total: int | None = None) -> None:
        """Show nothing."""

    def update(self, done: int, total: int | None = None, **facts: float) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Keep the note."""
        self.notes.append(text)

    def table(self, table: Table) -> None:
        """Keep the table."""
        self.tables.append(table)
