"""What a run publishes, and under which names.

    /               the packed model: config.json, model.safetensors, tokenizer, preprocessor
    onnx/, gguf/    the exported forms that were made of this packed model
    results/        the table, one record a data set and form, how calibration went, how far the forms agree
    recipe.yaml     the recipe, of local paths their names alone
    README.md       the model card (card.py)

Checkpoints, caches, teachers and data stay where they are.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

from tclip.errors import DataError, UserError, first_line, listed
from tclip.evaluate.record import Record, read_record
from tclip.evaluate.table import shown
from tclip.hub.state import FORMS, State, is_newer
from tclip.recipe.local import is_local, without_folders
from tclip.recipe.write import recipe_text
from tclip.run import Run, with_sources

CARD, RECIPE, RESULTS = "README.md", "recipe.yaml", "results"
# what may say where something lies on this machine; vocabularies hold any text
TOLD = (".json", ".yaml", ".md")
VOCABULARIES = ("tokenizer.json", "vocab.json", "added_tokens.json")
BLOCK = 1 << 22


@dataclass(frozen=True)
class PublishedFile:
    """One file of a push.

    Attributes:
        path: its name in the repository.
        content: the file on this machine, or the bytes themselves.
    """

    path: str
    content: Path | bytes

    @cached_property
    def num_bytes(self) -> int:
        """Return its size."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @property
    def sha256(self) -> str:
        """Return the hash by which the Hub knows a large file."""
        return self._hashes[0]

    @property
    def git_sha1(self) -> str:
        """Return the hash by which git, and so the Hub, knows a small file."""
        return self._hashes[1]

    @cached_property
    def _hashes(self) -> tuple[str, str]:
        large = hashlib.sha256()
        small = hashlib.sha1(f"blob {self.num_bytes}\0".encode(), usedforsecurity=False)
        for block in self._blocks():
            large.update(block)
            small.update(block)
        return large.hexdigest(), small.hexdigest()

    def _blocks(self) -> Iterator[bytes]:
        if isinstance(self.content, bytes):
            yield self.content
            return
        with self.content.open("rb") as file:
            while block := file.read(BLOCK):
                yield block

    def text(self) -> str:
        """Return its content as text."""
        return b"".join(self._blocks()).decode("utf-8", "replace")


def gather(run: Run, state: State) -> list[PublishedFile]:
    """Return what a run publishes, all but the card, in the order of their names.

    Raises:
        UserError: a file would tell where something lies on this machine; all of them are named.
    """
    files = [
        *_packed(run),
        *(file for form in state.forms for file in _form(run, form)),
        *_results(run, state),
        PublishedFile(RECIPE, recipe_text(with_sources(run.recipe, without_folders)).encode()),
    ]
    refuse_private(files, run)
    return sorted(files, key=lambda file: ("/" in file.path, file.path))


def refuse_private(files: Sequence[PublishedFile], run: Run) -> None:
    """Raise UserError for every file that holds the path of the run, or one that its recipe names."""
    sources: set[str] = {str(run.folder.absolute()), str(run.folder.resolve())}

    def collect(name: str) -> str:
        if is_local(name):
            sources.add(name)
        return name

    with_sources(run.recipe, collect)
    private = sorted(source for source in sources if source.count("/") > 1)
    offenders = [
        f"{file.path}: {path}"
        for file in files
        if file.path.endswith(TOLD) and Path(file.path).name not in VOCABULARIES
        for path in private
        if path in file.text()
    ]
    if offenders:
        raise UserError(
            f"These files would tell everybody where something lies on this machine; take it out of them:"
            f"{listed(offenders)}"
        )


def _packed(run: Run) -> Iterator[PublishedFile]:
    for path in sorted(run.packed.iterdir()):
        if path.is_file() and not path.name.startswith(".") and path.name not in (CARD, RECIPE):
            yield PublishedFile(path.name, path)


def _form(run: Run, form: str) -> Iterator[PublishedFile]:
    for path in sorted((run.folder / form).iterdir()):
        if any(fnmatch(path.name, pattern) for pattern in FORMS[form]):
            yield PublishedFile(f"{form}/{path.name}", path)


def _results(run: Run, state: State) -> Iterator[PublishedFile]:
    """Titles and models are named anew: they hold paths."""
    if state.measured:
        yield _json(run, "table.json", title="The original and its ternary forms")
        yield from _records(run)
    if (run.results / "calibration.json").is_file():
        yield _json(run, "calibration.json")
    if "onnx" in state.forms and (run.results / "onnx.json").is_file():
        yield _json(run, "onnx.json")
    if is_newer(run.results / "verify.json", run.packed):
        about = _read(run, "verify.json").get("title", "").rpartition(" on ")[2]  # how many images and texts
        yield _json(run, "verify.json", title=f"Cosine to the packed model on {about}")


def _records(run: Run) -> Iterator[PublishedFile]:
    for form, records in shown_records(run).items():
        for record in records:
            told = asdict(replace(record, model=without_folders(record.model)))
            yield PublishedFile(f"{RESULTS}/{form}/{record.dataset}.json", _bytes(told))


def shown_records(run: Run) -> dict[str, list[Record]]:
    """Return, by form, the records that the table shows; others are of earlier measurements."""
    table = read_table(run)
    cells = {
        (row[0], form): cell
        for row in table["rows"]
        for form, cell in zip(table["columns"][1:], row[1:], strict=True)
    }
    found: dict[str, list[Record]] = {}
    for path in sorted(run.results.glob("*/*.json")):
        record, form = read_record(path), path.parent.name
        if all(
            cells.get((f"{record.dataset} {label}, %", form)) == round(100 * record.metrics[metric], 1)
            for label, metric in shown(record).items()
        ):
            found.setdefault(form, []).append(record)
    return found


def read_table(run: Run) -> dict[str, Any]:
    """Return what evaluation left, as `tclip.progress.Table` has it."""
    return _read(run, "table.json")


def _json(run: Run, name: str, **changes: str) -> PublishedFile:
    return PublishedFile(f"{RESULTS}/{name}", _bytes({**_read(run, name), **changes}))


def _read(run: Run, name: str) -> dict[str, Any]:
    path = run.results / name
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is damaged ({first_line(error)}): run the stage that wrote it again."
        ) from error


def _bytes(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()
