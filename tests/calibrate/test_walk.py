"""Every layer met once, in the order of the forward pass, with the inputs that it has there."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn

from tclip.calibrate.calibrate import _towers
from tclip.calibrate.steps import Step, find_steps
from tclip.calibrate.tower import LAYERS, Tower, parts_of
from tclip.calibrate.walk import BEFORE, BEHIND, Walk, find_blocks, first_input
from tclip.models.clip import Inputs
from tests.calibrate.conftest import Tiny
from tests.tiny import FAMILY_NAMES

Tinies = Callable[[str], Tiny]
TOWERS = ("image", "text")
every_tower = pytest.mark.parametrize(
    ("family", "which"), [(family, which) for family in FAMILY_NAMES for which in TOWERS]
)


def tower_of(tiny: Tiny, which: str) -> tuple[Tower, list[Inputs]]:
    """A tower whose student is the original itself."""
    towers = _towers(tiny.clip, tiny.clip, tiny.plan, tiny.pairs)
    tower, chunks = dict(zip(TOWERS, towers, strict=True))[which]
    return tower, list(chunks)


def walk_of(tower: Tower, chunks: list[Inputs]) -> Walk:
    models = (tower.original, tower.student)
    return Walk(models, tower.embeds, find_blocks(tower.names), chunks)


def ran(tower: Tower, chunk: Inputs) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """First inputs and outputs of all modules of a plain forward pass, in the order they were entered."""
    inputs: dict[str, torch.Tensor] = {}
    outputs: dict[str, torch.Tensor] = {}
    handles = []
    for name, module in tower.original.named_modules():
        if isinstance(module, (*LAYERS, nn.LayerNorm)) or name in find_blocks(tower.names):
            enter, leave = _keepers(name, inputs, outputs)
            handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            handles.append(module.register_forward_hook(leave))
    tower.embeds[0](chunk)
    for handle in handles:
        handle.remove()
    return inputs, outputs


def _keepers(name: str, inputs: dict, outputs: dict) -> tuple[Callable, Callable]:
    def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
        x = first_input(args, kwargs) if isinstance(module, (*LAYERS, nn.LayerNorm)) else None
        inputs.setdefault(name, x if x is not None else [*args, kwargs.get("hidden_states")][0])

    def leave(_module: nn.Module, _args: tuple, output: object) -> None:
        outputs[name] = output[0] if isinstance(output, tuple) else output

    return enter, leave


def walked(tower: Tower, walk: Walk) -> Iterator[tuple[str, list[Step]]]:
    parts = parts_of(tower.original, tower.names)
    waiting = list(parts)
    for segment in walk.segments:
        seen = walk.order(segment, waiting)
        waiting = [name for name in waiting if name not in dict(seen)]
        yield segment, find_steps(seen, parts, in_block=segment not in (BEFORE, BEHIND))
        walk.leave(segment)


@every_tower
@torch.no_grad()
def test_every_part_once_and_in_order_with_its_own_input(tiny: Tinies, family: str, which: str) -> None:
    tower, chunks = tower_of(tiny(family), which)
    plain = [ran(tower, chunk)[0] for chunk in chunks]
    wanted = [name for name in plain[0] if name not in find_blocks(tower.names)]
    walk = walk_of(tower, chunks)
    met: list[str] = []
    for segment, steps in walked(tower, walk):
        for step in steps:
            met.extend(step.names)
            for index, both in enumerate(walk.inputs(segment, step.recorded)):
                for seen in both:
                    assert set(seen) == set(step.recorded)
                    for name, x in seen.items():
                        assert torch.equal(x, plain[index][name])
    assert met == wanted
    # every linear layer, convolution and norm of the tower runs, but for the projection that is fused
    # into nn.MultiheadAttention
    assert all(
        name.endswith("attention.out_proj") for name in set(parts_of(tower.original, tower.names)) - set(met)
    )


@every_tower
@torch.no_grad()
def test_hidden_states_are_those_of_the_whole_forward_pass(tiny: Tinies, family: str, which: str) -> None:
    tower, chunks = tower_of(tiny(family), which)
    walk = walk_of(tower, chunks)
    assert len(walk.segments) == 4  # both blocks, before and behind
    plain = [ran(tower, chunk) for chunk in chunks]
    for segment, following in zip(walk.segments, walk.segments[1:], strict=False):
        walk.leave(segment)
        for states in walk._hidden:
            for state, (inputs, outputs) in zip(states, plain, strict=True):
                if following != BEHIND:
                    assert torch.equal(state, inputs[following])
                if segment != BEFORE:
                    assert torch.equal(state, outputs[segment])


@every_tower
@torch.no_grad()
def test_embeddings_from_a_segment_on_are_those_of_the_whole_tower(
    tiny: Tinies, family: str, which: str
) -> None:
    tower, chunks = tower_of(tiny(family), which)
    walk = Walk((tower.original,), tower.embeds[:1], find_blocks(tower.names), chunks)
    whole_BE = torch.cat([tower.embeds[0](chunk) for chunk in chunks])
    ran_blocks = Counter[str]()
    handles = [
        tower.original.get_submodule(name).mlp.register_forward_hook(
            lambda *_, name=name: ran_blocks.update([name])
        )
        for name in find_blocks(tower.names)
        if hasattr(tower.original.get_submodule(name), "mlp")
    ]
    for place, segment in enumerate(walk.segments):
        ran_blocks.clear()
        torch.testing.assert_close(walk.embeddings(segment), whole_BE)
        if handles:
            assert len(ran_blocks) == min(2, 3 - place)  # those that were passed have not run again
        walk.leave(segment)
    for handle in handles:
        handle.remove()
    assert not any("forward" in vars(module) for module in tower.original.modules())


@torch.no_grad()
def test_embeddings_from_a_segment_on_follow_what_was_changed_in_it(tiny: Tinies) -> None:
    tower, chunks = tower_of(replace(tiny("clip"), clip=tiny("clip").copy()), "image")
    walk = Walk((tower.original,), tower.embeds[:1], find_blocks(tower.names), chunks)
    for segment in walk.segments[:2]:
        walk.leave(segment)
    tower.original.vision_model.encoder.layers[1].mlp.fc2.weight.mul_(0.5)
    whole_BE = torch.cat([tower.embeds[0](chunk) for chunk in chunks])
    torch.testing.assert_close(walk.embeddings(walk.segments[2]), whole_BE)


@every_tower
@torch.no_grad()
def test_layers_that_write_to_the_residual_stream(tiny: Tinies, family: str, which: str) -> None:
    """The input of the module named is the stream: with the layer's output it gives what is read next."""
    tower, chunks = tower_of(tiny(family), which)
    inputs, outputs = ran(tower, chunks[0])
    for segment, steps in walked(tower, walk_of(tower, chunks)):
        writers = [at for at, step in enumerate(steps) if step.residual]
        assert len(writers) == (0 if segment in (BEFORE, BEHIND) else 2)
        for at in writers:
            (name,) = steps[at].names
            after = inputs[steps[at + 1].names[0]] if at + 1 < len(steps) else outputs[segment]
            torch.testing.assert_close(inputs[str(steps[at].residual)] + outputs[name], after)


