"""Comparing every form of a run with the packed model, on real images and texts.

B images, L texts.
"""

from pathlib import Path

import torch
from PIL import Image

from tclip.errors import ParityError, listed
from tclip.evaluate.encoder import ClipEncoder, Encoder, embed_all
from tclip.export.ranking import compared_on, distinct_texts
from tclip.export.stage import comparison_pairs
from tclip.export.target import check_packed, packed_clip
from tclip.progress import Progress, Table
from tclip.run import Run, write_json
from tclip.verify.agreement import Agreement, Answers, compare
from tclip.verify.forms import FORMS, chosen

BATCH = 16
SAMPLES = 64
COLUMNS = ["form", "MB", "images, mean", "worst", "texts, mean", "worst", "same text first", "at least"]
Pairs = tuple[list[Image.Image], list[str]]


def verify(run: Run, names: list[str], samples: int, progress: Progress) -> dict[str, Agreement]:
    """Compare forms of a run with RUN/packed; the table goes to RUN/results/verify.json.

    Args:
        run: a run that is packed.
        names: of FORMS; empty: all that the run holds.
        samples: images and texts to compare on, from the recipe's data.
        progress: who is told; the table is shown before anything is raised.

    Returns:
        the agreement by form.

    Raises:
        ParityError: a form parts from the packed model by more than it may, all of them named.
        UserError: the run is not packed.
        ModelError: a form is unknown or not there.
        DataError: there are no images and texts to compare on.
    """
    check_packed(run)
    names = chosen(run, names)
    tokenizer = packed_clip(run).tokenizer
    pairs, expected = expected_answers(run, comparison_pairs(run.recipe, samples, tokenizer))
    found: dict[str, Agreement] = {}
    progress.begin(f"verify {', '.join(names)}", len(names))
    for done, name in enumerate(names, start=1):
        found[name] = agreement_of(name, run.folder / FORMS[name].folder, run, pairs, expected)
        progress.update(done)
    table = agreement_table(run, found, pairs)
    write_json(run.results / "verify.json", table.to_dict())
    progress.table(table)
    refuse_strangers(run, found)
    return found


def answers_of(encoder: Encoder, pairs: Pairs) -> Answers:
    """Return what an encoder gives for images and texts.

    Raises:
        ModelError: an embedding is not finite.
    """
    images, texts = pairs
    with torch.inference_mode():
        return Answers(
            embed_all(encoder.embed_images, images, BATCH), embed_all(encoder.embed_texts, texts, BATCH)
        )


def expected_answers(run: Run, pairs: Pairs) -> tuple[Pairs, Answers]:
    """Return what forms are compared on, and the answers of the packed model, which they are compared with.

    Args:
        run: a run that is packed.
        pairs: images, and texts of which those that the model cannot tell apart are taken once.
    """
    clip = packed_clip(run)
    images, texts = pairs
    pairs = images, distinct_texts(texts, clip.tokenize)
    return pairs, answers_of(ClipEncoder(clip), pairs)


def agreement_of(name: str, folder: Path, run: Run, pairs: Pairs, expected: Answers) -> Agreement:
    """Compare one form, as it lies in `folder`, with the answers that are expected."""
    return compare(answers_of(FORMS[name].open(folder, run.packed), pairs), expected)


def refuse_strangers(run: Run, found: dict[str, Agreement]) -> None:
    """Raise ParityError if a form parts from the packed model by more than it may, naming all that do."""
    offenders = [
        f"{name}: {'; '.join(problems)}"
        for name, agreement in found.items()
        if (problems := agreement.beyond(FORMS[name].limits(run)))
    ]
    if offenders:
        raise ParityError(
            f"Not every form of {run.folder} answers as {run.packed} does; write it again, and if that does "
            f"not help, report it with this message:{listed(offenders)}"
        )


def agreement_table(run: Run, found: dict[str, Agreement], pairs: Pairs) -> Table:
    """Return one row a form; the title tells on what they were compared."""
    images, texts = pairs
    rows = []
    for name, each in found.items():
        limits = FORMS[name].limits(run)
        rows.append(
            [
                name,
                round(FORMS[name].num_bytes(run) / 1e6, 2),
                *(round(value, 5) for value in (each.image_mean, each.image_worst)),
                *(round(value, 5) for value in (each.text_mean, each.text_worst)),
                None if each.same_first is None else f"{each.same_first:.1%}",
                f"{limits.cosine}, {limits.agreement:.0%}",
            ]
        )
    return Table(f"Cosine to {run.packed} on {compared_on(len(images), len(texts))}", COLUMNS, rows)
