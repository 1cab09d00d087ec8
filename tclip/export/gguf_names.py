"""The names that clip.cpp gives to the tensors of a CLIP, and which CLIPs it can run.

Source: models/convert_hf_to_gguf.py and clip.cpp of github.com/monatis/clip.cpp. Note that it calls the first
layer of a feed-forward ffn_down and the second ffn_up. Its reader knows a model's size by the number of
tensors, 16 a layer and 13 more, so no tensor of our own may be added: the logit scale is metadata.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from tclip.errors import ModelError, listed

LOGIT_SCALE: Final = "logit_scale"
# what each hidden_act is to clip.use_gelu; ggml's gelu is the tanh form, off by less than 5e-4
GELU: Final = {"quick_gelu": False, "gelu": True, "gelu_new": True, "gelu_pytorch_tanh": True}

_TOWERS: Final = {"vision_model": "v", "text_model": "t"}
_OUTSIDE: Final = {
    "embeddings.class_embedding": "class_embd",
    "embeddings.patch_embedding": "patch_embd",
    "embeddings.token_embedding": "token_embd",
    "embeddings.position_embedding": "position_embd",
    "pre_layrnorm": "pre_ln",
    "post_layernorm": "post_ln",
    "final_layer_norm": "post_ln",
}
_INSIDE: Final = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "layer_norm1": "ln1",
    "layer_norm2": "ln2",
    "mlp.fc1": "ffn_down",
    "mlp.fc2": "ffn_up",
}
_PROJECTIONS: Final = {"visual_projection.weight", "text_projection.weight"}
_NAME: Final = re.compile(r"(vision_model|text_model)\.(?:encoder\.layers\.(\d+)\.)?(.+?)(\.weight|\.bias)?")


def gguf_names(parameters: Iterable[str]) -> dict[str, str]:
    """Return clip.cpp's name for each tensor of a CLIP but the logit scale.

    Raises:
        ModelError: it has tensors for which there is no name, all of them named.
    """
    named = {name: _gguf_name(name) for name in parameters if name != LOGIT_SCALE}
    nameless = [name for name, other in named.items() if not other]
    if nameless:
        raise ModelError(f"GGUF's CLIP has no name for these tensors of the model:{listed(nameless)}")
    return named


def refuse_strangers(config: Any, model_id: str) -> None:
    """Raise ModelError for a model that clip.cpp's graph cannot run: another family, or other activations."""
    if config.model_type != "clip":
        raise ModelError(
            f'{model_id} has the architecture "{config.model_type}", and clip.cpp, whose names these are, '
            "runs only CLIP: export it for ONNX Runtime (`tclip export onnx`) or as a dense folder "
            "(`tclip export transformers`)."
        )
    acts = {config.vision_config.hidden_act, config.text_config.hidden_act}
    unknown = sorted(acts - GELU.keys())
    if unknown or len({GELU[act] for act in acts}) > 1:
        raise ModelError(
            f"{model_id} has the activation {' and '.join(sorted(acts))}; clip.cpp has one for both towers, "
            f"one of {', '.join(GELU)}: export the model for another target."
        )


def _gguf_name(name: str) -> str:
    """Return clip.cpp's name, or '' if there is none."""
    if name in _PROJECTIONS:
        return name
    found = _NAME.fullmatch(name)
    if not found:
        return ""
    tower, layer, what, ending = found.groups(default="")
    short = (_INSIDE if layer else _OUTSIDE).get(what)
    block = f"blk.{layer}." if layer else ""
    return f"{_TOWERS[tower]}.{block}{short}{ending}" if short else ""
