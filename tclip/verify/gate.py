"""Writing a form of the packed model, and letting it into the run only if it answers as the model does."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tclip.errors import ParityError
from tclip.export.onnx import WrittenFile, export_onnx
from tclip.export.stage import comparison_pairs
from tclip.export.target import files_table, packed_clip
from tclip.models.clip import Clip
from tclip.packed.replace import replace_folder
from tclip.progress import Progress
from tclip.recipe.read import read_recipe
from tclip.recipe.schema import Onnx
from tclip.run import Run
from tclip.verify.forms import FORMS, onnx_form
from tclip.verify.verify import SAMPLES, agreement_of, agreement_table, expected_answers, refuse_strangers

Export = Callable[[Clip, Path], list[WrittenFile]]


def export_verified(run: Run, name: str, export: Export, progress: Progress, samples: int = SAMPLES) -> None:
    """Write a form beside its place, compare it with RUN/packed, and only then move it there.

    Args:
        run: a run that is packed.
        name: of FORMS.
        export: writes the packed model into the folder that it is given, and lists the files.
        progress: who is told: a table of the files, then one of how near they are.
        samples: images and texts to compare on, from the recipe's data.

    Raises:
        ParityError: it parts from the packed model; it is left in RUN/FOLDER.rejected to be looked at, and
            what the run held before stays.
        DataError: there are no images and texts to compare on.
        UserError: the run is not packed, or what `export` raises.
    """
    target = run.folder / FORMS[name].folder
    rejected = target.with_name(f"{target.name}.rejected")
    clip = packed_clip(run)
    pairs = comparison_pairs(run.recipe, samples, clip.tokenizer)
    progress.begin(f"export {name}")
    files = export(clip, rejected)
    progress.begin(f"verify {name}")
    pairs, expected = expected_answers(run, pairs)
    found = {name: agreement_of(name, rejected, run, pairs, expected)}
    try:
        refuse_strangers(run, found)
    except ParityError as error:
        raise ParityError(f"{error}\nThe files are in {rejected}.") from error
    replace_folder(rejected, target)
    moved = [WrittenFile(target / file.path.relative_to(rejected), file.num_bytes) for file in files]
    progress.table(files_table(str(target), moved))
    progress.table(agreement_table(run, found, pairs))


def export_onnx_beside(run: Run, overrides: Sequence[str], progress: Progress) -> None:
    """Write RUN/onnx-int8, RUN/onnx-float or RUN/onnx-nbits beside what the recipe's export has written.

    Args:
        run: a run that is packed; its recipe is left as it is.
        overrides: KEY=VALUE of export.onnx, which say what is written.
        progress: who is told.

    Raises:
        RecipeError: a mistake in an override.
        UserError: as `export_verified`.
    """
    settings = read_recipe(run.folder / "recipe.yaml", overrides).export.onnx or Onnx()
    name = onnx_form(settings)
    export_verified(run, name, lambda clip, folder: export_onnx(clip, folder, settings), progress)
