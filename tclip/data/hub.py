"""A data set repository of the Hugging Face Hub as a folder whose files are streamed."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import NamedTuple, cast
from urllib.parse import unquote

from tclip.data.folders import SEEN, Readable
from tclip.data.sample import digest
from tclip.errors import DataError

SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]*"
BARE = re.compile(rf"{SEGMENT}/{SEGMENT}")
SPEC = re.compile(
    rf"hf://(?:datasets/)?(?P<repo>{SEGMENT}/{SEGMENT})"
    r"(?:@(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+))?(?:/(?P<pattern>.+))?"
)


class HubSpec(NamedTuple):
    """The parts of `hf://[datasets/]owner/name[@revision][/glob]`."""

    repo: str
    revision: str | None
    pattern: str | None


def parse(spec: str) -> HubSpec:
    """Take an hf:// address apart.

    Raises:
        DataError: it is not one.
    """
    match = SPEC.fullmatch(spec)
    if match is None:
        raise DataError(
            f'"{spec}" is no address of Hub data: write hf://owner/name, hf://owner/name@revision/*.tar.'
        )
    revision = match["revision"]
    return HubSpec(match["repo"], revision and unquote(revision), match["pattern"])


class HubFolder:
    """The files of a data set repository at one commit; nothing is kept on disk."""

    def __init__(self, repo: str, revision: str | None = None) -> None:
        """Ask the Hub for the commit and the list of files.

        Raises:
            DataError: not found, gated, offline or no answer.
        """
        from huggingface_hub import HfApi

        self.repo = repo
        self.name = repo.rsplit("/", 1)[1]
        self.where = f"hf://{repo}" + (f"@{revision}" if revision else "")
        with hub_errors(repo, revision):
            info = HfApi().dataset_info(repo, revision=revision)
        self.commit = str(info.sha)
        self._names = sorted(file.rfilename for file in info.siblings or [])

    def names(self) -> Sequence[str]:
        """Return the sorted names of the files that a reader could want."""
        return [name for name in self._names if name.lower().endswith(SEEN)]

    @contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        """Stream a file at the commit found first.

        Raises:
            DataError: the Hub does not give it.
        """
        from huggingface_hub import HfFileSystem

        with hub_errors(self.repo, self.commit):
            path = f"datasets/{self.repo}@{self.commit}/{name}"
            # block_size=0: one connection read front to back, taken up again where it broke.
            with HfFileSystem().open(path, "rb", block_size=0) as stream:
                yield cast(Readable, stream)

    def size(self, name: str) -> int:
        """Return the bytes of a file.

        Raises:
            DataError: the Hub gives no answer.
        """
        return self._sizes[name]

    @cached_property
    def _sizes(self) -> dict[str, int]:
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        with hub_errors(self.repo, self.commit):
            entries = HfApi().list_repo_tree(
                self.repo, recursive=True, revision=self.commit, repo_type="dataset"
            )
            return {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}

    def version(self, names: Iterable[str]) -> str:
        """Return a hash over the commit and the names: a commit fixes the content."""
        return digest(self.repo, self.commit, *sorted(names))


@contextmanager
def hub_errors(repo: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's client raises into one sentence that says what to do.

    Raises:
        DataError: in place of any error of the Hub's client.
    """
    from huggingface_hub import errors

    no_answer = cast(
        "type[Exception]", vars(errors)["HTTPError"]
    )  # httpx's or httpx2's, by version of the client
    try:
        yield
    except errors.GatedRepoError as error:
        raise DataError(
            f'The data set "{repo}" is gated: accept its terms on its page on the Hub, '
            "then log in with `hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise DataError(f'The data set "{repo}" has no revision "{revision}" on the Hub.') from error
    except errors.LocalEntryNotFoundError as error:  # neither the Hub nor an earlier download has it
        raise DataError(f'The Hub gave no answer for the data set "{repo}": is the network up?') from error
    except (errors.RepositoryNotFoundError, errors.EntryNotFoundError, FileNotFoundError) as error:
        raise DataError(
            f'"{repo}" is no data set on the Hub that you may see, nor a folder here: check the spelling, '
            "or log in with `hf auth login` if it is private."
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise DataError(
            f'"{repo}" would be streamed from the Hub, but HF_HUB_OFFLINE is set: '
            "unset it, or give a local folder."
        ) from error
    except (errors.HfHubHTTPError, no_answer, ConnectionError, TimeoutError) as error:
        raise DataError(
            f'The Hub gave no answer for the data set "{repo}": {error}. Is the network up?'
        ) from error
