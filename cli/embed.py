"""`tclip embed`: the embeddings of a folder of pictures."""

from pathlib import Path
from typing import Annotated

import typer

from tclip.cli.options import Json, PackedModel, Quiet, Revision, Threads
from tclip.cli.show import showing


def embed(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of pictures, with all folders in it.")],
    model: PackedModel,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.npy", help="Where the vectors go.")],
    threads: Threads = None,
    revision: Revision = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the embeddings of all pictures of a folder: float32, one row a picture, normalised.

    Beside FILE.npy, FILE.json lists the pictures in order, and those that cannot be read. Interrupted, the
    same command goes on where it stopped.
    """
    with showing(json=json, quiet=quiet) as progress:
        from tclip.progress import Table
        from tclip.runtime import load
        from tclip.runtime.gallery import embed_to_file

        clip = load(model, towers="image", num_threads=threads, revision=revision)
        gallery, described = embed_to_file(clip, folder, out, progress)
        for path, reason in gallery.unreadable.items():
            progress.note(f"cannot be read: {path}: {reason}")
        rows = [[str(out), *gallery.vector_NE.shape, len(gallery.unreadable), str(described)]]
        columns = ["vectors", "pictures", "numbers each", "unreadable", "list"]
        progress.table(Table(f"{folder} by {model}", columns, rows))
