"""Ternarization of a whole CLIP without training: both towers, then the report against plain rounding."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from tclip.calibrate.layer import Outcome
from tclip.calibrate.report import CalibrationReport, Cosines, LayerReport
from tclip.calibrate.tower import Tower
from tclip.calibrate.walk import Embed
from tclip.models.clip import Clip, Inputs
from tclip.models.sites import Plan, Site
from tclip.recipe.quantize import Quantize
from tclip.recipe.schema import Calibrate
from tclip.ternary.activations import quantize_activations
from tclip.ternary.integers import round_weight
from tclip.ternary.tensor import CodedTensor, IntTensor, TernaryTensor

Done = Callable[[int, str], None]


@dataclass(frozen=True)
class Pairs:
    """Inputs of both towers, in chunks."""

    images: Sequence[Inputs]
    texts: Sequence[Inputs]


def calibrate(
    clip: Clip,
    plan: Plan,
    quantize: Quantize,
    settings: Calibrate,
    pairs: Pairs,
    unseen: Pairs,
    done: Done = lambda count, name: None,
) -> CalibrationReport:
    """Make a CLIP ternary in place, layer by layer, each on the inputs that the ternary part gives it.

    With method "gptq" codes and scales are chosen by the error of the layer's output (solver.py); with
    "round" by the quantizer alone. With `refit`, biases and norms follow in closed form. One layer's
    moments are in memory at a time, beside both models' hidden states at one depth.

    Args:
        clip: the original; its model becomes the calibrated one, `ternary` and `ints` are filled.
        plan: which parameters become ternary, or keep 4 or 8 bits.
        quantize, settings: of the recipe.
        pairs: what to calibrate on.
        unseen: other pairs, for the cosines of the report.
        done: told the number of finished weights and the name of the latest.
    """
    original = copy.deepcopy(clip)
    sites = {decision.site.name: decision.site for decision in plan.decisions}
    names = list(plan.bits)
    how = "output error" if settings.method == "gptq" else "rounded"
    reports: dict[str, LayerReport] = {}

    def found(name: str, outcome: Outcome) -> None:
        _keep(clip, name, outcome.weight)
        reports[name] = _report(sites[name], how, (outcome.error, outcome.rounded_error), outcome.weight)
        done(len(reports), name)

    _round(clip, plan.bits, quantize)
    with _as_run(clip, quantize):
        rounded = _cosines(original, clip, unseen)
        if settings.method == "gptq" or settings.refit:
            for tower, chunks in _towers(original, clip, plan, pairs):
                tower.calibrate(chunks, quantize, settings, found)
        calibrated = _cosines(original, clip, unseen)
    for name in sorted(set(names) - set(reports)):
        how_too = "rounded" if settings.method == "round" else "rounded: no input of its own to fit it to"
        reports[name] = _report(sites[name], how_too, (None, None), clip.coded[name])
        done(len(reports), name)
    return CalibrationReport(tuple(reports[name] for name in names), calibrated, rounded)


def _round(clip: Clip, bits: Mapping[str, int | None], quantize: Quantize) -> None:
    """Round every weight: what the walk does not reach stays so, the rest is where the report begins."""
    for name in bits:
        parameter = clip.model.get_parameter(name)
        weight = round_weight(parameter, bits[name], quantize.quantizer, quantize.scale)
        _keep(clip, name, weight)
        with torch.no_grad():
            parameter.copy_(weight.dense())


def _keep(clip: Clip, name: str, weight: CodedTensor) -> None:
    if isinstance(weight, IntTensor):
        clip.ints[name] = weight
    elif isinstance(weight, TernaryTensor):
        clip.ternary[name] = weight


@contextmanager
def _as_run(clip: Clip, quantize: Quantize) -> Iterator[None]:
    """Round the activations for the while, if the finished model will."""
    clip.activations = quantize.activations
    handles = quantize_activations(clip.model, clip.ternary) if quantize.activations == "int8" else []
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _towers(original: Clip, clip: Clip, plan: Plan, pairs: Pairs) -> Iterator[tuple[Tower, Sequence[Inputs]]]:
    embeds = {
        "image": ((original.embed_images, clip.embed_images), pairs.images),
        "text": ((original.embed_texts, clip.embed_texts), pairs.texts),
    }
    for which, (both, chunks) in embeds.items():
        names = [decision.site.name for decision in plan.decisions if decision.site.tower == which]
        bits = {name: plan.bits[name] for name in names if name in plan.bits}
        yield Tower(original.model, clip.model, both, names, bits), chunks


@torch.no_grad()
def _cosines(original: Clip, clip: Clip, pairs: Pairs) -> Cosines:
    def mean(ours: Embed, theirs: Embed, chunks: Sequence[Inputs]) -> float:
        return float(torch.cat([(ours(chunk) * theirs(chunk)).sum(-1) for chunk in chunks]).mean())

    return Cosines(
        image=mean(original.embed_images, clip.embed_images, pairs.images),
        text=mean(original.embed_texts, clip.embed_texts, pairs.texts),
    )


def _report(
    site: Site, how: str, errors: tuple[float | None, float | None], weight: CodedTensor
) -> LayerReport:
    return LayerReport(site.name, site.tower, site.role, how, *errors, weight.zeros, weight.form)
