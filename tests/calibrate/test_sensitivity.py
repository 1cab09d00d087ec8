"""Ratings against calibrating each weight alone in a whole model, and that nothing stays changed."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tclip.calibrate.calibrate import calibrate
from tclip.calibrate.sensitivity import Meter, Rating, rate, read_rating
from tclip.models.sites import Decision, Plan
from tclip.recipe.quantize import Quantize
from tclip.recipe.schema import Calibrate
from tests.calibrate.conftest import Tiny

Tinies = Callable[[str], Tiny]
# of each tower and every kind of layer: before, in and behind the blocks, and without an input of their own
SOME = {
    "clip": (
        "vision_model.embeddings.patch_embedding.weight",
        "vision_model.encoder.layers.0.mlp.fc2.weight",
        "visual_projection.weight",
        "text_model.embeddings.token_embedding.weight",
        "text_model.encoder.layers.1.self_attn.out_proj.weight",
    ),
    "siglip": (
        "vision_model.encoder.layers.1.mlp.fc1.weight",
        "vision_model.head.attention.in_proj_weight",
        "vision_model.head.attention.out_proj.weight",
        "text_model.head.weight",
    ),
}


def plan_of(plan: Plan, names: dict[str, int | None]) -> Plan:
    """A plan by which only these weights are ternary (None), or keep bits."""
    decisions = [
        Decision(
            each.site,
            each.site.name in names and names[each.site.name] is None,
            "",
            names.get(each.site.name),
        )
        for each in plan.decisions
    ]
    return Plan(tuple(decisions))


def ratings_of(tiny: Tiny, names: tuple[str, ...], quantize: Quantize, settings: Calibrate) -> list[Rating]:
    found: list[Rating] = []
    plan = plan_of(tiny.plan, dict.fromkeys(names))
    rate(tiny.clip, plan, quantize, settings, tiny.pairs, tiny.unseen, found.append)
    return found


@pytest.mark.parametrize("method", ["gptq", "round"])
@pytest.mark.parametrize("family", list(SOME))
def test_each_rating_is_that_of_the_weight_calibrated_alone(tiny: Tinies, family: str, method: str) -> None:
    settings = Calibrate(method=method, refit=False)  # a refit would go on to the norms behind the weight
    before = copy.deepcopy(tiny(family).clip.model.state_dict())
    found = {each.name: each for each in ratings_of(tiny(family), SOME[family], Quantize(), settings)}
    assert set(found) == set(SOME[family])
    for name, tensor in tiny(family).clip.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    modules = list(tiny(family).clip.model.modules())
    assert not any(module._forward_pre_hooks or "forward" in vars(module) for module in modules)
    for name, rating in found.items():
        for form, bits, rel in (("ternary", None, 0.02), ("4 bits", 4, 0.02), ("8 bits", 8, 0.75)):
            alone = tiny(family).copy()
            plan = plan_of(tiny(family).plan, {name: bits})
            report = calibrate(
                alone, plan, Quantize(), settings, tiny(family).pairs, tiny(family).unseen
            ).calibrated
            cosine = report.image if rating.tower == "image" else report.text
            assert 1 - cosine == pytest.approx(rating.costs[form].distance, rel=rel, abs=1e-6), (name, form)
        costs = [rating.costs[form].distance for form in ("8 bits", "4 bits", "ternary")]
        assert costs == sorted(costs)


def test_a_bias_is_refitted_and_put_back(tiny: Tinies) -> None:
    names = ("vision_model.encoder.layers.0.mlp.fc1.weight",)
    before = copy.deepcopy(tiny("clip").clip.model.state_dict())
    (plain,) = ratings_of(tiny("clip"), names, Quantize(), Calibrate(refit=False))
    (refitted,) = ratings_of(tiny("clip"), names, Quantize(), Calibrate(refit=True))
    assert plain.costs["ternary"] != refitted.costs["ternary"]
    assert all(torch.equal(x, before[name]) for name, x in tiny("clip").clip.model.state_dict().items())


def test_rounded_activations_cost_too_but_only_of_ternary_weights(tiny: Tinies) -> None:
    names = ("text_model.encoder.layers.0.mlp.fc1.weight",)
    (plain,) = ratings_of(tiny("clip"), names, Quantize(), Calibrate())
    (rounded,) = ratings_of(tiny("clip"), names, Quantize(activations="int8"), Calibrate())
    assert plain.costs["ternary"] != rounded.costs["ternary"]
    assert plain.costs["8 bits"] == rounded.costs["8 bits"]


def test_what_is_known_or_not_ternary_is_not_rated(tiny: Tinies) -> None:
    original, told = tiny("clip"), []
    names = ("visual_projection.weight", "text_projection.weight")
    plan = plan_of(original.plan, {names[0]: None, names[1]: None, "text_model.encoder.layers.0.mlp.fc1": 8})
    rate(
        original.clip,
        plan,
        Quantize(),
        Calibrate(),
        original.pairs,
        original.unseen,
        told.append,
        known=names[:1],
    )
    assert [(each.name, each.tower, each.role) for each in told] == [(names[1], "text", "projection")]
    assert told[0].num_weights == original.clip.model.get_parameter(names[1]).numel()


@torch.no_grad()
def test_the_divergence_is_that_of_the_softmax_of_the_logits(tiny: Tinies) -> None:
    clip, unseen = tiny("clip").clip, tiny("clip").unseen
    image_BE = torch.cat([clip.embed_images(chunk) for chunk in unseen.images])
    text_BE = torch.cat([clip.embed_texts(chunk) for chunk in unseen.texts])
    moved_BE = torch.nn.functional.normalize(image_BE + 0.2 * torch.randn_like(image_BE), dim=-1)
    cost = Meter(clip, unseen).cost("image", moved_BE)
    expected = 0.0
    for wanted_BB, found_BB in (
        (clip.logits(image_BE, text_BE), clip.logits(moved_BE, text_BE)),
        (clip.logits(image_BE, text_BE).T, clip.logits(moved_BE, text_BE).T),
    ):
        for wanted_B, found_B in zip(wanted_BB, found_BB, strict=True):
            p, q = wanted_B.double().softmax(-1), found_B.double().softmax(-1)
            expected += float((p * (p / q).log()).sum()) / len(wanted_BB) / 2
    assert cost.divergence == pytest.approx(expected, rel=1e-5)
    assert cost.distance == pytest.approx(1 - float((image_BE * moved_BE).sum(-1).mean()), abs=1e-6)
    still = Meter(clip, unseen).cost("text", text_BE)
    assert (still.distance, still.divergence) == pytest.approx((0, 0), abs=1e-9)


def test_a_rating_comes_back_from_json(tiny: Tinies) -> None:
    (rating,) = ratings_of(tiny("clip"), ("visual_projection.weight",), Quantize(), Calibrate(method="round"))
    assert read_rating(rating.to_dict()) == rating
    assert read_rating(replace(rating, num_weights=1).to_dict()) != rating
