"""open_clip's models in plain torch, slow and obvious, with its names; and folders in its layout.

`native` is CLIP of open_clip's own modules, `siglip` timm's image tower with open_clip's text tower.

B batch, T tokens, D width, H heads.
"""

import json
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests import tiny_tokenizers

TOKENS = 20
WEIGHTS = "open_clip_model.safetensors"
TRUNK = "vit_tiny_patch8_siglip_32"  # no name of timm's: tests add it to the table
TRUNK_WIDTHS = (32, 2, 2, 2.0)
NATIVE = {
    "embed_dim": 24,
    "vision_cfg": {
        "image_size": 32, "layers": 2, "width": 32, "head_width": 16, "mlp_ratio": 2.5, "patch_size": 8,
    },
    "text_cfg": {"context_length": TOKENS, "width": 48, "heads": 4, "layers": 2},
}  # fmt: skip
SIGLIP = {
    "embed_dim": 32,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 32, "timm_model_name": TRUNK, "timm_model_pretrained": False,
        "timm_pool": "map", "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": TOKENS, "hf_tokenizer_name": "org/words",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": 48, "heads": 4, "layers": 2, "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
    },
}  # fmt: skip
SIGLIP_PIXELS = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}


class QuickGelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """open_clip's residual block."""

    def __init__(self, width: int, heads: int, hidden: int, gelu: nn.Module, eps: float) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        layers = [("c_fc", nn.Linear(width, hidden)), ("gelu", gelu), ("c_proj", nn.Linear(hidden, width))]
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x_BTD: Tensor, mask_TT: Tensor | None) -> Tensor:
        y_BTD = self.ln_1(x_BTD)
        x_BTD = x_BTD + self.attn(y_BTD, y_BTD, y_BTD, need_weights=False, attn_mask=mask_TT)[0]
        return x_BTD + self.mlp(self.ln_2(x_BTD))


class Layers(nn.Module):
    def __init__(self, config: dict[str, Any], width: int, heads: int, gelu: nn.Module, eps: float) -> None:
        super().__init__()
        hidden = int(width * config.get("mlp_ratio", 4.0))
        self.resblocks = nn.ModuleList(
            Block(width, heads, hidden, gelu, eps) for _ in range(config["layers"])
        )

    def forward(self, x_BTD: Tensor, mask_TT: Tensor | None = None) -> Tensor:
        for block in self.resblocks:
            x_BTD = block(x_BTD, mask_TT)
        return x_BTD


