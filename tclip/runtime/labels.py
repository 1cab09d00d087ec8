"""The labels of a zero-shot classification, as users write them."""

from pathlib import Path

from tclip.errors import DataError


def read_labels(text: str | None, file: Path | None) -> list[str]:
    """Return labels given as "a,b,c", or one a line in a file.

    Raises:
        DataError: neither or both are given, the file cannot be read, or there is no label.
    """
    if (text is None) == (file is None):
        raise DataError("Give the labels either as --labels a,b,c or as --labels-file FILE, one a line.")
    if file is not None and not file.is_file():
        raise DataError(f"There is no file {file}: give one with a label a line.")
    try:
        parts = file.read_text(encoding="utf-8").splitlines() if file else str(text).split(",")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not UTF-8 text ({error.reason}): give one with a label a line."
        ) from error
    labels = [part.strip() for part in parts if part.strip()]
    if not labels:
        raise DataError(f"{file or '--labels'} holds no label: give at least one.")
    return labels
