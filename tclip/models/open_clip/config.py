"""From open_clip_config.json to the transformers model, image processor and tokenizer that do the same.

The parsed file is enough, so that what cannot be turned is refused before any weights are fetched.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tclip.errors import ModelError, listed
from tclip.models.open_clip.schema import Document, Model, Preprocess, foreign_options
from tclip.models.open_clip.towers import clip_text, clip_vision, siglip_text, siglip_vision

OPENAI_MEAN = [0.48145466, 0.4578275, 0.40821073]
OPENAI_STD = [0.26862954, 0.26130258, 0.27577711]
PIL_FILTERS = {"bilinear": 2, "bicubic": 3}
CLIP_CLEANING = "lower"  # what open_clip does to texts before CLIP's BPE, and CLIPTokenizer by itself
CLEANINGS = ("whitespace", "whitespace_underscore", "lower", "canonicalize")
_FOREIGN = {
    "multimodal_cfg": "CoCa's decoder, which writes captions",
    "audio_cfg": "a tower for sound",
    "genlip_cfg": "a model that writes captions",
    "genlap_cfg": "a model that writes captions",
}


@dataclass(frozen=True)
class Tokenizing:
    """How texts become token ids.

    Attributes:
        hub_name: the Hub id whose tokenizer files belong to the model; None: CLIP's own BPE.
        cleaning: what is done to a text first, one of CLEANINGS.
        context_length: tokens of the longest text.
    """

    hub_name: str | None
    cleaning: str
    context_length: int


@dataclass(frozen=True)
class OpenClip:
    """A model in open_clip's layout, in transformers' words.

    Attributes:
        config: as config.json.
        preprocessor: as preprocessor_config.json.
        tokenizing: how texts become token ids.
    """

    config: dict[str, Any]
    preprocessor: dict[str, Any]
    tokenizing: Tokenizing


def describe(document: dict[str, Any], where: str) -> OpenClip:
    """Say which model of transformers a parsed open_clip_config.json describes.

    open_clip's own transformers become CLIPModel, or MetaClip2Model where texts are pooled at a given end
    token; timm's image towers of SigLIP become SiglipModel.

    Args:
        document: the parsed file.
        where: the model's name, for the message.

    Raises:
        ModelError: no class of transformers computes the same (all reasons are listed), or it is damaged.
    """
    raw = document.get("model_cfg")
    if not isinstance(raw, dict):
        raise ModelError(
            f"The open_clip_config.json of {where} has no model_cfg, which describes the towers: fetch it "
            "again."
        )
    reasons = [
        f"{option}: {_FOREIGN.get(option, 'an option that tclip does not know')}"
        for option in foreign_options(raw)
    ]
    try:
        read = Document.model_validate(document)
    except ValidationError as error:
        reasons += _damages(error)
        raise _refusal(where, reasons) from error
    model = read.model_cfg
    config = _siglip(model, reasons) if model.vision_cfg.timm_model_name else _clip(model, reasons)
    size = config["vision_config"].get("image_size", 0)
    preprocessor = _preprocessor(read.preprocess_cfg or Preprocess(), size, reasons)
    tokenizing = _tokenizing(model, reasons)
    if reasons:
        raise _refusal(where, reasons)
    return OpenClip(config, preprocessor, tokenizing)


def _clip(model: Model, reasons: list[str]) -> dict[str, Any]:
    pools_given_end = model.text_cfg.pool_type == "eos"
    if model.init_logit_bias is not None:
        reasons.append(f"init_logit_bias {model.init_logit_bias}: CLIP adds no bias to its similarities")
    quick_gelu, width = bool(model.quick_gelu), {"projection_dim": model.embed_dim}
    scale = model.init_logit_scale
    return {
        "model_type": "metaclip_2" if pools_given_end else "clip",
        "architectures": ["MetaClip2Model" if pools_given_end else "CLIPModel"],
        **width,
        **({} if scale is None else {"logit_scale_init_value": scale}),
        "vision_config": {**clip_vision(model.vision_cfg, quick_gelu, reasons), **width},
        "text_config": {**clip_text(model.text_cfg, quick_gelu, reasons), **width},
    }


def _siglip(model: Model, reasons: list[str]) -> dict[str, Any]:
    if model.init_logit_bias is None:
        reasons.append("init_logit_bias is missing: SigLIP adds a bias to its similarities")
    return {
        "model_type": "siglip",
        "architectures": ["SiglipModel"],
        "vision_config": siglip_vision(model.vision_cfg, model.embed_dim, reasons),
        "text_config": siglip_text(model.text_cfg, model.embed_dim, bool(model.quick_gelu), reasons),
    }


def _preprocessor(given: Preprocess, image_size: int, reasons: list[str]) -> dict[str, Any]:
    square = {"height": image_size, "width": image_size}
    mode = given.resize_mode or "shortest"
    if mode == "longest" and given.fill_color:
        reasons.append(
            f"preprocess_cfg.fill_color {given.fill_color}: pictures can be padded with black alone"
        )
    sizes = {
        "shortest": {"shortest_edge": image_size},
        "longest": {"max_height": image_size, "max_width": image_size},
        "squash": square,
    }
    crops = {"crop_size": square, "do_center_crop": True} if mode != "squash" else {}
    return {
        "image_processor_type": "SiglipImageProcessor" if mode == "squash" else "CLIPImageProcessor",
        "size": sizes[mode],
        **crops,
        "resample": PIL_FILTERS.get(given.interpolation or "", PIL_FILTERS["bicubic"]),
        "image_mean": _channels(given.mean, OPENAI_MEAN, "mean", reasons),
        "image_std": _channels(given.std, OPENAI_STD, "std", reasons),
    }


def _channels(
    given: float | list[float] | None, usual: list[float], option: str, reasons: list[str]
) -> list[float]:
    values = [given] * 3 if isinstance(given, float) else (given or usual)
    if len(values) != 3 or (option == "std" and min(values) <= 0):
        reasons.append(f"preprocess_cfg.{option} {given}: give three numbers, above 0 for std")
    return values


def _tokenizing(model: Model, reasons: list[str]) -> Tokenizing:
    text = model.text_cfg
    options = dict(text.tokenizer_kwargs or {})
    name = text.hf_tokenizer_name or None
    cleaning = options.pop("clean", "whitespace" if name else CLIP_CLEANING)
    if cleaning not in CLEANINGS or (name is None and cleaning != CLIP_CLEANING):
        allowed = " or ".join(CLEANINGS) if name else CLIP_CLEANING
        reasons.append(f'text_cfg.tokenizer_kwargs.clean "{cleaning}": tclip can do {allowed} here')
    reasons += [
        f"text_cfg.tokenizer_kwargs.{option} {value}: texts are tokenized without it"
        for option, value in options.items()
        if value not in (None, False, "")
    ]
    return Tokenizing(name, str(cleaning), text.context_length)


def _damages(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
        for fault in error.errors()
    ]


def _refusal(where: str, reasons: list[str]) -> ModelError:
    return ModelError(
        f"{where} is a model of open_clip that no supported class of transformers can hold, give a CLIP "
        f"with a plain ViT and text transformer, or a SigLIP:{listed(reasons)}"
    )
