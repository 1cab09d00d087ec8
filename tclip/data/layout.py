"""CLIP_benchmark's webdataset layout: what a data set folder says of itself.

SPLIT/nshards.txt, SPLIT/0.tar, SPLIT/1.tar ...   samples KEY.jpg with KEY.cls, KEY.npy or KEY.txt
classnames.txt                                    one class a line, be it blank  (classification)
zeroshot_classification_templates.txt             one template a line, {c} is the class name
dataset_type.txt                                  "retrieval": KEY.txt holds captions, one a line
                                                  "multilabel": KEY.npy holds a 0 or 1 for every class
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tclip.data.folders import Folder, read_text
from tclip.data.labels import class_index, classes_present
from tclip.data.sample import PairSource, Sample, digest, lines
from tclip.data.splits import ARCHIVES
from tclip.data.tars import Group, read_groups
from tclip.errors import DataError, listed, unknown_name

CLASSNAMES = "classnames.txt"
TEMPLATES = "zeroshot_classification_templates.txt"
TYPE = "dataset_type.txt"


@dataclass(frozen=True)
class Layout:
    """A data set folder: its splits with their shards, and for classification names and templates.

    `multilabel`: a picture may show any number of the classes, rather than one.
    `paired`: whether samples need captions; without, neither texts nor classes are looked at.
    """

    folder: Folder
    shards: dict[str, tuple[str, ...]]
    classnames: tuple[str, ...]
    templates: tuple[str, ...]
    multilabel: bool = False
    paired: bool = True

    @property
    def retrieval(self) -> bool:
        """Whether samples carry captions of their own rather than a class."""
        return not self.classnames

    def of_split(self, split: str) -> tuple[str, ...]:
        """Return the shards of a split.

        Raises:
            DataError: the split is not there.
        """
        if split not in self.shards:
            raise DataError(f"{self.folder.where}: {unknown_name('split', split, self.shards)}")
        return self.shards[split]

    def classes_of(self, group: Group) -> tuple[int, ...]:
        """Return the classes that a sample shows: one, or of a multilabel set any number.

        Raises:
            DataError: it does not say so, or not in terms of the classes that have names.
        """
        where, num_classes = f"{self.folder.where}: {group.key}", len(self.classnames)
        if self.multilabel:
            return classes_present(group, num_classes, where)
        return (class_index(group, num_classes, where),)

    def version(self, split: str) -> str:
        """Return a hash that changes with the shards of the split, the class names or the templates."""
        kind = ("multilabel",) if self.multilabel else ()
        return digest(self.folder.version(self.of_split(split)), self.classnames, self.templates, *kind)


def read_layout(folder: Folder, *, paired: bool = True) -> Layout | None:
    """Read the small files of a data set folder; None if it is not in this layout.

    Raises:
        DataError: it is in this layout, but files are missing or make no sense.
    """
    names = set(folder.names())
    splits = sorted(name.rsplit("/", 1)[0] for name in names if name.endswith("/nshards.txt"))
    if not splits:
        return None
    shards = {split: _shards(folder, split, names) for split in splits}
    if not paired:
        return Layout(folder, shards, (), (), paired=False)
    kind = read_text(folder, TYPE).strip().lower() if TYPE in names else ""
    if kind == "retrieval":
        return Layout(folder, shards, (), ())
    if CLASSNAMES not in names:
        return Layout(folder, shards, (), ())
    if TEMPLATES not in names:
        raise DataError(
            f"{folder.where} has {CLASSNAMES} but no {TEMPLATES}: write one template a line, with {{c}}."
        )
    return Layout(folder, shards, _classnames(folder), _templates(folder), kind == "multilabel")


def prompts(layout: Layout, index: int) -> tuple[str, ...]:
    """Return the templates filled with the name of a class."""
    return tuple(template.replace("{c}", layout.classnames[index]) for template in layout.templates)


@dataclass(frozen=True)
class LayoutShard:
    """One tar of a split; the captions of a classification set are its templates."""

    layout: Layout
    name: str

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples of the tar."""
        for group in read_groups(self.layout.folder, self.name):
            yield Sample(group.key, group.image, self._captions(group))

    def _captions(self, group: Group) -> tuple[str, ...]:
        if not self.layout.paired:
            return ()
        if "txt" in group.members:
            return lines(group.members["txt"].decode("utf-8", "replace"))
        if self.layout.classnames:
            classes = self.layout.classes_of(group)
            texts = (text for index in classes for text in prompts(self.layout, index))
            return tuple(text for text in texts if text.strip())
        if "cls" in group.members:
            raise DataError(
                f"{self.layout.folder.where}: {group.key} has a class but no caption, "
                f"and there is no {CLASSNAMES} with {TEMPLATES} to make captions from."
            )
        return ()


class LayoutSource(PairSource):
    """The pairs of one split of a CLIP_benchmark-layout folder."""

    def __init__(self, spec: str, layout: Layout, split: str) -> None:
        self.spec = spec
        self.name = layout.folder.name
        self._layout = layout
        self._split = split
        layout.of_split(split)

    def shards(self) -> Sequence[LayoutShard]:
        """Return the tars of the split in numeric order."""
        return [LayoutShard(self._layout, name) for name in self._layout.of_split(self._split)]

    def fingerprint(self) -> str:
        """Return a hash over shards, class names and templates."""
        return self._layout.version(self._split)


def _shards(folder: Folder, split: str, names: set[str]) -> tuple[str, ...]:
    text = read_text(folder, f"{split}/nshards.txt").strip()
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise DataError(f'{folder.where}/{split}/nshards.txt says "{text}": it must be the number of shards.')
    shards = [f"{split}/{number}.tar" for number in range(int(text))]
    if missing := [shard for shard in shards if shard not in names]:
        stray = sum(name.startswith(f"{split}/") and name.endswith(ARCHIVES) for name in names)
        raise DataError(
            f"{folder.where}/{split}/nshards.txt says {text} shards, {stray} are there; "
            f"missing:{listed(missing[:20])}"
        )
    return tuple(shards)


def _classnames(folder: Folder) -> tuple[str, ...]:
    # A line is a class, be its name repeated or blank: in CLIP_benchmark's clevr_closest_object_distance the
    # distance between near and distant has no name. Only blank lines at the end are none.
    names = tuple(line.strip() for line in read_text(folder, CLASSNAMES).rstrip().splitlines())
    if not names:
        raise DataError(f"{folder.where}/{CLASSNAMES} names no class: write one a line.")
    return names


def _templates(folder: Folder) -> tuple[str, ...]:
    templates = lines(read_text(folder, TEMPLATES))
    without = [template for template in templates if "{c}" not in template]
    if without or not templates:
        raise DataError(
            f"{folder.where}/{TEMPLATES}: every line must hold {{c}}:{listed(without or ['(no line)'])}"
        )
    return templates
