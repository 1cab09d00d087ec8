"""What open_clip_config.json may say, with open_clip's own defaults: one class a section.

Options that open_clip knows and that are not here are foreign: they change what a model computes,
and no class of transformers follows (`foreign_options`). Those that change nothing at inference are in INERT.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Sides = Count | list[int]
Flag = bool | None
Options = dict[str, Any] | None

# options that matter in training, or to what is returned beside the embeddings
INERT: dict[str, frozenset[str]] = {
    "model_cfg": frozenset({"custom_text", "nonscalar_logit_scale", "output_dict", "cast_dtype"}),
    "vision_cfg": frozenset(
        {
            "patch_dropout",
            "pos_embed_type",  # either way the table lies in the weights
            "final_ln_after_pool",  # the same where one token is pooled
            "output_tokens",
            "block_type",  # the options that make a block special are refused one by one
            "attn_pooler_queries",
            "attn_pooler_heads",
            "timm_model_pretrained",
            "timm_drop",
            "timm_drop_path",
            "timm_proj_bias",
        }
    ),
    "text_cfg": frozenset(
        {
            "variable_text",
            "pad_id",
            "bos_id",
            "final_ln_after_pool",
            "output_tokens",
            "block_type",
            "hf_model_pretrained",
            "hf_proj_type",
            "hf_pooler_type",
            "hf_model_config",
            "tiktoken_name",
        }
    ),
}


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Tower(_Section):
    """What both towers are described by."""

    layers: Count | list[int] = 12
    mlp_ratio: Annotated[float, Field(gt=0)] = 4.0
    act_kwargs: Options = None
    norm_kwargs: Options = None
    ls_init_value: float | None = None
    qk_norm: Flag = False
    scaled_cosine_attn: Flag = False
    scale_heads: Flag = False
    scale_attn_inner: Flag = False
    scale_attn: Flag = False
    scale_fc: Flag = False


class Vision(Tower):
    """The image tower: open_clip's own transformer, or one of timm's."""

    width: Count = 768
    head_width: Count = 64
    image_size: Sides = 224
    patch_size: Sides = 16
    pool_type: str = "tok"
    attentional_pool: Flag | str = False
    no_ln_pre: Flag = False
    timm_model_name: str | None = None
    timm_pool: str | None = "avg"
    timm_proj: str | None = "linear"
    timm_model_kwargs: Options = None


class Text(Tower):
    """The text tower and its tokenizer."""

    width: Count = 512
    heads: Count = 8
    context_length: Count = 77
    vocab_size: Count = 49408
    pool_type: str = "argmax"
    eos_id: int | None = None
    no_causal_mask: Flag = False
    embed_cls: Flag = False
    proj_type: str | None = "linear"
    proj_bias: Flag = False
    hf_model_name: str | None = None
    text_arch: str = "clip"
    hf_tokenizer_name: str | None = None
    tokenizer_kwargs: Options = None
    tokenizer_mode: str | None = None
    tokenizer_type: str | None = None


class Model(_Section):
    """Both towers and how their embeddings are compared."""

    embed_dim: Count
    vision_cfg: Vision
    text_cfg: Text
    quick_gelu: Flag = False
    init_logit_scale: float | None = None
    init_logit_bias: float | None = None


class Preprocess(_Section):
    """How pictures become pixels; the picture's size is the image tower's."""

    mode: Literal["RGB"] = "RGB"
    mean: float | list[float] | None = None
    std: float | list[float] | None = None
    interpolation: Literal["bicubic", "bilinear", "random"] | None = None
    resize_mode: Literal["shortest", "longest", "squash"] | None = None
    fill_color: int | None = None


class Document(_Section):
    """The whole file."""

    model_cfg: Model
    preprocess_cfg: Preprocess | None = None


def foreign_options(model_cfg: dict[str, Any]) -> list[str]:
    """Name the options of a model_cfg that are neither read here nor without effect, dotted."""
    sections: dict[str, tuple[Any, type[BaseModel]]] = {
        "model_cfg": (model_cfg, Model),
        "vision_cfg": (model_cfg.get("vision_cfg"), Vision),
        "text_cfg": (model_cfg.get("text_cfg"), Text),
    }
    return [
        option if name == "model_cfg" else f"{name}.{option}"
        for name, (section, described) in sections.items()
        if isinstance(section, dict)
        for option, value in section.items()
        if option not in described.model_fields and option not in INERT[name] and value is not None
    ]
