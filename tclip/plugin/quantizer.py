"""Loading and saving packed folders within `from_pretrained` and `save_pretrained` of transformers."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.quantizers.base import HfQuantizer

from tclip.errors import FormatError
from tclip.packed.read import read_stored
from tclip.packed.write import DTYPES
from tclip.plugin.config import TclipConfig
from tclip.plugin.layers import make_dense
from tclip.plugin.replace import packed_layers, replace_layers
from tclip.plugin.save import packed_state
from tclip.ternary.activations import quantize_activations
from tclip.ternary.codec import TERNARY


class TclipQuantizer(HfQuantizer):
    """Loads ternary weights into layers that keep them packed, and saves those as they are.

    Files are checked whole, checksums included, before transformers reads a weight of them.
    """

    requires_calibration = True  # only what is ternary already can be loaded
    quantization_config: TclipConfig
    _dtype = torch.float32

    def update_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """Note the dtype of the model: the one asked for, else config.json's, which is float32."""
        self._dtype = dtype
        return dtype

    def _process_model_before_weight_loading(
        self, model: Any, checkpoint_files: list[str] | None = None, **kwargs: Any
    ) -> Any:
        if not checkpoint_files:
            raise FormatError(
                "A packed model cannot be loaded from a state dict, which says nothing of codes and shapes: "
                "give from_pretrained its folder or Hub id."
            )
        header, tensors = read_stored([Path(file) for file in checkpoint_files])
        replace_layers(model, header, tensors, checkpoint_files[0])
        return model

    def _process_model_after_weight_loading(self, model: Any, **kwargs: Any) -> Any:
        layers = dict(packed_layers(model))
        for layer in layers.values():
            layer.stand_in = None
        stored = DTYPES[self.quantization_config.dtype]
        for parameter in model.parameters():
            if parameter.dtype == stored:
                # transformers 5.17 leaves what it renames for a tower alone in the dtype of the file
                parameter.data = parameter.data.to(self._dtype)
        if self.quantization_config.activations == "int8":
            quantize_activations(model, (name for name, layer in layers.items() if layer.base == TERNARY))
        model._weight_conversions = []  # saved under the names it has, as `tclip pack` does
        return model

    def get_state_dict_and_metadata(self, model: Any) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return what `save_pretrained` writes: tensors as they are stored, and the header.

        Raises:
            FormatError: as packed_state.
        """
        return packed_state(model, self.quantization_config.dtype)

    def _dequantize(self, model: Any, dtype: torch.dtype | None = None) -> Any:
        for _, layer in packed_layers(model):
            make_dense(layer, dtype or layer.dtype)
        for name in model.config.sub_configs:
            vars(getattr(model.config, name)).pop("quantization_config", None)
        model._weight_conversions = None  # an ordinary model again, saved under its usual names
        return model

    def is_serializable(self, **kwargs: Any) -> bool:
        """Whether `save_pretrained` works: it writes the packed form."""
        return True

    @property
    def is_trainable(self) -> bool:
        """Whether ternary weights can be trained here: no, `tclip train` does that."""
        return False
