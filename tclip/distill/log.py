"""The log of training, RUN/steps/log.jsonl: a line every few steps."""

import json
import math
from pathlib import Path

from tclip.errors import DataError, first_line
from tclip.run import write_whole

LOG = "log.jsonl"
Line = dict[str, int | float]


def read_log(folder: Path) -> list[Line]:
    """Return the lines of FOLDER/log.jsonl, none if there is none.

    The last line may have been cut off when the process was killed; it is left out then.

    Raises:
        DataError: another line is damaged.
    """
    path = folder / LOG
    texts = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    lines = list[Line]()
    for number, text in enumerate(texts, start=1):
        try:
            lines.append({name: float(value) for name, value in json.loads(text).items()})
        except (ValueError, AttributeError, TypeError) as error:
            if number < len(texts):
                reason = first_line(error)
                raise DataError(f"{path}:{number} is damaged ({reason}): delete that line.") from error
    return lines


def add_line(folder: Path, line: Line) -> None:
    """Add a line to FOLDER/log.jsonl."""
    with (folder / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


def cut_log(folder: Path, step: int) -> None:
    """Drop the lines of FOLDER/log.jsonl behind a step, which will be written again; make the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOG
    if not path.is_file():
        return
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _step_of(line) <= step]
    write_whole(path, "".join(f"{line}\n" for line in kept if step).encode())


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return math.inf  # a line that was being written when the process was killed
