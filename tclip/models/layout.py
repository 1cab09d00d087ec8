"""The layouts of a model's files: that of transformers, and that of open_clip."""

import json
from dataclasses import dataclass
from pathlib import Path

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Layout:
    """Which files hold a model.

    Attributes:
        title: whose layout it is.
        config_file: describes the model.
        whole_weights: one of them is enough: all weights, or the index of their shards.
        shards: a pattern of further weight files.
    """

    title: str
    config_file: str
    whole_weights: tuple[str, ...]
    shards: tuple[str, ...] = ()


TRANSFORMERS = Layout("transformers", "config.json", (SINGLE, INDEX), ("model-*-of-*.safetensors",))
# the second name is what the Hub's own conversion of a pickled open_clip checkpoint is called
OPEN_CLIP = Layout(
    "open_clip",
    "open_clip_config.json",
    ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"),
)


_TO_SAFETENSORS = 'safetensors.torch.save_file(open_clip.create_model("{}").state_dict(), "{}")'


def layout_of(folder: Path) -> Layout:
    """Say in which layout a folder holds a model: where there are both, transformers' wins.

    It does not win if all that it lacks are its weights.
    """
    if not (folder / OPEN_CLIP.config_file).is_file():
        return TRANSFORMERS
    if not describes_transformers(folder):
        return OPEN_CLIP
    has = {
        layout.title: any((folder / name).is_file() for name in layout.whole_weights)
        for layout in (TRANSFORMERS, OPEN_CLIP)
    }
    return OPEN_CLIP if has["open_clip"] and not has["transformers"] else TRANSFORMERS


def describes_transformers(folder: Path) -> bool:
    """Whether a folder has a config.json that is not timm's: that one names no model_type.

    timm's describes an image tower alone, and lies beside many an open_clip_config.json.
    """
    try:
        config = json.loads((folder / TRANSFORMERS.config_file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except ValueError:
        return True  # damaged, which whoever reads it next says
    return not isinstance(config, dict) or "model_type" in config


def open_clip_conversion(source: str) -> str:
    """Return the call that turns a pickled checkpoint into safetensors.

    Args:
        source: as open_clip names a model: hf-hub:owner/name or local-dir:folder.
    """
    return _TO_SAFETENSORS.format(source, OPEN_CLIP.whole_weights[0])
