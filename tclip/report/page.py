"""What a report is made of, and the HTML page that holds all of it: styles, pictures and text in one file."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tclip.progress import Table

FOLDER = Path(__file__).parent
TEMPLATE, STYLE = "page.html.j2", "page.css"
THOUSAND_FROM = 10_000  # whole numbers from here on are grouped: 12 345


@dataclass(frozen=True)
class Plot:
    """A plot as PNG, drawn for light pages and for dark ones.

    Attributes:
        name: of its file, without ending.
        alt: what it shows, for those who do not see it.
        caption: what stands below it.
        light: the PNG for light pages and for paper.
        dark: the PNG for dark pages.
        width: in CSS pixels.
        height: in CSS pixels.
    """

    name: str
    alt: str
    caption: str
    light: bytes
    dark: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Sheet:
    """A table of a page; a long one is folded until it is asked for."""

    table: Table
    folded: bool = False


@dataclass(frozen=True)
class Hit:
    """An image that a model found.

    Attributes:
        image: JPEG.
        alt: what it shows.
        right: whether the query describes it.
        shared: whether the other model has it among its first ones too.
    """

    image: bytes
    alt: str
    right: bool
    shared: bool


@dataclass(frozen=True)
class Finding:
    """A query, and what each model ranks first for it.

    Attributes:
        query: the text.
        agreement: how alike the two rankings begin, in [0, 1].
        rows: the hits of each model, best first, by the model's name.
    """

    query: str
    agreement: float
    rows: dict[str, tuple[Hit, ...]]


@dataclass(frozen=True)
class Section:
    """A part of a page, in the order in which it is shown.

    Attributes:
        key: its anchor.
        title: its heading.
        text: paragraphs.
        plots: below the text.
        tables: below the plots.
        findings: queries by the heading of their group, at the end.
    """

    key: str
    title: str
    text: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    tables: tuple[Sheet, ...] = ()
    findings: dict[str, tuple[Finding, ...]] | None = None


@dataclass(frozen=True)
class Absent:
    """A section that cannot be: why, and the command that would bring it (with RUN for the run folder)."""

    title: str
    why: str
    command: str = ""


@dataclass(frozen=True)
class Tile:
    """A number to be seen at once, and what it is."""

    number: str
    meaning: str


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    absent: tuple[Absent, ...]


def render(page: Page) -> str:
    """Return the page as one HTML document that asks for nothing else: no script, no request."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"data_uri": data_uri, "cell": cell}
    environment.tests["number"] = is_number
    return environment.get_template(TEMPLATE).render(
        page=page, style=(FOLDER / STYLE).read_text(encoding="utf-8"), numeric_columns=numeric_columns
    )


def data_uri(content: bytes, kind: str) -> str:
    """Return bytes of a MIME type as an address that holds them."""
    return f"data:{kind};base64,{b64encode(content).decode()}"


def cell(value: Any) -> str:
    """Return a value of a table as text: a dash for None, whole numbers in groups of three digits."""
    if value is None:
        return "–"
    if isinstance(value, int) and abs(value) >= THOUSAND_FROM:
        return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return str(value)


def is_number(value: Any) -> bool:
    """Return whether a value of a table stands to the right of its column."""
    return value is None or isinstance(value, int | float)


def numeric_columns(rows: Sequence[Sequence[Any]]) -> list[bool]:
    """Return for every column whether it holds nothing but numbers."""
    return [all(map(is_number, column)) for column in zip(*rows, strict=True)]
