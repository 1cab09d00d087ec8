"""`tclip report`: everything that a run can show, on one page."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from tclip.errors import UserError
from tclip.models.fetch import local_weight_bytes
from tclip.packed.replace import written_whole
from tclip.packed.size import Size, measure
from tclip.progress import Progress, Table
from tclip.recipe.local import without_folders
from tclip.report.before_after import TITLE as SCORES
from tclip.report.before_after import scores_section
from tclip.report.findings import TITLE as FINDINGS
from tclip.report.findings import findings_section
from tclip.report.layers import layers_section
from tclip.report.page import Absent, Page, Section, Tile, render
from tclip.report.public import TITLE as PUBLIC
from tclip.report.public import public_section
from tclip.report.scores import Scores, read_scores
from tclip.report.sizes import TITLE as SIZES
from tclip.report.sizes import megabytes, sizes_section
from tclip.report.state import out_of_date, state_section
from tclip.report.training import training_section
from tclip.run import Run

PAGE = "report.html"
NEEDED = ("matplotlib", "jinja2")
QUERIES, IMAGES = 8, 1000


def write_report(
    run: Run,
    states: Mapping[str, str],
    progress: Progress,
    num_queries: int = QUERIES,
    limit: int = IMAGES,
) -> Path:
    """Write RUN/report/report.html and its pictures as PNG, in the place of an earlier report.

    Sections for which a run has nothing are left out and named on the page, with what to run to get them.
    What is out of date is named at the top.

    Args:
        run: the run folder, as far as it has come.
        states: "finished", "stale" or "missing" by stage, as tclip.pipeline.state_of says.
        progress: who is told.
        num_queries: shown of an evaluation set; 0: none, and no model is loaded.
        limit: images of an evaluation set that are searched.

    Returns:
        the page.

    Raises:
        UserError: a package is missing, or a file of the run is damaged.
    """
    require_packages()
    size = measure(run.packed) if run.packed.is_dir() else None
    scores = read_scores(run) if size else Scores()
    outdated = out_of_date(run, states)
    with written_whole(run.report) as folder:
        parts = [
            *([state_section(outdated)] if outdated else []),
            *_packed_sections(run, size, scores),
            layers_section(run),
            training_section(run),
            *_findings(run, folder, size, progress, num_queries, limit),
        ]
        sections = tuple(part for part in parts if isinstance(part, Section))
        absent = tuple(part for part in parts if isinstance(part, Absent))
        for plot in (plot for section in sections for plot in section.plots):
            (folder / f"{plot.name}.png").write_bytes(plot.light)
            (folder / f"{plot.name}-dark.png").write_bytes(plot.dark)
        page = Page(*_heading(run), _tiles(size, scores), sections, absent)
        (folder / PAGE).write_text(render(page), encoding="utf-8")
    _tell(run, outdated, absent, progress)
    return run.report / PAGE


def require_packages() -> None:
    """Refuse to begin without the packages that draw.

    Raises:
        UserError: naming those that are missing.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(f"A report needs {' and '.join(missing)}: pip install 'tclip[report]'.")


def _heading(run: Run) -> tuple[str, str]:
    model = without_folders(str(run.recipe.model.id))
    return (
        f"{model} as a ternary CLIP",
        f"Run {run.folder.resolve().name}, recipe {run.recipe.name}, tclip {version('tclip')}",
    )


def _tiles(size: Size | None, scores: Scores) -> tuple[Tile, ...]:
    if size is None:
        return ()
    tiles = [
        Tile(f"{megabytes(size.model_bytes)} MB", "of packed weights"),
        Tile(f"{size.float32_bytes / size.model_bytes:.1f} ×", "smaller than float32"),
        Tile(f"{size.ternary_share:.1%}", "of the weights are ternary"),
        Tile(f"{size.zeros:.1%}", "of their codes are zero"),
    ]
    if scores.mean_kept is not None:
        tiles.insert(0, Tile(f"{scores.mean_kept:.1%}", "of the original's score kept, mean"))
    return tuple(tiles)


def _packed_sections(run: Run, size: Size | None, scores: Scores) -> list[Section | Absent]:
    if size is None:
        return [Absent(title, "the run is not packed", "tclip pack RUN") for title in (SCORES, SIZES, PUBLIC)]
    return [scores_section(scores), sizes_section(run, size), public_section(scores, size)]


def _findings(
    run: Run, folder: Path, size: Size | None, progress: Progress, num_queries: int, limit: int
) -> list[Section | Absent]:
    """Models and data may be elsewhere by now: what is missing then is a section, not the report."""
    if size is None:
        return [Absent(FINDINGS, "the run is not packed", "tclip pack RUN")]
    if local_weight_bytes(str(run.recipe.model.id), run.recipe.model.revision) is None:
        return [
            Absent(FINDINGS, "the original model is not on this machine", "tclip eval RUN --form original")
        ]
    if not num_queries:
        return [Absent(FINDINGS, "no queries were asked for", "tclip report RUN")]
    try:
        return findings_section(run, folder, num_queries=num_queries, limit=limit, progress=progress)
    except UserError as error:
        return [Absent(FINDINGS, str(error).rstrip("."))]


def _tell(run: Run, outdated: Sequence[str], absent: tuple[Absent, ...], progress: Progress) -> None:
    for sentence in outdated:
        progress.note(sentence.replace("RUN", str(run.folder)))
    for each in absent:
        command = f": `{each.command.replace('RUN', str(run.folder))}`" if each.command else ""
        progress.note(f"left out, {each.title}: {each.why}{command}")
    files = sorted(run.report.iterdir(), key=lambda path: (path.name != PAGE, path.name))
    progress.table(
        Table("Report", ["file", "KB"], [[str(path), round(path.stat().st_size / 1e3, 1)] for path in files])
    )
