"""`tclip classify`: label pictures with a packed model."""

from pathlib import Path
from typing import Annotated

import typer

from tclip.cli.options import Json, PackedModel, Quiet, Revision, Threads
from tclip.cli.show import showing


def classify(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures.")],
    model: PackedModel,
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="What they may show.", show_default=False)
    ] = None,
    labels_file: Annotated[
        Path | None, typer.Option(help="A file with one label a line.", show_default=False)
    ] = None,
    template: Annotated[
        str, typer.Option(help="The text for a label; {} is where it goes.")
    ] = "a photo of a {}.",
    top: Annotated[int, typer.Option(min=1, help="Show so many labels a picture.")] = 3,
    threads: Threads = None,
    revision: Revision = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what pictures show: the likeliest of the labels, each with its probability."""
    with showing(json=json, quiet=quiet) as progress:
        from tclip.progress import Table
        from tclip.runtime import load
        from tclip.runtime.labels import read_labels

        chosen = read_labels(labels, labels_file)
        clip = load(model, num_threads=threads, revision=revision)
        answers = clip.classify(images, chosen, template)
        rows = [
            [str(image), rank, label, round(probability, 4)]
            for image, answer in zip(images, answers, strict=True)
            for rank, (label, probability) in enumerate(list(dict(answer).items())[:top], start=1)
        ]
        progress.table(
            Table(f"{model}: {len(chosen)} labels", ["image", "rank", "label", "probability"], rows)
        )
