"""`tclip search`: find pictures of a folder by what they show."""

from pathlib import Path
from typing import Annotated

import typer

from tclip.cli.options import Json, PackedModel, Quiet, Revision, Threads
from tclip.cli.show import showing


def search(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of pictures, with all folders in it.")],
    query: Annotated[str, typer.Argument(metavar="QUERY", help='Such as "a dog on a beach".')],
    model: PackedModel,
    top: Annotated[int, typer.Option(min=1, help="Show so many pictures.")] = 10,
    contact_sheet: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Also draw them.", show_default=False)
    ] = None,
    threads: Threads = None,
    revision: Revision = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rank the pictures of a folder by how well they fit a text.

    The embeddings are kept beside the folder (in .NAME.tclip) or, where that cannot be written, in the cache:
    the next search embeds only pictures that are new or have changed.
    """
    with showing(json=json, quiet=quiet) as progress:
        from tclip.progress import Table
        from tclip.runtime import load
        from tclip.runtime.search import search_folder

        clip = load(model, num_threads=threads, revision=revision)
        hits, gallery = search_folder(clip, folder, query, top, progress)
        for path, reason in gallery.unreadable.items():
            progress.note(f"cannot be read: {path}: {reason}")
        if contact_sheet is not None:
            from tclip.runtime.contact_sheet import draw_contact_sheet

            draw_contact_sheet(hits, f"{query}  ({folder})", contact_sheet)
            progress.note(f"drawn: {contact_sheet}")
        rows = [[rank, round(hit.score, 4), str(hit.path)] for rank, hit in enumerate(hits, start=1)]
        progress.table(
            Table(f'"{query}" in {len(gallery.paths)} pictures', ["rank", "score", "picture"], rows)
        )
