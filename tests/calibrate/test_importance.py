"""How much tokens count: nothing where the embedding cannot see them, else as finite differences say."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tclip.calibrate.importance import importance
from tests.calibrate.conftest import Tiny

Tinies = Callable[[str], Tiny]


def layers_of(model: nn.Module, prefix: str) -> dict[str, nn.Module]:
    return {
        name: module
        for name, module in model.named_modules()
        if name.startswith(prefix) and isinstance(module, (nn.Linear, nn.Conv2d))
    }


def test_padding_behind_the_end_of_a_text_counts_nothing(tiny: Tinies) -> None:
    clip, texts = tiny("clip").clip, tiny("clip").pairs.texts
    weights = importance(clip.embed_texts, layers_of(clip.model, "text_model"), texts).tokens
    end = clip.model.config.text_config.eos_token_id
    inside = torch.cat([_until(chunk["input_ids"], end).flatten() for chunk in texts])
    assert not inside.all()
    for name in ("layers.0.self_attn.k_proj", "layers.0.mlp.fc2", "layers.1.self_attn.v_proj"):
        weight_N = torch.cat(weights[f"text_model.encoder.{name}"])
        assert not weight_N[~inside].any()
        assert weight_N[inside].min() > 0
        assert float(weight_N.mean()) == pytest.approx(1, abs=1e-5)


def _until(ids_BT: torch.Tensor, end: int) -> torch.Tensor:
    """True up to the first end token."""
    first_B1 = (ids_BT == end).int().argmax(-1, keepdim=True)
    return torch.arange(ids_BT.shape[1]) <= first_B1


def test_patches_behind_the_last_attention_count_nothing(tiny: Tinies) -> None:
    clip, images = tiny("clip").clip, tiny("clip").pairs.images
    weights = importance(clip.embed_images, layers_of(clip.model, "vision_model"), images).tokens
    for name in ("self_attn.out_proj", "mlp.fc1", "mlp.fc2"):
        weight_BT = torch.cat(weights[f"vision_model.encoder.layers.1.{name}"]).reshape(-1, 17)
        assert not weight_BT[:, 1:].any()
        assert bool((weight_BT[:, 0] > 0).all())
    assert torch.cat(weights["vision_model.encoder.layers.1.self_attn.v_proj"]).min() > 0


class Small(nn.Module):
    """A convolution, then a layer whose patches are added up unequally; a layer that leads nowhere."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 2, stride=2)
        self.linear = nn.Linear(4, 5)
        self.aside = nn.Linear(4, 5)
        self.shut = nn.Linear(4, 5)
        self.unused = nn.Linear(4, 5)

    def embed(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        x_BND = self.conv(inputs["pixel_values"]).flatten(2).mT
        self.aside(x_BND)
        y_BND = torch.tanh(self.linear(x_BND)) + 0 * self.shut(x_BND)
        share_N = torch.arange(y_BND.shape[1])  # the first patch does not count
        return nn.functional.normalize((y_BND * share_N[:, None]).sum(1), dim=-1)


def test_weights_are_the_slopes_that_finite_differences_show() -> None:
    model = Small().double()
    chunk = {"pixel_values": torch.randn(2, 3, 4, 4, dtype=torch.float64)}
    layers = dict(model.named_children())
    known = importance(model.embed, layers, [chunk], seed=3)
    found = known.tokens
    assert found.keys() == known.outputs.keys() == {"conv", "linear"}  # not what leads nowhere or never runs
    direction_BE = torch.randn(2, 5, generator=torch.Generator().manual_seed(3))

    def moved(layer: nn.Module, where: tuple[int, ...], by: float) -> float:
        def shift(_module: nn.Module, _args: object, output: torch.Tensor) -> torch.Tensor:
            shifted = output.detach().clone()
            shifted[where] += by
            return shifted

        handle = layer.register_forward_hook(shift)
        total = float((model.embed(chunk) * direction_BE).sum().detach())
        handle.remove()
        return total

    for name, channels in (("linear", 5), ("conv", 4)):
        slopes, moment_OO = [], torch.zeros(channels, channels, dtype=torch.float64)
        for image in range(2):
            for token in range(4):
                at = (token,) if name == "linear" else divmod(token, 2)
                places = [(image, *at, c) if name == "linear" else (image, c, *at) for c in range(channels)]
                parts = [
                    (moved(layers[name], p, 1e-5) - moved(layers[name], p, -1e-5)) / 2e-5 for p in places
                ]
                slope_O = torch.tensor(parts, dtype=torch.float64)
                slopes.append(slope_O.norm())
                moment_OO += torch.outer(slope_O, slope_O) / slope_O.norm().clamp(min=1e-9)
        wanted_N = torch.stack(slopes) / torch.stack(slopes).mean()
        torch.testing.assert_close(found[name][0], wanted_N, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(known.outputs[name], moment_OO, rtol=1e-4, atol=1e-6)


def test_every_word_of_a_table_counts_alike(tiny: Tinies) -> None:
    clip, texts = tiny("clip").clip, tiny("clip").pairs.texts
    table = clip.model.text_model.embeddings.token_embedding
    known = importance(clip.embed_texts, {"table": table}, texts)
    seen = sum(int((weight_N > 0).sum()) for weight_N in known.tokens["table"])
    assert float(known.outputs["table"].trace()) == pytest.approx(seen, rel=1e-4)


def test_hooks_are_gone_and_chunks_stay_apart(tiny: Tinies) -> None:
    clip, texts = tiny("clip").clip, tiny("clip").pairs.texts
    layers = layers_of(clip.model, "text_model")
    weights = importance(clip.embed_texts, layers, texts).tokens
    assert all(not module._forward_hooks for module in layers.values())
    lengths = [chunk["input_ids"].numel() for chunk in texts]
    assert [len(part) for part in weights["text_model.encoder.layers.0.mlp.fc1"]] == lengths
