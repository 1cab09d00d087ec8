"""Where the data of a suite lie: below a folder, on the Hub, or where the user says."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tclip.data import hub
from tclip.data.eval_sets import EvalSet, open_eval
from tclip.errors import DataError, did_you_mean, listed
from tclip.evaluate.suite.download import download_split
from tclip.evaluate.suite.tasks import Task, find_tasks, is_known, key_of
from tclip.progress import Progress

HUB = "hf://clip-benchmark"


@dataclass(frozen=True)
class Source:
    """A data set that is yet to be opened.

    Attributes:
        name: in records and tables: a task's key, or a folder's name.
        spec: the folder or address.
        keep: the folder that what the address names is brought to before it is read; None streams it.
    """

    name: str
    spec: str
    keep: Path | None = None

    def open(self, progress: Progress) -> EvalSet:
        """Open the test split.

        Raises:
            DataError: it cannot be had or kept, or is broken.
        """
        eval_set = open_eval(self.spec, name=self.name)
        if self.keep is None:
            return eval_set
        download_split(self.spec, self.keep, eval_set.split, progress)
        return open_eval(str(self.keep), eval_set.split, self.name)


def find_sources(
    suites: Sequence[str], data: Sequence[str], root: Path | None, *, download: bool = False
) -> list[Source]:
    """Return the data of suites, tasks and folders.

    Args:
        suites: names of suites, keys of tasks, and folders in CLIP_benchmark's layout.
        data: folders in CLIP_benchmark's layout, or hf://owner/name.
        root: where data of tasks may lie; those that do not are streamed from the Hub.
        download: keep those below root, which is made if need be.

    Raises:
        DataError: nothing is asked for, a name or a folder does not exist, or two data sets have one name or
            are of one task.
    """
    if not (suites or data):
        raise DataError(
            "Say what to measure on: name suites, tasks, or data sets of your own (--suite, --data)."
        )
    if download and root is None:
        raise DataError("Say where downloads are to be kept: add --root DIR.")
    if root is not None and not (download or root.is_dir()):
        raise DataError(
            f"There is no folder {root}: give --root the folder that holds wds_vtab-cifar10 and the like."
        )
    folders = [name for name in suites if not is_known(name) and Path(name).is_dir()]
    data = [*folders, *data]
    found = [
        _source(task, root, download) for task in find_tasks([name for name in suites if name not in folders])
    ]
    found += [Source(_name(spec), spec) for spec in data]
    _refuse_missing(data)
    if download:
        _refuse_to_keep([spec for spec in data if not Path(spec).is_dir()])
    if twice := [name for name, count in Counter(_identity(each) for each in found).items() if count > 1]:
        raise DataError(
            f"Several data sets are called {', '.join(twice)}: leave out all but one, or rename them."
        )
    return found


def _source(task: Task, root: Path | None, download: bool) -> Source:
    if root is not None:
        below = [root / name for name in task.names if (root / name).is_dir()]
        if below:
            return Source(task.key, str(below[0]))
    name, *_ = task.names
    return Source(task.key, f"{HUB}/{name}", root / name if root and download else None)


def _identity(source: Source) -> str:
    """Return what tells data sets apart: the task, whatever its data are called, else the record's file."""
    return key_of(source.name.replace("/", "-"))


def _name(spec: str) -> str:
    if Path(spec).is_dir():
        return Path(spec).resolve().name
    return hub.parse(spec).repo.rpartition("/")[2] if spec.startswith("hf://") else Path(spec).name


def _refuse_missing(data: Sequence[str]) -> None:
    missing = [
        f'"{spec}".{did_you_mean(spec, _siblings(Path(spec)))}'
        for spec in data
        if not (Path(spec).is_dir() or spec.startswith("hf://") or _is_hub_id(spec))
    ]
    if missing:
        raise DataError(
            f"There are no such folders, and they are no addresses hf://owner/name:{listed(missing)}"
        )


def _refuse_to_keep(addresses: Sequence[str]) -> None:
    if addresses:
        raise DataError(
            "--download brings tasks alone: stream these without it, or fetch them with `hf download "
            f"--repo-type dataset` and give the folder:{listed(addresses)}"
        )


def _is_hub_id(spec: str) -> bool:
    # as `find_folder` sees it: data/flickr8k with a data/ beside us is a mistyped path
    return bool(hub.BARE.fullmatch(spec)) and not Path(spec).parent.is_dir()


def _siblings(path: Path) -> list[str]:
    return [str(path.parent / each.name) for each in path.parent.iterdir()] if path.parent.is_dir() else []
