"""Evaluation sets in CLIP_benchmark's webdataset layout, from a folder or the Hub."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from PIL import Image

from tclip.data.layout import CLASSNAMES, TEMPLATES, TYPE, Layout, prompts, read_layout
from tclip.data.pairs import find_folder
from tclip.data.sample import lines
from tclip.data.screen import BrokenImageError, decode
from tclip.data.tars import Group, read_groups
from tclip.errors import DataError

Task = Literal["zeroshot_classification", "zeroshot_retrieval"]


@dataclass(frozen=True)
class EvalSample:
    """One test image with its class, with the classes that it shows (multilabel), or with its captions."""

    key: str
    image_bytes: bytes
    classes: tuple[int, ...]
    captions: tuple[str, ...]

    def without_image(self) -> "EvalSample":
        """Return the sample without its bytes."""
        return replace(self, image_bytes=b"")

    def image(self) -> Image.Image:
        """Return the decoded image.

        Raises:
            DataError: it is broken; skipping it would change what is measured.
        """
        try:
            return decode(self.image_bytes)
        except BrokenImageError as error:
            raise DataError(f"The test image {self.key} cannot be decoded ({error}).") from error


class EvalSet:
    """One split of a data set to measure on."""

    def __init__(self, spec: str, layout: Layout, split: str, name: str | None = None) -> None:
        self.spec = spec
        self.split = split
        self.name = name or layout.folder.name
        self.task: Task = "zeroshot_retrieval" if layout.retrieval else "zeroshot_classification"
        self.multilabel = layout.multilabel
        self.classnames = layout.classnames
        self.templates = layout.templates
        self._layout = layout
        self._shards = layout.of_split(split)

    def prompts(self, index: int) -> tuple[str, ...]:
        """Return the texts that describe a class: every template with its name."""
        return prompts(self._layout, index)

    def fingerprint(self) -> str:
        """Return a hex hash that changes with the data."""
        return self._layout.version(self.split)

    def check(self) -> None:
        """Read the first sample only.

        Raises:
            DataError: there is none, or it has neither class nor caption.
        """
        if next(iter(self), None) is None:
            raise DataError(f'"{self.spec}" has no samples in {self.split}.')

    def __iter__(self) -> Iterator[EvalSample]:
        """Yield the samples in stored order.

        Raises:
            DataError: a shard cannot be read, or a sample has no image, no valid class or no caption.
        """
        for shard in self._shards:
            for group in read_groups(self._layout.folder, shard):
                yield self._sample(group)

    def _sample(self, group: Group) -> EvalSample:
        if not group.image:
            raise DataError(
                f"{self._layout.folder.where}: {group.key} has no image, only {', '.join(group.members)}."
            )
        if self.classnames:
            return EvalSample(group.key, group.image, self._layout.classes_of(group), ())
        captions = lines(group.members.get("txt", b"").decode("utf-8", "replace"))
        if not captions:
            raise DataError(
                f"{self._layout.folder.where}: {group.key} has no captions (.txt), "
                f"and there is no {CLASSNAMES} for a class."
            )
        return EvalSample(group.key, group.image, (), captions)


def open_evals(specs: Sequence[str], split: str) -> list[EvalSet]:
    """Open evaluation sets and look at the first sample of each.

    Raises:
        DataError: one cannot be had, as open_eval and EvalSet.check say, or two have the same name.
    """
    sets = [open_eval(spec, split) for spec in specs]
    for eval_set in sets:
        eval_set.check()
    twice = [name for name, count in Counter(found.name for found in sets).items() if count > 1]
    if twice:
        raise DataError(f"eval.data has several folders called {', '.join(twice)}: rename all but one.")
    return sets


def open_eval(spec: str, split: str = "test", name: str | None = None) -> EvalSet:
    """Open an evaluation set.

    Args:
        spec: a CLIP_benchmark-layout folder, `hf://owner/name[@revision]`, or `owner/name` on the Hub
            (CLIP_benchmark's own are called `clip-benchmark/wds_*`).
        split: which split to measure on.
        name: what to call it; its folder's name by default.

    Raises:
        DataError: it is not there, has another layout, or lacks the split.
    """
    folder, _ = find_folder(spec)
    if folder is None:
        raise DataError(f'"{spec}" is no folder here, and no data set of the Hub (hf://owner/name).')
    layout = read_layout(folder)
    if layout is None:
        raise DataError(
            f'"{spec}" is not in CLIP_benchmark\'s layout: looked for SPLIT/nshards.txt with '
            f"SPLIT/0.tar, and beside them {CLASSNAMES} with {TEMPLATES}, or {TYPE} that says retrieval."
        )
    return EvalSet(spec, layout, split, name)
