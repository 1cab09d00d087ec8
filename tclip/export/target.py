"""What the export targets share: the model they start from, what they refuse, what they have written."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tclip.errors import UserError
from tclip.export.onnx import WrittenFile
from tclip.models.clip import Clip
from tclip.models.patterns import numbers_starred
from tclip.packed.load import load_packed
from tclip.progress import Table
from tclip.run import Run

LARGEST = 5


def packed_clip(run: Run) -> Clip:
    """Load the packed model of a run.

    Raises:
        UserError: the run is not packed yet.
        FormatError: its packed model is damaged or newer.
    """
    check_packed(run)
    return load_packed(run.packed)


def check_packed(run: Run) -> None:
    """Refuse a run without a packed model: none has been written, or it was deleted.

    Raises:
        UserError: there is none.
    """
    if not run.packed.is_dir():
        raise UserError(f"{run.folder} is not packed yet: run `tclip pack {run.folder}` first.")


def alike(faults: Iterable[tuple[str, str]]) -> list[str]:
    """Write faults of weights as lines; those of the same weight in several layers make one line.

    Args:
        faults: name of a weight, and what is wrong with it.
    """
    counts = Counter((numbers_starred(name), fault) for name, fault in faults)
    return [
        f"{name}{f' ({count} of them)' if count > 1 else ''}: {fault}"
        for (name, fault), count in counts.items()
    ]


def written_files(folder: Path) -> list[WrittenFile]:
    """List the files of a folder, the largest first."""
    files = [WrittenFile(path, path.stat().st_size) for path in folder.rglob("*") if path.is_file()]
    return sorted(files, key=lambda file: (-file.num_bytes, file.path))


def files_table(title: str, files: Iterable[WrittenFile]) -> Table:
    """Return the largest files, and all of them together."""
    listed = list(files)
    rows = [(file.path.name, file.num_bytes) for file in listed[:LARGEST]]
    if len(listed) > 1:
        rows.append((f"all {len(listed)} files", sum(file.num_bytes for file in listed)))
    return Table(title, ["file", "MB"], [[name, round(num_bytes / 1e6, 2)] for name, num_bytes in rows])
