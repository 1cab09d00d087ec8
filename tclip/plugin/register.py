"""Entering our quantizer into the registry of transformers."""

from types import ModuleType

from tclip.plugin.config import QUANT_METHOD, TclipConfig
from tclip.plugin.quantizer import TclipQuantizer


def register(registry: ModuleType) -> None:
    """Enter quantizer and configuration into `transformers.quantizers.auto`; again changes nothing."""
    if QUANT_METHOD not in registry.AUTO_QUANTIZATION_CONFIG_MAPPING:
        registry.register_quantization_config(QUANT_METHOD)(TclipConfig)
    if QUANT_METHOD not in registry.AUTO_QUANTIZER_MAPPING:
        registry.register_quantizer(QUANT_METHOD)(TclipQuantizer)
