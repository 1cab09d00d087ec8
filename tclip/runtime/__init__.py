"""Fast inference with a packed CLIP, without torch: `clip = load("runs/b32")`, `clip.classify(...)`."""

from tclip.runtime.clip import RuntimeClip
from tclip.runtime.loading import load, paths

__all__ = ["RuntimeClip", "load", "paths"]
