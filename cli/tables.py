"""Tables on stdout: drawn by rich on a terminal, aligned plain text elsewhere."""

import io
import sys
from typing import Any

from tclip.progress import Table

LONGEST_FRACTION = 6  # as in 100.0 or 605.16


def take_any_name() -> None:
    """Let stdout take file names that are no text: their bytes are written as escapes, like \\udce9.

    In JSON these are escapes too, so that its readers get the name itself.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def print_table(table: Table) -> None:
    """Write a table to stdout."""
    if sys.stdout.isatty():
        _draw(table)
    else:
        print(plain_table(table), flush=True)


def plain_table(table: Table) -> str:
    """Return a table as aligned text: title, columns, a rule, rows; numbers to the right."""
    cells = [[cell_text(value) for value in row] for row in (table.columns, *table.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(table.columns))]
    to_right = _numeric(table)
    lines = [
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, to_right, strict=True)
        ).rstrip()
        for row in cells
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([cell_text(table.title), lines[0], rule, *lines[1:]]) + "\n"


def cell_text(value: Any) -> str:
    """Return a value as a cell: nothing for None; a fraction as its maker rounded it, or to four digits.

    What stdout cannot write, such as a file name that is no text, is escaped.
    """
    if value is None:
        return ""
    text = str(value)
    if isinstance(value, float) and len(text) > LONGEST_FRACTION:
        return f"{value:.4g}"
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _numeric(table: Table) -> list[bool]:
    columns = range(len(table.columns))
    return [all(isinstance(row[column], int | float | None) for row in table.rows) for column in columns]


def _draw(table: Table) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable()
    for name, right in zip(table.columns, _numeric(table), strict=True):
        drawn.add_column(Text(cell_text(name)), justify="right" if right else "left")
    for row in table.rows:
        drawn.add_row(*(Text(cell_text(value)) for value in row))
    # As its title, the text would be broken to the width of a narrow table.
    Console().print(Text(cell_text(table.title), style="bold"), drawn, "")
