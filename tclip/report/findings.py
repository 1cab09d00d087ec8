"""The pictures of queries: those on which original and packed model agree most, and those on which least."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Final

from tclip.data.eval_sets import EvalSet, open_eval
from tclip.evaluate.subject import FORMS
from tclip.progress import Progress
from tclip.report.lettering import lettering
from tclip.report.page import Absent, Finding, Hit, Section
from tclip.report.picture import ranking_picture
from tclip.report.queries import Searched, average_overlap, choose, jpeg, search_set
from tclip.run import Run

TITLE = "What both models find"
SHOWN: Final = 5  # images a query and model
FEW = 20  # characters that are named
MODELS = {"original": "original", "packed": "ternary"}


def findings_section(
    run: Run, folder: Path, *, num_queries: int, limit: int, progress: Progress
) -> list[Section | Absent]:
    """Return a section for the first retrieval set and one for the first classification set of the recipe.

    A picture of each is written to `folder` too.

    Args:
        run: the run, packed.
        folder: of the report.
        num_queries: shown of a set: half where the models agree most, half where they differ most.
        limit: images looked at of a set; the recipe's own limit holds too.
        progress: who is told.

    Raises:
        DataError: a set is missing or broken.
        ModelError: a model cannot be loaded.
    """
    sets = [open_eval(spec, run.recipe.eval.split) for spec in run.recipe.eval.data]
    firsts = list({each.task: each for each in reversed(sets)}.values())
    if not firsts:
        return [Absent(TITLE, "the recipe names no evaluation data", "tclip eval RUN --data DIR")]
    subjects = [FORMS[form](run) for form in MODELS]
    limit = min(limit, run.recipe.eval.limit or limit)
    sections: list[Section | Absent] = []
    for each in reversed(firsts):
        size = run.recipe.eval.batch_size
        searched = search_set(each, subjects, limit=limit, batch_size=size, progress=progress)
        sections.append(_section(searched, each, folder, num_queries))
    return sections


def _section(searched: Searched, eval_set: EvalSet, folder: Path, num_queries: int) -> Section | Absent:
    if not searched.queries:
        why = f"the first {len(searched.images):,} images of {searched.name} show none of its classes"
        return Absent(f"{TITLE}: {searched.name}", why)
    original, packed = (searched.rankings[form][:, :SHOWN] for form in MODELS)
    overlap_Q = average_overlap(original, packed)
    alike, apart = choose(overlap_Q, num_queries)
    kind = "the names of the classes that they show" if eval_set.classnames else "their first captions"
    first_same = (original[:, 0] == packed[:, 0]).double().mean().item()
    name = f"queries-{searched.name}"
    strange = _draw(searched, [*alike, *apart], folder / f"{name}.png")
    overlaps = [float(overlap) for overlap in overlap_Q]
    text = (
        f"Searched are the first {len(searched.images):,} images of {searched.name}; the queries are {kind}. "
        f"For {first_same:.1%} of all {len(searched.queries):,} queries both models rank the same "
        f"image first; the first {original.shape[1]} images of both agree to {fmean(overlaps):.2f} on "
        "average (average overlap: 1 for the same images in the same order, 0 for none in common).",
        "Shown are the queries with the most and with the least agreement. A tick marks an image that the "
        "query describes, a dashed frame one that only this model has here. As a picture: "
        f"{name}.png.{_about(strange)}",
    )
    findings = {
        f"Where they agree most ({len(alike)} queries)": _findings(searched, alike, overlaps),
        f"Where they differ most ({len(apart)} queries)": _findings(searched, apart, overlaps),
    }
    return Section(name, f"{TITLE}: {searched.name}", text, findings=findings)


def _findings(searched: Searched, queries: Sequence[int], overlaps: Sequence[float]) -> tuple[Finding, ...]:
    return tuple(_finding(searched, query, overlaps[query]) for query in queries)


def _finding(searched: Searched, query: int, agreement: float) -> Finding:
    found = {form: searched.rankings[form][query, :SHOWN].tolist() for form in MODELS}
    rows = {}
    for form, name in MODELS.items():
        (other,) = (hits for stranger, hits in found.items() if stranger != form)
        rows[name] = tuple(
            Hit(
                jpeg(searched.images[index]),
                searched.about[index],
                index in searched.right[query],
                index in other,
            )
            for index in found[form]
        )
    return Finding(searched.queries[query], agreement, rows)


def _draw(searched: Searched, queries: list[int], path: Path) -> str:
    """Draw the picture; return the characters that no font here has."""
    texts = [searched.queries[query] for query in queries]
    original, packed = (searched.rankings[form][queries].tolist() for form in MODELS)
    ranking_picture(
        path,
        texts,
        searched.images,
        original,
        packed,
        [searched.right[query] for query in queries],
        shown=SHOWN,
    )
    return "".join(sorted({letter for text in texts for letter in lettering(text).lacking}))


def _about(strange: str) -> str:
    if not strange:
        return ""
    some = strange if len(strange) <= FEW else f"{strange[:FEW]}…"
    return f" In it, question marks stand for characters that no font here has: {some}"
