"""Where image-text pairs come from: the readers, and which one a spec belongs to.

A new kind of source is one file and one line in READERS.
"""

from collections.abc import Callable
from pathlib import Path

from tclip.data import hub
from tclip.data.folders import Folder, LocalFolder
from tclip.data.layout import LayoutSource, read_layout
from tclip.data.rows import open_rows
from tclip.data.sample import PairSource
from tclip.data.shards import open_pattern, open_tars
from tclip.data.table import IMAGE_COLUMNS, TEXT_COLUMNS, open_table
from tclip.errors import DataError, did_you_mean


def open_pairs(spec: str, split: str = "train") -> PairSource:
    """Find the reader for a source of image-text pairs.

    Args:
        spec: a .tar, a glob or brace pattern of tars, a folder of tars, a CLIP_benchmark-layout folder, a
            caption table (.csv, .tsv, .jsonl) or a folder with one, `hf://[datasets/]owner/name[@revision][/glob]`,
            `owner/name` of a data set on the Hub, or `datasets://owner/name[@revision][:config]`.
        split: which split to read where there are several.

    Raises:
        DataError: nothing is there, the split is not, or it is no data that a reader knows.
    """
    source = find_source(spec, split)
    if source is None:
        hint = " Pictures need no captions with --set data.captions=words." if Path(spec).is_dir() else ""
        raise DataError(not_known(spec) + hint)
    return source


def find_source(spec: str, split: str, *, paired: bool = True) -> PairSource | None:
    """Return what the first reader that knows the spec makes of it; None if no reader does.

    With `paired` false, images alone are read: captions and classes are neither needed nor looked at.

    Raises:
        DataError: a reader knows it, but it is broken or lacks the split.
    """
    found = (reader(spec, split, paired) for reader in READERS)
    return next((source for source in found if source is not None), None)


def find_folder(spec: str) -> tuple[Folder | None, str | None]:
    """Return the folder that a spec means, here or on the Hub, and the pattern behind it, if any.

    Raises:
        DataError: the Hub does not have it or does not answer.
    """
    if Path(spec).is_dir():
        return LocalFolder(Path(spec)), None
    if spec.startswith("hf://"):
        parts = hub.parse(spec)
        return hub.HubFolder(parts.repo, parts.revision), parts.pattern
    # `data/flickr8k` with a data/ beside us is a mistyped path, not a name on the Hub.
    if hub.BARE.fullmatch(spec) and not Path(spec).parent.is_dir() and not Path(spec).exists():
        return hub.HubFolder(spec), None
    return None, None


def _open_folder(spec: str, split: str, paired: bool) -> PairSource | None:
    folder, pattern = find_folder(spec)
    if folder is None:
        return None
    if pattern is None and (layout := read_layout(folder, paired=paired)) is not None:
        return LayoutSource(spec, layout, split)
    source = open_tars(spec, folder, split, pattern, paired=paired)
    if source is None and not Path(spec).is_dir():
        raise DataError(
            f"{folder.where} holds no tar shards: for other kinds of data sets write datasets://owner/name."
        )
    return source


def not_known(spec: str) -> str:
    """Return a sentence that says what was looked for where no reader knows a spec."""
    path = Path(spec)
    if path.is_dir():
        return (
            f'"{spec}" holds no data that is known: looked for SPLIT/nshards.txt with SPLIT/0.tar, '
            "for *.tar, and for a caption table (.csv, .tsv, .jsonl) with the columns "
            f"{' or '.join(IMAGE_COLUMNS)} and {' or '.join(TEXT_COLUMNS)}."
        )
    if path.exists():
        return (
            f'"{spec}" is no kind of data that is known: give a .tar, .csv, .tsv or .jsonl file, or a folder.'
        )
    near = path.parent.iterdir() if path.parent.is_dir() else ()
    hint = did_you_mean(path.name, [other.name for other in near])
    return f'"{spec}" does not exist: give a file or folder, or hf://owner/name for data on the Hub.{hint}'


READERS: tuple[Callable[[str, str, bool], PairSource | None], ...] = (
    open_rows,
    lambda spec, _, paired: open_pattern(spec, paired=paired),
    _open_folder,
    open_table,
)
