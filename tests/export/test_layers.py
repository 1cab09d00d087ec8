"""Layers that only exist in a trace: one small module with all of them, exported at every granularity."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tclip.export.layers import Attention, Convolution, Embedding, Linear, Patches
from tclip.export.prepare import put_export_layers
from tclip.export.session import open_session
from tclip.export.spell import spell_out
from tclip.export.trace import OPSET, _quiet_exporter
from tclip.ternary.quantizers import ternarize

D = 12


class Toy(nn.Module):
    """Text, patches and an overlapping convolution meet in an attention."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(30, D)
        self.patches = nn.Conv2d(3, D, (4, 2), stride=(4, 2))
        self.overlapping = nn.Conv2d(3, D, 4, stride=2, padding=1)
        self.attention = nn.MultiheadAttention(D, 3, batch_first=True)
        self.linear = nn.Linear(D, 18)
        self.kept = nn.Linear(18, 5)

    def forward(self, ids: Tensor, pixels: Tensor) -> Tensor:
        maps = (self.patches(pixels), self.overlapping(pixels))
        seen = torch.cat([features.flatten(2).transpose(1, 2) for features in maps], dim=1)
        asked = self.tokens(ids)
        mask = torch.where(torch.arange(seen.shape[1]) % 3 == 0, -torch.inf, 0.0)
        mask = mask.expand(len(ids) * 3, asked.shape[1], -1)
        heard = self.attention(asked, seen, seen, attn_mask=mask)[0]
        return self.kept(self.linear(heard))


TERNARY = (
    "tokens.weight",
    "patches.weight",
    "overlapping.weight",
    "attention.in_proj_weight",
    "attention.out_proj.weight",
    "linear.weight",
)


def toy(granularity: str, names: tuple[str, ...] = TERNARY) -> tuple[Toy, dict[str, Any]]:
    torch.manual_seed(0)
    model = Toy().eval()
    ternary = {name: ternarize(model.get_parameter(name), "mse", granularity) for name in names}
    with torch.no_grad():
        for name, tensor in ternary.items():
            model.get_parameter(name).copy_(tensor.dense())
        for name in ("attention.in_proj_bias", "attention.out_proj.bias"):
            model.get_parameter(name).normal_()
    return model, ternary


@pytest.mark.parametrize(
    ("granularity", "names"),
    [
        ("tensor", TERNARY),
        ("row", TERNARY),
        ("group:4", TERNARY),
        ("row", ("attention.out_proj.weight",)),
        ("row", ("attention.in_proj_weight", "linear.weight")),
    ],
)
@torch.no_grad()
def test_float_file_answers_as_the_module(granularity: str, names: tuple[str, ...]) -> None:
    model, ternary = toy(granularity, names)
    inputs = (torch.randint(0, 30, (2, 5)), torch.randn(2, 3, 9, 8))  # a rim of one row is in no patch
    exported = copy.deepcopy(model)
    put_export_layers(exported, ternary)
    with _quiet_exporter():
        program = torch.onnx.export(
            exported, inputs, input_names=["ids", "pixels"], opset_version=OPSET, dynamo=True, verbose=False
        )
    assert program is not None
    feed = {"ids": inputs[0].numpy(), "pixels": inputs[1].numpy()}
    for form, tolerance in (("float", 1e-4), ("int8", 0.2)):
        session = open_session(spell_out(program.model_proto, form).SerializeToString(), threads=1)
        assert torch.allclose(torch.from_numpy(session.run(None, feed)[0]), model(*inputs), atol=tolerance)


def test_each_module_gets_its_layer() -> None:
    model, ternary = toy("row")
    put_export_layers(model, ternary)
    assert isinstance(model.tokens, Embedding)
    assert isinstance(model.patches, Patches)
    assert isinstance(model.overlapping, Convolution)
    assert isinstance(model.attention, Attention)
    assert isinstance(model.attention.output, Linear)
    assert isinstance(model.linear, Linear)
    assert isinstance(model.kept, nn.Linear)


def test_projections_that_are_not_ternary_stay_dense() -> None:
    model, ternary = toy("row", ("attention.out_proj.weight",))
    put_export_layers(model, ternary)
    assert isinstance(model.attention, Attention)
    assert isinstance(model.attention.query, nn.Linear)
    assert isinstance(model.attention.output, Linear)
