"""One split of a data set of the Hub, brought to a folder once, for those who read it more than once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tclip.data.hub import HubFolder, hub_errors, parse
from tclip.errors import DataError, first_line
from tclip.progress import Progress


def download_split(spec: str, folder: Path, split: str, progress: Progress) -> None:
    """Bring the shards of a split, and what lies beside the splits, to a folder that is there once all are.

    Until then they lie beside it, in .NAME.downloading, where the next call goes on. Other splits, which may
    be many times larger, stay on the Hub.

    Args:
        spec: hf://owner/name[@revision], in CLIP_benchmark's layout.
        folder: does not exist yet.
        split: whose shards.
        progress: told how many files are here.

    Raises:
        DataError: the Hub does not have it or gives no answer, or the folder cannot be written.
    """
    from huggingface_hub import hf_hub_download

    repo, revision, _ = parse(spec)
    source = HubFolder(repo, revision)
    names = [name for name in source.names() if "/" not in name or name.startswith(f"{split}/")]
    partial = folder.with_name(f".{folder.name}.downloading")
    progress.begin(f"download {repo}", len(names))
    try:
        with _one_display(), hub_errors(repo, source.commit):
            for done, name in enumerate(names, 1):
                hf_hub_download(repo, name, repo_type="dataset", revision=source.commit, local_dir=partial)
                progress.update(done)
        partial.rename(folder)
    except (OSError, RuntimeError) as error:  # the latter from the client's native part, of network and disk
        raise DataError(
            f"Bringing {repo} to {folder} failed ({first_line(error)}): "
            "the same command goes on where it stopped."
        ) from error


@contextmanager
def _one_display() -> Iterator[None]:
    """Mute the client's own bars, which would write across ours."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    muted = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not muted:
            enable_progress_bars()
