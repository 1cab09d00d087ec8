"""GGUF files with clip.cpp's names: ternary weights as the blocks TQ2_0 or TQ1_0 of ggml, the rest float16.

Weights of 4 and 8 bits are blocks too, Q4_0 and Q8_0, or float16 where 32 weights of a row share no scale.

What has one axis (biases, norms, the class embedding) is float32, as clip.cpp wants it. The convolution that
cuts patches is float16 even if it is ternary: blocks lie along the last axis of a tensor, which for a
convolution is the few pixels of a line of a patch.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from tclip.errors import FormatError, ModelError, UserError, first_line, listed
from tclip.export.gguf_blocks import BLOCKS, BlockType, misfit, to_blocks
from tclip.export.gguf_metadata import KEY_LOGIT_SCALE, base_name, describe, license_of
from tclip.export.gguf_names import LOGIT_SCALE, gguf_names, refuse_strangers
from tclip.export.onnx import WrittenFile
from tclip.export.target import alike, written_files
from tclip.models.clip import Clip
from tclip.models.fetch import fetch
from tclip.models.load import clip_from, empty_model
from tclip.packed.replace import written_whole
from tclip.run import Run
from tclip.ternary.tensor import CodedTensor, IntTensor

GgufType = Literal["tq2_0", "tq1_0", "f16"]


def export_gguf(
    clip: Clip, folder: Path, kind: GgufType = "tq2_0", license: str | None = None
) -> list[WrittenFile]:
    """Write a clip as one GGUF file.

    Args:
        clip: a CLIP; its layers take float inputs in what is written, whatever clip.activations says.
        folder: where to; an older folder is replaced once all is written.
        kind: of block for ternary weights; "f16": none, scale x code in float16.
        license: of the model, for the file's metadata.

    Returns:
        the file.

    Raises:
        UserError: the package gguf is not installed.
        ModelError: clip.cpp cannot run the model, or weights do not fit the blocks; all of them are named.
    """
    gguf = _package()
    refuse_strangers(clip.model.config, clip.source.id)
    names = gguf_names(clip.model.state_dict())
    _refuse_unfit(clip, kind)
    file = re.sub(r"[^\w.-]", "-", f"{base_name(clip)}-{kind.upper()}.gguf")
    with written_whole(folder) as temporary:
        writer = gguf.GGUFWriter(temporary / file, "clip")
        describe(writer, clip, kind, license)
        for name, array, block in _arrays(clip, kind):
            block_type = gguf.GGMLQuantizationType[block.upper()] if block else None
            writer.add_tensor(names[name], array, raw_dtype=block_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return written_files(folder)


def open_gguf(path: Path, packed: Path) -> Clip:
    """Open what export_gguf wrote: a stock model with the file's numbers, its blocks multiplied out.

    Args:
        path: the file, or a folder that holds it alone.
        packed: a folder with the config, tokenizer and preprocessor of the model.

    Raises:
        UserError: the package gguf is not installed, or the folder holds no GGUF file, or several.
        FormatError: the file is damaged, or not of this model.
    """
    gguf = _package()
    path = path if path.is_file() else _only_file(path)
    files = fetch(str(packed))
    model = empty_model(files)
    weights = _read(gguf, path, gguf_names(model.state_dict()))
    _check(weights, dict(model.state_dict()), path)
    with torch.no_grad():
        model.load_state_dict(weights)
    return clip_from(files, model)


def gguf_export(
    run: Run, kind: GgufType = "tq2_0", license: str | None = None
) -> Callable[[Clip, Path], list[WrittenFile]]:
    """Return export_gguf for a run: the license is by default the one that the packed folder's card names."""
    return lambda clip, folder: export_gguf(clip, folder, kind, license or license_of(run.packed))


def _package() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise UserError("GGUF files need the package gguf: pip install 'tclip[gguf]'.") from error
    return gguf


