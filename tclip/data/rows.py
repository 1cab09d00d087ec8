"""A data set of the `datasets` package, streamed: `datasets://owner/name[@revision][:config]`.

`datasets` is an extra (`pip install "tclip[datasets]"`): it brings pandas and pyarrow, which nothing
else here needs. A local folder that `datasets` can read may stand in place of owner/name.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tclip.data.folders import LocalFolder
from tclip.data.hub import hub_errors
from tclip.data.sample import PairSource, Sample, digest, lines
from tclip.data.table import TEXT_COLUMNS
from tclip.errors import DataError, unknown_name

SCHEME = "datasets://"
IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "img", "picture")
TEXTS = (*TEXT_COLUMNS, "txt", "sentences", "en")
SPEC = re.compile(r"datasets://(?P<id>[^@:]+)(?:@(?P<revision>[^:]+))?(?::(?P<config>.+))?")


@dataclass(frozen=True)
class RowShard:
    """One shard of a streamed data set; `length` is about its number of rows, 0 where it is not told."""

    id: str
    rows: Any
    name: str
    image: str
    text: str | None
    length: int

    def __iter__(self) -> Iterator[Sample]:
        """Yield the rows as samples.

        Raises:
            DataError: the Hub breaks off.
        """
        with hub_errors(self.id, None):
            for number, row in enumerate(self.rows):
                captions = _captions(row[self.text]) if self.text else ()
                yield Sample(f"{self.name}[{number}]", _image_bytes(row[self.image]), captions)

    def __length_hint__(self) -> int:
        return self.length


class RowSource(PairSource):
    """Pairs from the rows of one split."""

    def __init__(self, spec: str, split: str, paired: bool) -> None:
        """Ask for the data set's description; rows are read later.

        Raises:
            DataError: `datasets` is not installed, or has no such data set, split or columns.
        """
        match = SPEC.fullmatch(spec)
        if match is None:
            raise DataError(
                f'"{spec}" is no address of a data set: write datasets://owner/name[@revision][:config].'
            )
        self.spec = spec
        self.name = match["id"].rstrip("/").rsplit("/", 1)[-1]
        self._id, self._config, self._split = match["id"], match["config"], split
        self._paired = paired
        self._version = _version(match["id"], match["revision"])
        self._rows = _load(match["id"], match["config"], self._revision(), split)

    def shards(self) -> Sequence[RowShard]:
        """Return the shards that the data set is stored in."""
        count = self._rows.num_shards
        parts = [self._rows.shard(num_shards=count, index=index) for index in range(count)]
        names = [f"{self._split}-{index}" for index in range(count)]
        image, text = self._columns()
        length = self._length()
        return [
            RowShard(self._id, part, name, image, text, length)
            for part, name in zip(parts, names, strict=True)
        ]

    def fingerprint(self) -> str:
        """Return a hash over the commit, or over a local folder's files, and config and split."""
        return digest(self._id, self._version, self._config, self._split)

    def _revision(self) -> str | None:
        return None if Path(self._id).exists() else self._version

    def _columns(self) -> tuple[str, str | None]:
        columns = list(self._rows.column_names or ())
        wanted = (IMAGE_COLUMNS, TEXTS) if self._paired else (IMAGE_COLUMNS,)
        chosen = [next((name for name in known if name in columns), "") for known in wanted]
        if not all(chosen):
            raise DataError(
                f'"{self.spec}" has the columns {", ".join(columns)}: one must be called '
                f"{', and one '.join(' or '.join(known) for known in wanted)}."
            )
        return chosen[0], chosen[1] if self._paired else None

    def _length(self) -> int:
        """About the number of rows in a shard, 0 where the data set does not tell."""
        told = (self._rows.info.splits or {}).get(self._split)
        return (told.num_examples or 0) // self._rows.num_shards if told else 0


def open_rows(spec: str, split: str, paired: bool) -> RowSource | None:
    """Open a datasets:// address; None if the spec is another."""
    return RowSource(spec, split, paired) if spec.startswith(SCHEME) else None


def _version(name: str, revision: str | None) -> str:
    if Path(name).is_dir():
        folder = LocalFolder(Path(name))
        files = [path.relative_to(name).as_posix() for path in Path(name).rglob("*") if path.is_file()]
        return folder.version(files)
    from huggingface_hub import HfApi

    with hub_errors(name, revision):
        return str(HfApi().dataset_info(name, revision=revision).sha)


def _load(name: str, config: str | None, revision: str | None, split: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError('datasets:// data need the extra: pip install "tclip[datasets]".') from error
    with hub_errors(name, revision):
        try:
            splits = datasets.get_dataset_split_names(name, config, revision=revision)
            if split not in splits:
                raise DataError(f"{SCHEME}{name}: {unknown_name('split', split, splits)}")
            rows = datasets.load_dataset(name, config, split=split, revision=revision, streaming=True)
        except (ValueError, datasets.exceptions.DatasetsError) as error:
            raise DataError(f'"{name}" cannot be read by the datasets package: {error}') from error
        # Folders of images tell their features only in their rows, and `decode` needs to know them.
        rows = rows._resolve_features()
    # Bytes as they are stored: decoding is ours, so that broken images are counted and not raised.
    return rows.decode(False)


def _image_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, Mapping):
        return b""
    if value.get("bytes"):
        return bytes(value["bytes"])
    return _read(value["path"]) if value.get("path") else b""


def _read(path: str) -> bytes:
    from datasets.utils.file_utils import xopen

    try:
        with xopen(path, "rb") as stream:  # also hf://... and zip://NAME::hf://...
            return bytes(stream.read())
    except FileNotFoundError:
        return b""  # counted and named as a sample without an image


def _captions(value: Any) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else [value]
    return tuple(caption for text in texts if isinstance(text, str) for caption in lines(text))
