"""What is measured: a model, or one of the forms in which a run holds it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tclip.errors import ModelError
from tclip.evaluate.encoder import ClipEncoder, Encoder
from tclip.models.clip import Clip
from tclip.models.fetch import fetch, hash_folder
from tclip.packed.replace import restore_folder
from tclip.run import Run


@dataclass(frozen=True)
class Subject:
    """A model whose weights are known and need not be loaded yet.

    Attributes:
        model: its name for the records.
        form: original, trained, packed or onnx.
        weights: identifies them: a commit of the Hub, or a hash of a folder's files.
        load: makes the encoder.
    """

    model: str
    form: str
    weights: str
    load: Callable[[], Encoder]

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, loaded when it is first wanted."""
        return self.load()


def subject_of(spec: str, revision: str | None = None) -> Subject:
    """Return a model as it is: a packed folder, or an ordinary CLIP, which counts as an original.

    Args:
        spec: Hub id, alias or local folder.
        revision: branch, tag or commit on the Hub.

    Raises:
        ModelError: it cannot be found, or is of another architecture.
    """
    from tclip.packed.load import load

    restore_folder(Path(spec).expanduser())
    files = fetch(spec, revision)
    form = "packed" if files.is_packed else "original"
    return Subject(spec, form, files.source.commit, lambda: _encoder(load(spec, revision)))


def subjects_of(run: Run, forms: Sequence[str] = ()) -> list[Subject]:
    """Return the forms of a run that are named, else what its recipe names, else all that is shipped.

    Raises:
        ModelError: the ONNX files are asked for and have not been exported.
    """
    return [FORMS[form](run) for form in forms_of(run, forms)]


def forms_of(run: Run, forms: Sequence[str] = ()) -> Sequence[str]:
    """Return what is to be measured: what is named here or in the recipe, else original and what is shipped.

    Raises:
        ModelError: the ONNX files are named, and they have not been exported.
    """
    named = tuple(forms) or run.recipe.eval.forms
    if named is None:
        return ("original", "packed", "onnx") if is_exported(run) else ("original", "packed")
    if "onnx" in named and not is_exported(run):
        raise ModelError(f"{run.folder} has no ONNX files: write them with `tclip export onnx {run.folder}`.")
    return named


def is_exported(run: Run) -> bool:
    """Return whether the run has ONNX files of its packed model."""
    return run.recipe.export.onnx is not None and "export" in run.finished()


def _encoder(clip: Clip) -> Encoder:
    import torch

    if torch.cuda.is_available():
        clip.model.to("cuda")
    return ClipEncoder(clip)


def _original(run: Run) -> Subject:
    from tclip.models.load import load_dense

    spec, revision = str(run.recipe.model.id), run.recipe.model.revision
    weights = fetch(spec, revision).source.commit
    return Subject(spec, "original", weights, lambda: _encoder(load_dense(spec, revision)))


def _folder(run: Run, form: str, folder: Path) -> Subject:
    from tclip.packed.load import load_packed

    restore_folder(folder)
    weights = fetch(str(folder)).source.commit
    return Subject(str(run.recipe.model.id), form, weights, lambda: _encoder(load_packed(folder)))


def _onnx(run: Run) -> Subject:
    weights = hash_folder(run.onnx, (".json", ".onnx"))
    return Subject(str(run.recipe.model.id), "onnx", weights, lambda: _onnx_encoder(run))


def _onnx_encoder(run: Run) -> Encoder:
    from tclip.export.session import OnnxClip
    from tclip.packed.read import read_packed

    return OnnxClip(run.onnx, logit_scale=read_packed(run.packed).floats["logit_scale"].float().exp().item())


FORMS: dict[str, Callable[[Run], Subject]] = {
    "original": _original,
    "trained": lambda run: _folder(run, "trained", run.ternary),
    "packed": lambda run: _folder(run, "packed", run.packed),
    "onnx": _onnx,
}
