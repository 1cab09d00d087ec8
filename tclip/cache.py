"""Where what may be computed again is kept, and under which name."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """Return where caches live: $TCLIP_CACHE, or ~/.cache/tclip."""
    return Path(os.environ.get("TCLIP_CACHE") or "~/.cache/tclip").expanduser()


def cache_key(**identity: Any) -> str:
    """Return a hash of everything that a kept value depends on (JSON-able values)."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]
