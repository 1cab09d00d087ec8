"""Progress as one live line a piece of work, on a terminal."""

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from tclip.cli.pace import Pace, status_text
from tclip.cli.tables import print_table
from tclip.progress import Table


class Live:
    """A Progress that redraws a line on stderr; tables go to stdout when the line stands still."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._total: int | None = None
        self._pace = Pace()

    def begin(self, what: str, total: int | None = None) -> None:
        """Finish the line before and start one for this work."""
        self.close()
        self._pace, self._total = Pace(), total
        self._bar = Bar(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[status]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            # what libraries print stays where they print it: stdout may carry a table
            redirect_stdout=False,
        )
        self._task = self._bar.add_task(what, total=total, status="")
        self._bar.start()

    def update(self, done: int, total: int | None = None, **facts: float) -> None:
        """Redraw the line with count, facts, rate and time left."""
        self._pace.mark(done)
        self._total = self._total if total is None else total
        if self._bar is not None:
            status = status_text(self._pace, self._total, facts)
            self._bar.update(self._task, completed=done, total=self._total, status=status)

    def note(self, text: str) -> None:
        """Write the note above the line."""
        self._console.print(Text(text))

    def table(self, table: Table) -> None:
        """Finish the line of the work whose result the table is, and write the table."""
        self.close()
        print_table(table)

    def close(self) -> None:
        """Let the line stand as it is, complete."""
        if self._bar is not None:
            total = self._total if self._total is not None else max(self._pace.done, 1)
            self._bar.update(self._task, total=total)
            if self._total is None:
                self._bar.update(self._task, completed=total)
            self._bar.stop()
            self._bar = None
