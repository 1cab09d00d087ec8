"""The quantization_config of a packed folder: read, refused, written back as it was."""

import json
from typing import Any

import pytest
from transformers.quantizers.auto import AutoQuantizationConfig

from tclip.errors import FormatError
from tclip.packed.format import FORMAT_VERSION
from tclip.plugin.config import TclipConfig
from tests.plugin.conftest import PackedFolder


def test_it_is_written_back_as_it_was(packed_folder: PackedFolder) -> None:
    described = json.loads((packed_folder() / "config.json").read_text())["quantization_config"]
    config = AutoQuantizationConfig.from_dict(described)
    assert type(config) is TclipConfig
    assert config.to_dict() == described
    assert TclipConfig.from_dict(described | {"more": [1]}).to_dict() == described | {"more": [1]}


def test_it_can_be_asked_as_a_dict() -> None:
    config = TclipConfig(activations="int8")
    assert config.get("activations") == "int8"
    assert config.get("load_in_8bit", False) is False


def test_a_newer_format_asks_for_an_update() -> None:
    with pytest.raises(FormatError, match=r"format version \d+, newer than \d+, .*: update tclip"):
        TclipConfig(format_version=FORMAT_VERSION + 1)


@pytest.mark.parametrize("damage", [{"codes": "base4"}, {"dtype": "int8"}, {"activations": "int4"}])
def test_what_tclip_does_not_write_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=r"quantization_config in config\.json is damaged") as refused:
        TclipConfig(**damage)
    assert next(iter(damage.values())) in str(refused.value)
