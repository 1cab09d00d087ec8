"""Writing a CLIP as ONNX files: an image encoder, a text encoder, and if asked for both in one."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto
from torch import nn

from tclip.errors import ModelError
from tclip.export.join import join
from tclip.export.nbits import refuse_groups
from tclip.export.pixels import refuse_patches, take_bytes
from tclip.export.spell import spell_out
from tclip.export.trace import trace_towers
from tclip.models.clip import Clip
from tclip.recipe.schema import Onnx
from tclip.ternary.codec import BASES

IMAGE_FILE, TEXT_FILE, JOINT_FILE = "image_encoder.onnx", "text_encoder.onnx", "clip.onnx"
LARGEST_FILE = 2**31 - 1  # protobuf's limit


@dataclass(frozen=True)
class WrittenFile:
    """A file that was written, and its size in bytes."""

    path: Path
    num_bytes: int


def export_onnx(clip: Clip, folder: Path, settings: Onnx) -> list[WrittenFile]:
    """Write a clip's encoders as ONNX files, with the config, tokenizer and preprocessor that they need.

    * image_encoder.onnx: pixel_values [image_batch, C, H, W] (for SigLIP 2 patches, their mask and grid),
      or with settings.pixels uint8: pixels, uint8 [image_batch, H, W, C] -> image_embeds [image_batch, E]
    * text_encoder.onnx: input_ids [text_batch, tokens] int64 (and attention_mask where the family has
      one) -> text_embeds [text_batch, E]; SigLIP's tokens are always as many as the tower has positions
    * clip.onnx, with settings.joint: all of these, and logits_per_image [image_batch, text_batch]

    Embeddings are L2-normalised. Ternary weights are stored as base-3 bytes (spell.py), or those of products
    as two-bit blocks (nbits.py), and weights of 4 or 8 bits as bytes of base 16 or 256; other constants as
    float16 where that is exact, else as float32. The files replace older ones once all are written.

    Returns:
        the files, ONNX files first.

    Raises:
        ModelError: a file would exceed the 2 GB that one ONNX file can hold, the model cannot take any
            number of images and texts, or its scales or pictures do not suit the settings.
    """
    _refuse_too_large(clip, settings)
    if settings.format == "nbits":
        refuse_groups(_products(clip))
    if settings.pixels == "uint8":
        refuse_patches(clip)
    return write_graphs(clip, trace_towers(clip), folder, settings)


def write_graphs(
    clip: Clip, traced: tuple[ModelProto, ModelProto], folder: Path, settings: Onnx
) -> list[WrittenFile]:
    """Write traced encoders (trace.py) in the form that the settings ask for; see export_onnx."""
    rounds = clip.activations == "int8"
    image, text = (spell_out(tower, settings.activations, settings.format, rounds) for tower in traced)
    if settings.pixels == "uint8":
        image = take_bytes(image, clip.image_processor)
    graphs = {IMAGE_FILE: image, TEXT_FILE: text}
    if settings.joint:
        scale = float(clip.model.logit_scale.detach().exp())
        bias = getattr(clip.model, "logit_bias", None)
        graphs[JOINT_FILE] = join(image, text, scale, None if bias is None else float(bias.detach()))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as staging:
        names = _write(clip, graphs, Path(staging))
        replace_files(Path(staging), folder, names)
    return [WrittenFile(folder / name, (folder / name).stat().st_size) for name in names]


def replace_files(staging: Path, folder: Path, names: Sequence[str]) -> None:
    """Move complete files to where they belong, and remove a joint file that is not among them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (staging / name).replace(folder / name)
    if JOINT_FILE not in names:
        (folder / JOINT_FILE).unlink(missing_ok=True)


def _write(clip: Clip, graphs: dict[str, ModelProto], folder: Path) -> list[str]:
    for name, graph in graphs.items():
        onnx.checker.check_model(graph)
        (folder / name).write_bytes(graph.SerializeToString())
    clip.model.config.save_pretrained(folder)
    clip.tokenizer.save_pretrained(folder)
    clip.image_processor.save_pretrained(folder)
    beside = sorted(path.name for path in folder.iterdir() if path.name not in graphs)
    return [*graphs, *beside]


def _products(clip: Clip) -> dict[str, tuple[int, int]]:
    """Inputs and groups of a row of every ternary weight that is multiplied, and not looked up in."""
    return {
        name: (tensor.codes[0].numel(), tensor.scale_RG.shape[1])
        for name, tensor in clip.ternary.items()
        if not isinstance(clip.model.get_submodule(name.rpartition(".")[0]), nn.Embedding)
    }


def _refuse_too_large(clip: Clip, settings: Onnx) -> None:
    sizes, coded = {"image": 0.0, "text": 0.0}, clip.coded
    for name, parameter in clip.model.named_parameters():
        tower = "image" if name.startswith("vi") else "text"
        sizes[tower] += parameter.numel() * (1 / BASES[coded[name].base] if name in coded else 4)
    largest = sum(sizes.values()) if settings.joint else max(sizes.values())
    if largest > LARGEST_FILE:
        raise ModelError(
            f"{clip.source.id} would need an ONNX file of {largest / 1e9:.1f} GB and one file holds 2.1 GB: "
            f"{'leave out the joint file, or ' if settings.joint else ''}ternarize the model first."
        )
