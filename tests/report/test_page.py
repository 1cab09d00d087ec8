"""The HTML: everything in one file, and in order for those who do not see it."""

import base64
from html.parser import HTMLParser

import pytest

from tclip.progress import Table
from tclip.report.page import Absent, Finding, Hit, Page, Plot, Section, Sheet, Tile, cell, render

PLOT = Plot("p", "A curve <falls>.", "Falls & falls.", b"light", b"dark", 920, 300)
HITS = (Hit(b"1", "a dog", True, True), Hit(b"2", "a cat", False, False))
PAGE = Page(
    title="my <b>model",
    subtitle="run",
    tiles=(Tile("31.3 MB", "packed"),),
    sections=(
        Section(
            "first",
            "First",
            ("One.",),
            (PLOT,),
            (
                Sheet(Table("Sizes", ["what", "bytes"], [["a&b", 1234567], ["c", None]])),
                Sheet(Table("Folded", ["x", "y"], [["1", "2"]]), folded=True),
            ),
        ),
        Section("second", "Second", findings={"Alike": (Finding("a <dog>", 0.5, {"original": HITS}),)}),
    ),
    absent=(Absent("Training", "no log", "tclip train RUN"), Absent("Else", "nothing to show")),
)


class Elements(HTMLParser):
    """Every element with its attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def elements() -> Elements:
    return Elements(render(PAGE))


def test_nothing_is_asked_of_anyone(elements: Elements) -> None:
    tags = {name for name, _ in elements.found}
    assert not tags & {"script", "iframe", "object", "embed", "video", "audio", "form"}
    for name, attributes in elements.found:
        for key in ("src", "srcset", "href", "poster", "action", "data"):
            value = attributes.get(key)
            assert value is None or value.startswith(("data:", "#")), (name, value)
    assert "url(" not in render(PAGE) and "@import" not in render(PAGE)


def test_pictures_are_in_the_page_for_light_and_dark(elements: Elements) -> None:
    (source,) = elements.of("source")
    assert source["srcset"] == f"data:image/png;base64,{base64.b64encode(b'dark').decode()}"
    assert source["media"] == "screen and (prefers-color-scheme: dark)"  # paper is light
    shown = [attributes["src"] for attributes in elements.of("img")]
    kinds = [("png", b"light"), ("jpeg", b"1"), ("jpeg", b"2")]
    assert shown == [f"data:image/{kind};base64,{base64.b64encode(x).decode()}" for kind, x in kinds]


def test_every_picture_has_words(elements: Elements) -> None:
    assert [each["alt"] for each in elements.of("img")] == ["A curve <falls>.", "a dog", "a cat"]
    assert "right" in elements.text and "only original has it here" in elements.text


def test_texts_are_texts(elements: Elements) -> None:
    for text in ("my <b>model", "a&b", "a <dog>", "Falls & falls."):
        assert text in elements.text
    assert elements.of("b") == []


def test_elements_are_closed_and_headings_in_order(elements: Elements) -> None:
    assert elements.open == []
    levels = [int(name[1]) for name, _ in elements.found if name in ("h1", "h2", "h3", "h4")]
    assert levels == [1, 2, 2, 3, 4, 2]
    assert elements.of("html") == [{"lang": "en"}]


def test_links_lead_to_sections(elements: Elements) -> None:
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [each["href"] for each in elements.of("a")] == ["#first", "#second", "#absent"]
    assert {f"#{name}" for name in ids} >= {str(each["href"]) for each in elements.of("a")}


def test_tables_name_their_columns_and_rows(elements: Elements) -> None:
    scopes = [each["scope"] for each in elements.of("th")]
    assert scopes == ["col", "col", "row", "row", "col", "col", "row"]
    assert len(elements.of("details")) == 1
    assert [each.get("class") for each in elements.of("td")] == ["number", "number", None]


def test_what_is_left_out_is_named_with_its_command(elements: Elements) -> None:
    text = " ".join(elements.text.split())
    assert "Training: no log: tclip train RUN" in text and "Else: nothing to show." in text


def test_an_empty_page_is_a_page() -> None:
    assert Elements(render(Page("t", "s", (), (), ()))).open == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (12345, "12 345"), (9999, "9999"), (0.073, "0.073"), ("x", "x"), (-1234567, "-1 234 567")],
)
def test_cells(value: object, text: str) -> None:
    assert cell(value) == text.replace(" ", "\N{NARROW NO-BREAK SPACE}")
