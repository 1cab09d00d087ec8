"""From what a user writes to what is measured."""

from collections.abc import Sequence

from tclip.bench.contenders import OTHERS, RUNTIME, available
from tclip.bench.run import Plan
from tclip.errors import RecipeError, did_you_mean, listed
from tclip.runtime.folder import find_packed
from tclip.runtime.loading import available_cores, paths

TOWERS = {"both": ("image", "text"), "image": ("image",), "text": ("text",)}


def plan_of(
    model: str,
    revision: str | None,
    against: str | None,
    towers: str,
    batches: str,
    seconds: float,
    pause: float,
    threads: int | None,
) -> Plan:
    """Return what to measure.

    Args:
        model: run folder, packed folder or Hub id.
        revision: on the Hub.
        against: names of contenders, with commas between; "none"; None for all that are installed.
        towers: "image", "text" or "both".
        batches: numbers with commas between.
        seconds: of measuring for each number and round.
        pause: milliseconds of idling before each call, measured beside none; 0 for none alone.
        threads: most threads; all cores if None.

    Raises:
        RecipeError: a name or number that makes no sense; all of a kind at once.
        ModelError: no such model, or not packed.
    """
    if towers not in TOWERS:
        raise RecipeError(
            f'There is no --towers "{towers}".{did_you_mean(towers, TOWERS)} Give {", ".join(TOWERS)}.'
        )
    wrong = [text for text in batches.split(",") if not text.strip().isdecimal() or int(text) < 1]
    if wrong:
        raise RecipeError(
            f"--batch takes whole numbers from 1 on, with commas between, not {', '.join(wrong)!r}."
        )
    files = find_packed(model, revision)
    return Plan(
        folder=files.folder,
        contenders=(RUNTIME, *_chosen(against)),
        image_size=int(files.config["vision_config"]["image_size"]),
        towers=TOWERS[towers],
        batches=tuple(int(text) for text in batches.split(",")),
        seconds=seconds,
        pauses=(0.0, pause / 1e3) if pause else (0.0,),
        threads=threads or available_cores(),
    )


def _chosen(against: str | None) -> Sequence[str]:
    installed = [name for name in available() if name != RUNTIME]
    if against is None:
        return installed
    names = [name.strip() for name in against.split(",") if name.strip() not in ("", "none", RUNTIME)]
    there = [*installed, *(f"{RUNTIME}:{path}" for path in paths())]
    offenders = [
        f"{name}: {'not installed' if name in OTHERS else f'unknown.{did_you_mean(name, there)}'}"
        for name in names
        if name not in there
    ]
    if offenders:
        raise RecipeError(f"--against takes {', '.join(there)} or none; not these:{listed(offenders)}")
    return names
