"""What a GGUF file of a CLIP says of itself: clip.cpp's keys, the tokenizer, where the model came from.

Keys of our own are under "tclip.": what clip.cpp has no key for but a reader needs (docs/gguf.md).
"""

import json
from pathlib import Path
from typing import Any, Final

from tclip.export.gguf_names import GELU
from tclip.models.clip import Clip

KEY_LOGIT_SCALE: Final = "tclip.logit_scale"
KEY_PREPROCESSOR: Final = "tclip.preprocessor_config"
KEY_ACTIVATIONS: Final = "tclip.activations"
# gguf.LlamaFileType: what most tensors are
FILE_TYPES: Final = {"f16": 1, "tq1_0": 36, "tq2_0": 37}
HUB: Final = "https://huggingface.co"


def license_of(folder: Path) -> str | None:
    """Return the license that the card of a model folder names (README.md), or None if there is none."""
    from huggingface_hub import metadata_load

    card = folder / "README.md"
    facts = metadata_load(card) if card.is_file() else None
    stated = (facts or {}).get("license")
    return stated if isinstance(stated, str) else None


def base_name(clip: Clip) -> str:
    """Return the last part of the name of the model that a clip was made from."""
    return Path((clip.base or clip.source).id).name


def describe(writer: Any, clip: Clip, kind: str, license: str | None) -> None:
    """Write all metadata.

    Args:
        writer: a gguf.GGUFWriter.
        clip: the model.
        kind: of the blocks, a key of FILE_TYPES.
        license: an SPDX id or the Hub's; None: not known, nothing is said.
    """
    _describe_origin(writer, clip, kind, license)
    config = clip.model.config
    writer.add_bool("clip.has_text_encoder", True)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_bool("clip.use_gelu", GELU[config.vision_config.hidden_act])
    _describe_tower(writer, "clip.text", config.text_config, config.projection_dim)
    writer.add_uint32("clip.text.context_length", config.text_config.max_position_embeddings)
    _describe_tower(writer, "clip.vision", config.vision_config, config.projection_dim)
    _describe_images(writer, clip)
    _describe_tokenizer(writer, clip)
    writer.add_float32(KEY_LOGIT_SCALE, float(clip.model.logit_scale.detach()))
    writer.add_string(KEY_ACTIVATIONS, clip.activations)


def _describe_origin(writer: Any, clip: Clip, kind: str, license: str | None) -> None:
    base = clip.base or clip.source
    writer.add_name(f"{base_name(clip)} ternary")
    writer.add_description("two-tower CLIP model")
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_quantization_version(2)  # of ggml's blocks
    writer.add_quantized_by("tclip")
    writer.add_tags(["clip", "ternary", "zero-shot-image-classification"])
    if license:
        writer.add_license(license)
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, base_name(clip))
    version = base.revision or base.commit
    if version:
        writer.add_base_model_version(0, version)
    organization, slash, _ = base.id.partition("/")
    if slash and not Path(base.id).is_absolute():
        writer.add_base_model_organization(0, organization)
        writer.add_base_model_repo_url(0, f"{HUB}/{base.id}")
        writer.add_source_repo_url(f"{HUB}/{base.id}")


def _describe_tower(writer: Any, prefix: str, config: Any, projection_dim: int) -> None:
    writer.add_uint32(f"{prefix}.embedding_length", config.hidden_size)
    writer.add_uint32(f"{prefix}.feed_forward_length", config.intermediate_size)
    writer.add_uint32(f"{prefix}.block_count", config.num_hidden_layers)
    writer.add_uint32(f"{prefix}.attention.head_count", config.num_attention_heads)
    writer.add_float32(f"{prefix}.attention.layer_norm_epsilon", config.layer_norm_eps)
    writer.add_uint32(f"{prefix}.projection_dim", projection_dim)


def _describe_images(writer: Any, clip: Clip) -> None:
    processor, config = clip.image_processor, clip.model.config.vision_config
    writer.add_uint32("clip.vision.image_size", config.image_size)
    writer.add_uint32("clip.vision.patch_size", config.patch_size)
    writer.add_array("clip.vision.image_mean", [float(value) for value in processor.image_mean])
    writer.add_array("clip.vision.image_std", [float(value) for value in processor.image_std])
    writer.add_string(KEY_PREPROCESSOR, json.dumps(json.loads(processor.to_json_string())))


def _describe_tokenizer(writer: Any, clip: Clip) -> None:
    from gguf import TokenType

    tokenizer = clip.tokenizer
    document = json.loads(tokenizer.backend_tokenizer.to_str())
    token_of = {index: token for token, index in tokenizer.get_vocab().items()}
    size = max(max(token_of) + 1, clip.model.config.text_config.vocab_size)
    special = set(tokenizer.all_special_ids)
    uses = [
        TokenType.CONTROL if index in special else TokenType.NORMAL if index in token_of else TokenType.UNUSED
        for index in range(size)
    ]
    kind = document["model"]["type"]
    writer.add_tokenizer_model("clip" if kind == "BPE" else kind.lower())
    writer.add_token_list([token_of.get(index, f"[unused{index}]") for index in range(size)])
    writer.add_token_types(uses)
    merges = document["model"].get("merges", [])
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    for name in ("bos", "eos", "pad", "unk"):
        index = getattr(tokenizer, f"{name}_token_id")
        if index is not None:
            getattr(writer, f"add_{name}_token_id")(index)
    writer.add_string("tokenizer.huggingface.json", json.dumps(document, ensure_ascii=False))
