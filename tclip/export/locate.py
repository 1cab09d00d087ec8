"""Where an exported file and its torch model part: the outputs of every layer, side by side.

The file's values for layer outputs bear the names of the model's modules (trace.py), so a copy of the
graph in memory can be made to give them out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

from tclip.export.onnx import IMAGE_FILE
from tclip.export.prepare import layer_names
from tclip.export.session import open_session, run
from tclip.models.clip import Clip, Inputs


@dataclass(frozen=True)
class Parting:
    """Where two forms of an encoder part.

    Attributes:
        cosines: mean cosine of each layer's outputs, in the order of the layers.
        limit: the least cosine at which they count as equal.
    """

    cosines: dict[str, float]
    limit: float

    @property
    def layer(self) -> str | None:
        """The first layer whose cosine is below the limit; None if they part behind the last."""
        return next((name for name, cosine in self.cosines.items() if not cosine >= self.limit), None)

    def __str__(self) -> str:
        names = list(self.cosines)
        if self.layer is None:
            last = f" ({names[-1]}: {self.cosines[names[-1]]:.4f})" if names else ""
            return f"and parts from the model behind the last layer{last}"
        index = names.index(self.layer)
        before = f", before it {self.cosines[names[index - 1]]:.4f}" if index else ""
        return f"and parts from the model at {self.layer} (cosine {self.cosines[self.layer]:.4f}{before})"


def locate(clip: Clip, path: Path, inputs: Inputs, fed: Inputs, limit: float) -> Parting:
    """Compare the outputs of every layer of one encoder on a batch.

    Args:
        clip: the torch model.
        path: the encoder's file.
        inputs: one batch of the model's inputs.
        fed: the same batch as the file takes it.
        limit: the least cosine at which a layer's outputs count as equal.
    """
    embed = clip.embed_images if path.name == IMAGE_FILE else clip.embed_texts
    with _recorded_outputs(clip.model) as expected, torch.no_grad():
        embed(inputs)
    graph = onnx.load(path)
    computed = {value for node in graph.graph.node for value in node.output}
    names = [name for name in expected if name in computed]
    graph.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    found = run(open_session(graph.SerializeToString()), fed, names)
    cosines = {
        name: _cosine(expected[name], torch.from_numpy(value))
        for name, value in zip(names, found, strict=True)
    }
    return Parting(cosines, limit)


@contextmanager
def _recorded_outputs(model: Any) -> Iterator[dict[str, Tensor]]:
    """Collect what the layers of a torch model answer, by name, in the order in which they do."""
    outputs: dict[str, Tensor] = {}

    def recorder(name: str) -> Any:
        def record(module: Any, args: Any, output: Any) -> None:
            outputs[name] = (output if isinstance(output, Tensor) else output[0]).detach().cpu()

        return record

    handles = [model.get_submodule(name).register_forward_hook(recorder(name)) for name in layer_names(model)]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _cosine(expected: Tensor, found: Tensor) -> float:
    cosine_B = torch.nn.functional.cosine_similarity(expected.flatten(1), found.flatten(1))
    return float(torch.nan_to_num(cosine_B, nan=-1.0).mean())
