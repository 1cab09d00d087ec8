"""Images alone, for the image tower to learn from: of pairs, of plain folders, or made of pairs' images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tclip.data.made import MAKERS, Made
from tclip.data.pairs import find_source, not_known, open_pairs
from tclip.data.sample import PairSource, Sample, digest
from tclip.data.tars import IMAGES
from tclip.errors import DataError


def image_sources(specs: Sequence[str], pairs: Sequence[str], split: str = "train") -> list[PairSource]:
    """Find the readers for sources of images, of which the names of MAKERS stand for what is made of pairs.

    Args:
        specs: as for `open_images`, or "crops" or "collages".
        pairs: the sources of pairs, as for `open_pairs`.
        split: which split to read where there are several.

    Raises:
        DataError: nothing is there, the split is not, or it holds no images.
    """
    sources = list[PairSource]()
    for spec in specs:
        if spec in MAKERS:
            sources += [Made(open_pairs(pair, split), spec) for pair in pairs]
        else:
            sources.append(open_images(spec, split))
    return sources


def open_images(spec: str, split: str = "train") -> PairSource:
    """Find the reader for a source of images; its captions and classes, if it has any, are not used.

    Args:
        spec: as for `open_pairs`, or a folder of picture files, however deep.
        split: which split to read where there are several.

    Raises:
        DataError: nothing is there, the split is not, or it holds no images.
    """
    source = find_source(spec, split) or _open_folder(spec)
    if source is None:
        raise DataError(not_known(spec))
    return source


@dataclass(frozen=True)
class _Files:
    """All pictures of a folder as one shard."""

    folder: Path
    names: tuple[str, ...]
    name: str = "all"

    def __iter__(self) -> Iterator[Sample]:
        for name in self.names:
            try:
                yield Sample(name, (self.folder / name).read_bytes(), ())
            except OSError as error:
                raise DataError(f"Cannot read {self.folder / name}: {error.strerror}.") from error


class ImageFolder(PairSource):
    """The picture files below a folder, in the order of their names."""

    def __init__(self, spec: str, folder: Path, names: Sequence[str]) -> None:
        self.spec = spec
        self.name = folder.resolve().name
        self._files = _Files(folder, tuple(names))

    def shards(self) -> Sequence[_Files]:
        """Return the one shard."""
        return [self._files]

    def fingerprint(self) -> str:
        """Return a hash over names, sizes and times of change."""
        facts = ((self._files.folder / name).stat() for name in self._files.names)
        return digest(*self._files.names, *((fact.st_size, fact.st_mtime_ns) for fact in facts))


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
