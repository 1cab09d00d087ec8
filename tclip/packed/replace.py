"""Putting a finished folder in the place of another, so that whatever interrupts it, one of the two is there.

No system call that works everywhere exchanges two folders. So there are two renames: FOLDER to
.NAME.old beside it, the new one to FOLDER. Who is interrupted between them leaves no FOLDER but a whole
.NAME.old, which the next reader or writer puts back.
"""

import shutil
from pathlib import Path


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


def _backup(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")
