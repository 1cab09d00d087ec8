"""The stage `export`: from the packed model to the files of other runtimes, each compared with the model."""

import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from tclip.data.captioned import pair_sources
from tclip.data.loader import iter_pairs
from tclip.errors import DataError, ParityError
from tclip.export.onnx import WrittenFile, export_onnx, replace_files
from tclip.export.parity import ParityReport, check_parity
from tclip.export.ranking import compared_on
from tclip.export.target import packed_clip
from tclip.models.clip import Clip
from tclip.progress import Progress, Table
from tclip.recipe.schema import Onnx, Recipe
from tclip.run import Run, write_json

LARGEST = 1024  # pixels a side of a picture to compare on: more than any image tower takes


def export(run: Run, progress: Progress) -> None:
    """Write RUN/onnx from RUN/packed; the parity report goes to RUN/results/onnx.json.

    Raises:
        UserError: the run is not packed.
        DataError: the data for the comparison cannot be read, or hold no pairs.
        ParityError: a file does not answer as the model; RUN/onnx keeps what it held before.
    """
    settings = run.recipe.export.onnx
    if settings is None:
        progress.note("export: the recipe asks for no other form")
        return
    clip = packed_clip(run)
    images, texts = comparison_pairs(run.recipe, settings.samples, clip.tokenizer)
    progress.begin("export onnx")
    run.begin("export")
    files, report = export_checked(clip, run.onnx, settings, images, texts)
    write_json(run.results / "onnx.json", report.to_dict())
    onnx_files = [file for file in files if file.path.suffix == ".onnx"]
    rows = [[file.path.name, round(file.num_bytes / 1e6, 2)] for file in onnx_files]
    progress.table(Table("ONNX files", ["file", "MB"], rows))
    progress.table(parity_table(report))


def export_checked(
    clip: Clip, folder: Path, settings: Onnx, images: list[Image.Image], texts: list[str]
) -> tuple[list[WrittenFile], ParityReport]:
    """Export a clip and compare; only files that pass the gate reach the folder.

    Raises:
        ParityError: they do not; they are left in FOLDER.rejected to be looked at.
        ModelError: as export_onnx.
    """
    rejected = folder.with_name(f"{folder.name}.rejected")
    shutil.rmtree(rejected, ignore_errors=True)
    files = export_onnx(clip, rejected, settings)
    try:
        report = check_parity(clip, rejected, images, texts, settings)
    except ParityError as error:
        raise ParityError(f"{error} The files are in {rejected}.") from error
    names = [file.path.name for file in files]
    replace_files(rejected, folder, names)
    shutil.rmtree(rejected)
    return [WrittenFile(folder / file.path.name, file.num_bytes) for file in files], report


def parity_table(report: ParityReport) -> Table:
    """Return the report as rows: one an encoder; the title tells the agreement."""
    rows = [
        [
            name,
            round(tower.mean_cosine, 4),
            round(tower.min_cosine, 4),
            round(tower.start_seconds, 2),
            round(tower.milliseconds, 1),
        ]
        for name, tower in (("image encoder", report.image), ("text encoder", report.text))
    ]
    same = "" if report.agreement is None else f": same text first for {report.agreement:.1%} of the images"
    title = f"ONNX against torch on {compared_on(report.num_images, report.num_texts)}{same}"
    return Table(title, ["file", "mean cosine", "worst", "start, s", "one input, ms"], rows)


def comparison_pairs(recipe: Recipe, num_pairs: int, tokenizer: Any) -> tuple[list[Image.Image], list[str]]:
    """Return some images of a recipe's data, and a caption of each, to compare forms of a model on.

    All forms are shown the same pictures, and photographs at full size would take gigabytes: larger ones are
    made smaller, to no more than LARGEST pixels a side.

    Args:
        recipe: of the run.
        num_pairs: how many; fewer come if the data hold fewer.
        tokenizer: of the model.

    Raises:
        DataError: the recipe names no data, or they hold no pairs.
    """
    data = recipe.data
    specs = data.calibrate or data.train
    if not specs:
        raise DataError(
            "The recipe names no image-text pairs to compare the exported files on: "
            "set data.calibrate or data.train."
        )
    images, texts = [], []
    sources = pair_sources(specs, data.split, data.captions, tokenizer)
    for image, text in iter_pairs(sources, num_pairs):
        image.thumbnail((LARGEST, LARGEST))
        images.append(image)
        texts.append(text)
    if not images:
        raise DataError(f"{', '.join(specs)} hold no image-text pairs to compare the exported files on.")
    return images, texts