def _arrays(clip: Clip, kind: GgufType) -> Iterator[tuple[str, np.ndarray, BlockType | None]]:
    """Yield each tensor as it is stored: its parameter's name, the array, the kind of its blocks if any."""
    coded = clip.coded
    for name, tensor in clip.model.state_dict().items():
        if name == LOGIT_SCALE:
            continue
        block = _block(coded.get(name), kind)
        if block:
            yield name, to_blocks(coded[name], block), block
        else:
            value = coded[name].dense() if name in coded else tensor.detach().cpu()
            yield name, (value.half() if value.ndim > 1 else value.float()).contiguous().numpy(), None


def _block(weight: CodedTensor | None, kind: GgufType) -> BlockType | None:
    """Return the kind of blocks that a weight is written as, None for float16."""
    if weight is None or kind == "f16" or weight.codes.ndim != 2:
        return None
    if not isinstance(weight, IntTensor):
        return kind
    block: BlockType = "q4_0" if weight.bits == 4 else "q8_0"
    return None if misfit(weight, BLOCKS[block]) else block


def _refuse_unfit(clip: Clip, kind: GgufType) -> None:
    """Raise ModelError for weights that blocks, or float16, cannot hold."""
    wide = {name: tensor for name, tensor in clip.model.state_dict().items() if tensor.ndim > 1}
    blocks = {name: block for name in wide if (block := _block(clip.coded.get(name), kind))}
    unfit = [
        (name, fault) for name, block in blocks.items() if (fault := misfit(clip.coded[name], BLOCKS[block]))
    ]
    if unfit:
        lines = alike((name, f"{list(wide[name].shape)} has {fault}") for name, fault in sorted(unfit))
        raise ModelError(
            f"{clip.source.id} cannot be written as {kind.upper()}, whose blocks are 256 weights of a row "
            f"with one float16 scale: choose --type f16, which takes any width.{listed(lines)}"
        )
    infinite = [name for name in wide.keys() - blocks.keys() if not torch.isfinite(wide[name].half()).all()]
    if infinite:
        raise ModelError(
            f"GGUF files hold what is not ternary as float16, which cannot hold these tensors of "
            f"{clip.source.id}; export the model for ONNX Runtime:{listed(sorted(infinite))}"
        )


def _only_file(folder: Path) -> Path:
    found = sorted(folder.glob("*.gguf"))
    if len(found) != 1:
        what = f"{len(found)} GGUF files: name one of them" if found else "no GGUF file: `tclip export gguf`"
        raise UserError(f"{folder} holds {what}.")
    return found[0]


def _read(gguf: Any, path: Path, names: dict[str, str]) -> dict[str, Tensor]:
    """Read a file's numbers by parameter name; tensors without such a name keep their own."""
    parameter_of = {other: name for name, other in names.items()}
    try:
        reader = gguf.GGUFReader(path)
        weights = {
            parameter_of.get(tensor.name, tensor.name): torch.from_numpy(
                np.array(gguf.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
            )
            for tensor in reader.tensors
        }
        scale = reader.fields[KEY_LOGIT_SCALE].contents()
    except (ValueError, KeyError, IndexError, TypeError, NotImplementedError) as error:
        raise FormatError(
            f"{path} is damaged or not written by tclip ({first_line(error)}): export it again."
        ) from error
    return weights | {LOGIT_SCALE: torch.tensor(scale)}


def _check(weights: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    offenders = [f"{name} is missing" for name in sorted(expected.keys() - weights.keys())]
    offenders += [f"{name} is not of this model" for name in sorted(weights.keys() - expected.keys())]
    offenders += [
        f"{name} is {list(weights[name].shape)} instead of {list(expected[name].shape)}"
        for name in sorted(expected.keys() & weights.keys())
        if weights[name].shape != expected[name].shape
    ]
    if offenders:
        raise FormatError(f"{path} does not fit the model it is opened for:{listed(offenders)}")
