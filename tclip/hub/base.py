"""The model that a run started from: its name for others, and what its card says."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tclip.errors import ModelError, UserError, first_line
from tclip.models.names import resolve_name
from tclip.recipe.local import without_folders
from tclip.run import Run


@dataclass(frozen=True)
class Base:
    """Where a run's model came from.

    Attributes:
        name: for others: the Hub id, or of a local folder its name.
        hub_id: its id on the Hub, if it is known.
        facts: the front matter of its card.
        unknown: why the card could not be read, if it could not.
    """

    name: str
    hub_id: str | None
    facts: dict[str, Any] = field(default_factory=dict)
    unknown: str = ""


def find_base(run: Run, stated: str | None) -> Base:
    """Return what is known of the model that a run started from.

    Args:
        run: the run folder.
        stated: the Hub id, where the run started from a local copy.

    Raises:
        UserError: what is stated is no Hub id, or another than the run's.
    """
    given, revision = str(run.recipe.model.id), run.recipe.model.revision
    try:
        name = resolve_name(given)
    except ModelError:  # a folder that was moved
        name = None
    hub_id = name.hub_id if name else None
    if stated:
        if hub_id and hub_id != resolve_name(stated).hub_id:
            raise UserError(f"{run.folder} started from {hub_id}, not from {stated}: leave --base-model out.")
        hub_id = hub_id or resolve_name(stated).hub_id
        if hub_id is None:
            raise UserError(f"--base-model takes a Hub id, and {stated} is a folder: give owner/name.")
    if hub_id:
        return _from_hub(hub_id, revision)
    if name is None or name.folder is None:
        return Base(without_folders(given), None, unknown=f"there is no folder {given} any more")
    return _from_file(Base(name.folder.resolve().name, None), name.folder / "README.md")


def _from_hub(hub_id: str, revision: str | None) -> Base:
    from huggingface_hub import errors, hf_hub_download

    base = Base(hub_id, hub_id)
    http_error: type[Exception] = errors.HfHubHTTPError.__bases__[0]
    try:
        return _from_file(base, Path(hf_hub_download(hub_id, "README.md", revision=revision)))
    except (errors.EntryNotFoundError, errors.HFValidationError, http_error, OSError) as error:
        return Base(hub_id, hub_id, unknown=f"its card cannot be had: {first_line(error)}")


def _from_file(base: Base, path: Path) -> Base:
    """Read the front matter of a card."""
    import yaml
    from huggingface_hub import ModelCard

    if not path.is_file():
        return Base(base.name, base.hub_id, unknown="it has no card")
    try:
        card = ModelCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=True)
    except (ValueError, yaml.YAMLError) as error:
        return Base(base.name, base.hub_id, unknown=f"its card cannot be read: {first_line(error)}")
    return Base(base.name, base.hub_id, card.data.to_dict())
