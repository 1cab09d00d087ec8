"""Whole models of every family made ternary: what must be exact, what must be better, what must not move."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tclip.calibrate.calibrate import calibrate
from tclip.calibrate.report import CalibrationReport
from tclip.models.clip import Clip
from tclip.models.sites import Plan, find_sites, plan_ternarization
from tclip.recipe.quantize import Part, Quantize
from tclip.recipe.schema import Calibrate
from tclip.ternary.quantizers import ternarize
from tests.calibrate.conftest import Tiny
from tests.ternarizing import MIXED_BITS
from tests.tiny import FAMILY_NAMES

Tinies = Callable[[str], Tiny]
every_family = pytest.mark.parametrize("family", FAMILY_NAMES)


def calibrated(
    tiny: Tiny, settings: Calibrate | None = None, quantize: Quantize | None = None
) -> tuple[Clip, CalibrationReport]:
    clip, quantize = tiny.copy(), quantize or Quantize()
    plan = plan_ternarization(find_sites(clip.model), quantize)
    return clip, calibrate(clip, plan, quantize, settings or Calibrate(), tiny.pairs, tiny.unseen)


def errors(report: CalibrationReport) -> tuple[torch.Tensor, torch.Tensor]:
    known = [layer for layer in report.layers if layer.error is not None]
    pairs = [(layer.error, layer.rounded_error) for layer in known]
    ours, rounded = torch.tensor(pairs, dtype=torch.float64).T
    return ours, rounded


@every_family
def test_whole_model(tiny: Tinies, family: str) -> None:
    original = tiny(family)
    clip, report = calibrated(original)
    names = original.plan.ternary_names
    assert set(clip.ternary) == set(names)
    for name, ternary in clip.ternary.items():
        assert torch.equal(clip.model.get_parameter(name), ternary.dense())
    before = dict(original.clip.model.named_parameters())
    moved = {n for n, p in clip.model.named_parameters() if not torch.equal(p, before[n])} - set(names)
    kinds = {d.site.name: d.site.reason for d in original.plan.decisions}
    assert {kinds[name] for name in moved} == {"norm", "bias"}
    assert [layer.name for layer in report.layers] == names
    unfitted = [layer.name for layer in report.layers if layer.error is None]
    assert all(
        name.endswith(("embedding.weight", "embeddings.weight", "attention.out_proj.weight"))
        for name in unfitted
    )
    ours, rounded = errors(report)
    assert ours.mean() < rounded.mean()
    assert report.calibrated.image > report.rounded.image
    assert report.calibrated.text > report.rounded.text


@every_family
def test_without_refit_only_ternary_weights_move(tiny: Tinies, family: str) -> None:
    original = tiny(family)
    clip, report = calibrated(original, Calibrate(refit=False))
    for name, parameter in clip.model.named_parameters():
        same = torch.equal(parameter, original.clip.model.get_parameter(name))
        assert same == (name not in original.plan.ternary_names)
    ours, rounded = errors(report)
    assert ours.mean() < rounded.mean()


def test_outputs_can_be_left_out_of_account(tiny: Tinies) -> None:
    table = "text_model.embeddings.token_embedding.weight"
    seeing, blind = (calibrated(tiny("clip"), Calibrate(outputs=outputs)) for outputs in (True, False))
    how = [{layer.name: layer.how for layer in report.layers}[table] for _, report in (seeing, blind)]
    assert how == ["output error", "rounded: no input of its own to fit it to"]
    plain = ternarize(tiny("clip").clip.model.get_parameter(table), "learned", "row")
    assert torch.equal(blind[0].ternary[table].codes, plain.codes)
    moved = {
        name for name, tensor in seeing[0].ternary.items()
        if not torch.equal(tensor.codes, blind[0].ternary[name].codes)
    }  # fmt: skip
    assert table in moved
    assert any(name.startswith("vision") for name in moved)


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("scale", ["row", "tensor", "group:8"])
def test_rounding_is_plain_rounding(tiny: Tinies, refit: bool, scale: str) -> None:
    original, quantize = tiny("clip"), Quantize(quantizer="clip2", scale=scale)
    clip, report = calibrated(original, Calibrate(method="round", refit=refit), quantize)
    assert list(clip.ternary) == original.plan.ternary_names
    for name, ternary in clip.ternary.items():
        plain = ternarize(original.clip.model.get_parameter(name), "clip2", scale)
        assert torch.equal(ternary.codes, plain.codes)
        assert torch.equal(ternary.scale_RG, plain.scale_RG)
    assert {layer.how for layer in report.layers} == {"rounded"}
    assert (report.calibrated == report.rounded) == (not refit)


@pytest.mark.parametrize("method", ["gptq", "round"])
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_weights_that_keep_bits(tiny: Tinies, family: str, method: str) -> None:
    original = tiny(family)
    bits = {name: MIXED_BITS[name] for name in original.plan.ternary_names if name in MIXED_BITS}
    quantize = Quantize(bits=bits)
    clip, report = calibrated(original, Calibrate(method=method, refit=method == "gptq"), quantize)
    assert {name: weight.bits for name, weight in clip.ints.items()} == bits
    assert set(clip.ternary) == set(original.plan.ternary_names) - set(bits)
    for name, weight in clip.coded.items():
        assert torch.equal(clip.model.get_parameter(name), weight.dense())
    assert {layer.name for layer in report.layers if layer.form != "ternary"} == set(bits)
    _, wholly_ternary = calibrated(original, Calibrate(method=method, refit=method == "gptq"))
    assert report.rounded.image > wholly_ternary.rounded.image
    assert report.rounded.text > wholly_ternary.rounded.text
    # the first layer sees no error of others: at 8 bits next to none is left
    errors_of_patches = [layer.error for layer in report.layers if "patch_embedding" in layer.name]
    assert errors_of_patches == [None] if method == "round" else errors_of_patches[0] < 1e-4


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_at_8_bits_a_model_stays_where_it_was(tiny: Tinies, family: str, refit: bool) -> None:
    """No setting costs anything that does not shrink with the bits."""
    model = tiny(family)
    decisions = [
        replace(each, ternary=False, bits=8) if each.ternary else each for each in model.plan.decisions
    ]
    settings = Calibrate(refit=refit, outputs=refit)
    report = calibrate(
        model.copy(), Plan(tuple(decisions)), Quantize(), settings, model.pairs, model.unseen
    ).calibrated
    assert min(report.image, report.text) > 1 - 5e-5


@pytest.mark.parametrize("scale", ["tensor", "group:8"])
def test_other_granularities(tiny: Tinies, scale: str) -> None:
    clip, report = calibrated(tiny("clip"), quantize=Quantize(scale=scale))
    assert {ternary.granularity for ternary in clip.ternary.values()} == {scale}
    ours, rounded = errors(report)
    assert ours.mean() < rounded.mean()


def test_only_what_the_plan_names(tiny: Tinies) -> None:
    quantize = Quantize(image=Part(preset="ffn"), text=Part(preset="none"))
    clip, _ = calibrated(tiny("clip"), quantize=quantize)
    assert clip.ternary
    assert all(name.startswith("vision_model") and ".mlp." in name for name in clip.ternary)
    kept = [n for n, p in clip.model.named_parameters() if p.ndim > 1 and n not in clip.ternary]
    assert all(
        torch.equal(clip.model.get_parameter(n), tiny("clip").clip.model.get_parameter(n)) for n in kept
    )


def test_int8_activations_leave_no_hooks(tiny: Tinies) -> None:
    original = tiny("clip")
    clip, report = calibrated(original, quantize=Quantize(activations="int8"))
    assert clip.activations == "int8"
    modules = list(clip.model.modules())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in modules)
    _, in_float = calibrated(original)
    assert report.rounded != in_float.rounded  # the report is of the model as it will run
    assert report.calibrated.text > report.rounded.text


def test_twice_the_same_bit_for_bit(tiny: Tinies) -> None:
    (one, first), (other, second) = calibrated(tiny("clip")), calibrated(tiny("clip"))
    assert first == second
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[name])


def test_original_is_left_alone_and_progress_is_told(tiny: Tinies) -> None:
    clip, told = tiny("clip").copy(), []
    plan = tiny("clip").plan
    pairs, unseen = tiny("clip").pairs, tiny("clip").unseen
    calibrate(clip, plan, Quantize(), Calibrate(), pairs, unseen, lambda *what: told.append(what))
    assert [count for count, _ in told] == list(range(1, len(told) + 1))
    assert sorted(name for _, name in told) == sorted(plan.ternary_names)


def test_layer_that_nothing_reads_stays_finite(tiny: Tinies) -> None:
    """Behind it a weight is zero: no token of it counts."""
    original = tiny("clip")
    clip = original.copy()
    with torch.no_grad():
        clip.model.vision_model.encoder.layers[0].mlp.fc2.weight.zero_()
    report = calibrate(clip, original.plan, Quantize(), Calibrate(), original.pairs, original.unseen)
    assert all(bool(parameter.isfinite().all()) for parameter in clip.model.parameters())
    assert report.calibrated.image > 0.5