class Visual(nn.Module):
    """open_clip's own image tower: the class token is pooled."""

    def __init__(self, config: dict[str, Any], embed_dim: int, gelu: nn.Module) -> None:
        super().__init__()
        width, patch = config["width"], config["patch_size"]
        eps = (config.get("norm_kwargs") or {}).get("eps", 1e-5)
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        side = config["image_size"]
        side = side[0] if isinstance(side, list) else side
        self.positional_embedding = nn.Parameter(torch.empty((side // patch) ** 2 + 1, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.transformer = Layers(config, width, width // config["head_width"], gelu, eps)
        self.proj = nn.Parameter(torch.empty(width, embed_dim))

    def forward(self, pixels: Tensor) -> Tensor:
        x_BTD = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(pixels), 1, -1)
        x_BTD = self.ln_pre(torch.cat([first, x_BTD], dim=1) + self.positional_embedding)
        return self.ln_post(self.transformer(x_BTD)[:, 0]) @ self.proj


class TimmAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        q, k, v = self.qkv(x_BTD).chunk(3, dim=-1)
        return self.proj(attend(q, k, v, self.heads))


class TimmMlp(nn.Module):
    def __init__(self, width: int, hidden: int, gelu: nn.Module) -> None:
        super().__init__()
        self.fc1, self.gelu, self.fc2 = nn.Linear(width, hidden), gelu, nn.Linear(hidden, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.fc2(self.gelu(self.fc1(x_BTD)))


class TimmBlock(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, gelu: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = TimmAttention(width, heads), TimmMlp(width, hidden, gelu)

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BTD = x_BTD + self.attn(self.norm1(x_BTD))
        return x_BTD + self.mlp(self.norm2(x_BTD))


class TimmPool(nn.Module):
    """A learned query looks at all patches."""

    def __init__(self, width: int, heads: int, gelu: nn.Module) -> None:
        super().__init__()
        self.heads = heads
        self.latent = nn.Parameter(torch.empty(1, 1, width))
        self.q, self.kv, self.proj = (nn.Linear(width, times * width) for times in (1, 2, 1))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = TimmMlp(width, int(width * TRUNK_WIDTHS[3]), gelu)

    def forward(self, x_BTD: Tensor) -> Tensor:
        k, v = self.kv(x_BTD).chunk(2, dim=-1)
        x_B1D = self.proj(attend(self.q(self.latent).expand(len(x_BTD), -1, -1), k, v, self.heads))
        return (x_B1D + self.mlp(self.norm(x_B1D)))[:, 0]


class Trunk(nn.Module):
    """timm's image tower of SigLIP."""

    def __init__(self, gelu: nn.Module) -> None:
        super().__init__()
        width, depth, heads, ratio = TRUNK_WIDTHS
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, 8, 8)
        self.pos_embed = nn.Parameter(torch.empty(1, 16, width))
        self.blocks = nn.ModuleList(TimmBlock(width, heads, int(width * ratio), gelu) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.attn_pool = TimmPool(width, heads, gelu)

    def forward(self, pixels: Tensor) -> Tensor:
        x_BTD = self.patch_embed.proj(pixels).flatten(2).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return self.attn_pool(self.norm(x_BTD))


class TextTower(nn.Module):
    def __init__(self, config: dict[str, Any], embed_dim: int, quick_gelu: bool) -> None:
        super().__init__()
        self.config, width = config, config["width"]
        eps = (config.get("norm_kwargs") or {}).get("eps", 1e-5)
        self.token_embedding = nn.Embedding(config["vocab_size"], width)
        self.positional_embedding = nn.Parameter(torch.empty(TOKENS, width))
        gelu = gelu_of(quick_gelu, config.get("act_kwargs"))
        self.transformer = Layers(config, width, config["heads"], gelu, eps)
        self.ln_final = nn.LayerNorm(width, eps=eps)
        biased = config.get("proj_bias")
        self.text_projection = (
            nn.Linear(width, embed_dim) if biased else nn.Parameter(torch.empty(width, embed_dim))
        )

    def forward(self, ids_BT: Tensor) -> Tensor:
        causal = torch.full((TOKENS, TOKENS), -torch.inf).triu(1)
        x_BTD = self.token_embedding(ids_BT) + self.positional_embedding
        x_BTD = self.transformer(x_BTD, None if self.config.get("no_causal_mask") else causal)
        x_BTD = self.ln_final(x_BTD)
        where = {
            "argmax": ids_BT.argmax(1),
            "eos": (ids_BT == self.config.get("eos_id", -1)).int().argmax(1),
            "last": torch.full((len(ids_BT),), TOKENS - 1),
        }[self.config.get("pool_type", "argmax")]
        pooled_BD = x_BTD[torch.arange(len(ids_BT)), where]
        linear = isinstance(self.text_projection, nn.Linear)
        return self.text_projection(pooled_BD) if linear else pooled_BD @ self.text_projection


class Reference(nn.Module):
    """The whole model, its text tower under `text.` as in CustomTextCLIP."""

    def __init__(self, config: dict[str, Any], trunk_gelu: nn.Module | None = None) -> None:
        super().__init__()
        vision, quick_gelu = config["vision_cfg"], config.get("quick_gelu", False)
        if vision.get("timm_model_name"):
            self.visual: nn.Module = nn.Module()
            self.visual.trunk = Trunk(trunk_gelu or nn.GELU())
            self.visual.forward = self.visual.trunk.forward
            self.logit_bias = nn.Parameter(torch.tensor(-10.0))
        else:
            gelu = gelu_of(quick_gelu, vision.get("act_kwargs"))
            self.visual = Visual(vision, config["embed_dim"], gelu)
        self.text = TextTower(config["text_cfg"], config["embed_dim"], quick_gelu)
        self.logit_scale = nn.Parameter(torch.tensor(2.5))

    def logits(self, pixels: Tensor, ids: Tensor) -> Tensor:
        image, text = (nn.functional.normalize(x, dim=-1) for x in (self.visual(pixels), self.text(ids)))
        return self.logit_scale.exp() * image @ text.T + getattr(self, "logit_bias", 0.0)


def attend(q_BTD: Tensor, k_BTD: Tensor, v_BTD: Tensor, heads: int) -> Tensor:
    """Attention, head by head."""
    outputs = []
    for q, k, v in zip(*(x.chunk(heads, dim=-1) for x in (q_BTD, k_BTD, v_BTD)), strict=True):
        outputs.append((q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1) @ v)
    return torch.cat(outputs, dim=-1)


def gelu_of(quick_gelu: bool, options: dict[str, Any] | None) -> nn.Module:
    return QuickGelu() if quick_gelu else nn.GELU(**(options or {}))


def merged(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Set options of a model_cfg; "text_cfg.width" is one of a section."""
    new = json.loads(json.dumps(config))
    for option, value in changes.items():
        section, _, name = option.rpartition(".")
        (new[section] if section else new)[name] = value
    return new


def open_clip_folder(
    folder: Path,
    base: dict[str, Any] = NATIVE,
    changes: dict[str, Any] | None = None,
    preprocess: dict[str, Any] | None = None,
    trunk_gelu: nn.Module | None = None,
) -> Reference:
    """Write a tiny model in open_clip's layout; return the reference that has its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    is_siglip = base is SIGLIP
    make = tiny_tokenizers.siglip_tokenizer if is_siglip else tiny_tokenizers.clip_tokenizer
    tokenizer = make(TOKENS)
    tokenizer.save_pretrained(folder)
    config = merged(base, {"text_cfg.vocab_size": len(tokenizer), **(changes or {})})
    pixels = preprocess if preprocess is not None else (SIGLIP_PIXELS if is_siglip else {})
    document = {"model_cfg": config, "preprocess_cfg": pixels}
    (folder / "open_clip_config.json").write_text(json.dumps(document), encoding="utf-8")
    reference = Reference(config, trunk_gelu).eval()
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            if not name.startswith("logit"):
                offset = 1.0 if re.search(r"(ln_\w+|norm\d?)\.weight$", name) else 0.0
                parameter.copy_(torch.randn(parameter.shape) * 0.2 + offset)
    state = {
        name if is_siglip else name.removeprefix("text."): x for name, x in reference.state_dict().items()
    }
    save_file({name: x.contiguous() for name, x in state.items()}, folder / WEIGHTS)
    return reference