@every_tower
@torch.no_grad()
def test_query_key_and_value_share_a_step(tiny: Tinies, family: str, which: str) -> None:
    tower, chunks = tower_of(tiny(family), which)
    for segment, steps in walked(tower, walk_of(tower, chunks)):
        if segment not in (BEFORE, BEHIND):
            shared = [step.names for step in steps if len(step.names) > 1]
            assert [[name.rpartition(".")[2][0] for name in names] for names in shared] == [["q", "k", "v"]]
            assert [step.is_norm for step in steps].count(True) == 2


def test_blocks_are_the_longest_run_in_numeric_order() -> None:
    names = [f"t.layers.{number}.fc.weight" for number in (10, 9, 2, 0)] + ["t.few.0.x.weight", "t.norm.bias"]
    assert find_blocks(names) == [f"t.layers.{number}" for number in (0, 2, 9, 10)]
    assert find_blocks(["t.norm.bias"]) == []


@torch.no_grad()
def test_tower_without_blocks_is_one_segment() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model.requires_grad_(False)

    def embed(inputs: Inputs) -> torch.Tensor:
        return model(inputs["x"])

    walk = Walk((model, model), (embed, embed), [], [{"x": torch.ones(2, 3)}])
    assert walk.segments == [BEHIND]
    assert [name for name, _ in walk.order(BEHIND, ["2", "0", "1"])] == ["0", "1", "2"]
    ours, theirs = next(iter(walk.inputs(BEHIND, ["1"])))
    assert torch.equal(ours["1"], theirs["1"])
    torch.testing.assert_close(ours["1"], model[0](torch.ones(2, 3)))


def test_a_module_that_runs_twice_is_treated_once() -> None:
    x, y = torch.ones(2, 3), torch.zeros(2, 3)
    modules = {"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)}
    steps = find_steps([("a", x), ("b", y), ("a", y)], modules, in_block=False)
    assert [step.names for step in steps] == [("a",), ("b",)]


def test_no_hooks_stay_behind(tiny: Tinies) -> None:
    tower, chunks = tower_of(tiny("clip"), "text")
    with torch.no_grad():
        list(walked(tower, walk_of(tower, chunks)))
    assert not any(module._forward_pre_hooks for module in tower.original.modules())
