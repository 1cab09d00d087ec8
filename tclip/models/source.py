"""Where a model came from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelSource:
    """Where a model came from.

    Attributes:
        id: the Hub id or the folder, as the user may write it again.
        revision: what was asked for on the Hub, if anything.
        commit: what identifies its bytes: the Hub's commit, or a hash of a folder's files.
    """

    id: str
    revision: str | None
    commit: str
