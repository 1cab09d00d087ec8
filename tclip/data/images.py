"""Images alone, for the image tower to learn from: of pairs, of plain folders, or made of pairs' images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tclip.data.made import MAKERS, Made
from tclip.data.pairs import find_source, not_known
from tclip.data.pieces import pieces
from tclip.data.sample import PairSource, Sample, digest
from tclip.data.tars import IMAGES
from tclip.errors import DataError


def image_sources(specs: Sequence[str], pairs: Sequence[str], split: str = "train") -> list[PairSource]:
    """Find the readers for sources of images, of which the names of MAKERS stand for what is made of pairs.

    Args:
        specs: as for `open_images`, or "crops" or "collages".
        pairs: the sources of pairs; their captions are not needed here.
        split: which split to read where there are several.

    Raises:
        DataError: nothing is there, the split is not, or it holds no images.
    """
    sources = list[PairSource]()
    for spec in specs:
        if spec in MAKERS:
            sources += [Made(open_images(pair, split), spec) for pair in pairs]
        else:
            sources.append(open_images(spec, split))
    return sources


def open_images(spec: str, split: str = "train") -> PairSource:
    """Find the reader for a source of images; its captions and classes, if it has any, are not looked at.

    Args:
        spec: as for `open_pairs`, or a folder of picture files, however deep. Of a folder with a table that
            names images these are read, so that its splits are kept apart.
        split: which split to read where there are several.

    Raises:
        DataError: nothing is there, the split is not, or it holds no images.
    """
    source = find_source(spec, split, paired=False) or _open_folder(spec)
    if source is None:
        raise DataError(not_known(spec))
    return source


@dataclass(frozen=True)
class _Files:
    """A piece of a folder: pictures from anywhere in it."""

    folder: Path
    names: tuple[str, ...]
    name: str

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Sample]:
        for name in self.names:
            try:
                yield Sample(name, (self.folder / name).read_bytes(), ())
            except OSError as error:
                raise DataError(f"Cannot read {self.folder / name}: {error.strerror}.") from error


class ImageFolder(PairSource):
    """The picture files below a folder, in pieces that each have some from all over it."""

    def __init__(self, spec: str, folder: Path, names: Sequence[str]) -> None:
        self.spec = spec
        self.name = folder.resolve().name
        self._folder = folder
        self._names = names

    def shards(self) -> Sequence[_Files]:
        """Return the pieces."""
        return [
            _Files(self._folder, tuple(self._names[each] for each in piece), str(number))
            for number, piece in enumerate(pieces(len(self._names)))
        ]

    def fingerprint(self) -> str:
        """Return a hash over names, sizes and times of change."""
        facts = ((self._folder / name).stat() for name in self._names)
        return digest(*self._names, *((fact.st_size, fact.st_mtime_ns) for fact in facts))


def _open_folder(spec: str) -> PairSource | None:
    folder = Path(spec).expanduser()
    if not folder.is_dir():
        return None
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower().lstrip(".") in IMAGES and path.is_file()
    )
    return ImageFolder(spec, folder, names) if names else None
