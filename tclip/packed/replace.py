"""Putting a finished folder in the place of another, so that whatever interrupts it, one of the two is there.

No system call that works everywhere exchanges two folders. So there are two renames: FOLDER to
.NAME.old beside it, the new one to FOLDER. Who is interrupted between them leaves no FOLDER but a whole
.NAME.old, which the next reader or writer puts back.
"""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder` to write into; it takes the place of `folder` once all is written.

    After an exception `folder` is as it was. Its files get the rights of any new file: libraries write some
    for the owner alone, and who serves a model is often another. What a writer that was killed has left is
    removed first.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f"{glob.escape(f'.{folder.name}.writing-')}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.writing-{os.getpid()}")
    try:
        temporary.mkdir()
        yield temporary
        _share(temporary)
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, folder: Path) -> None:
    """Rename `new`, a finished folder beside `folder`, to `folder`; the earlier one is removed last."""
    old = _backup(folder)
    restore_folder(folder)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Put back what a replacement that was interrupted has moved aside; otherwise do nothing."""
    old = _backup(folder)
    if old.is_dir() and not folder.exists():
        old.rename(folder)


def _share(folder: Path) -> None:
    fresh = folder / ".rights"
    fresh.touch()
    rights = fresh.stat().st_mode & 0o777
    fresh.unlink()
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(rights)


def _backup(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")
