"""What a user can do wrong, as exceptions whose message is one sentence: what, where, what to do.

UserError
├── RecipeError     a recipe does not say what it must
├── ModelError      a model cannot be found, read or handled
├── DataError       images, captions or labels cannot be found or read
├── FormatError     a packed file is damaged, foreign or of a newer format
├── TrainingError   training went astray (NaN, exploding loss) or cannot be resumed
├── ParityError     an exported file does not answer as the model it was made from
└── HubError        the Hub is not reached, fails, or holds something else than was sent

Everything else is a bug and crashes loudly.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """A mistake that its maker can mend; the command line prints the message and exits with `exit_code`."""

    exit_code = 2


class RecipeError(UserError):
    """A recipe does not say what it must."""


class ModelError(UserError):
    """A model cannot be found, read or handled."""


class DataError(UserError):
    """Images, captions or labels cannot be found or read."""


class FormatError(UserError):
    """A packed file is damaged, foreign or of a newer format."""


class TrainingError(UserError):
    """Training went astray or cannot be resumed."""


class ParityError(UserError):
    """An exported file does not answer as the model it was made from: nothing that the user did wrong."""

    exit_code = 1


class HubError(UserError):
    """The Hub is not reached, fails half way or holds something else than was sent: nobody's mistake."""

    exit_code = 1


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ' Did you mean "..."?' for the nearest known name, or '' when none is near."""
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.6)
    return f' Did you mean "{by_lower_case[near[0]]}"?' if near else ""


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that is not known, with a suggestion and every known name."""
    names = sorted(known)
    return f'Unknown {what} "{name}".{did_you_mean(name, names)} Known: {", ".join(names)}.'


def listed(offenders: Iterable[str]) -> str:
    """Return offenders one a line, indented, so that a message can show all of them at once."""
    return "".join(f"\n  {offender}" for offender in offenders)


def no_text(folder: Path) -> str:
    """Return what is wrong with a folder in whose absolute path bytes are no UTF-8, or ''.

    safetensors and tokenizers open no file below it.
    """
    path = str(folder.absolute())
    if not any("\udc80" <= letter <= "\udcff" for letter in path):
        return ""
    return f"The path {path!r} is not UTF-8, and safetensors opens no file below it: rename the folder."


def first_line(error: BaseException) -> str:
    """Return the first line of another library's message, to quote it within a sentence of ours.

    A line that ends with a colon says little alone and is joined with the next.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    while lines[0].endswith(":") and len(lines) > 1:
        lines[:2] = [f"{lines[0]} {lines[1]}"]
    return lines[0].rstrip(".:")
