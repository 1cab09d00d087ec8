"""Where caches live, and what their files are called after."""

from pathlib import Path

import pytest

from tclip.cache import cache_folder, cache_key


def test_a_key_depends_on_every_part() -> None:
    parts = {"tower": "image", "commit": "abc", "preprocessing": "224", "data": "def"}
    keys = {cache_key(**parts), *(cache_key(**parts | {name: "other"}) for name in parts)}
    assert len(keys) == 1 + len(parts)
    assert cache_key(**dict(reversed(parts.items()))) == cache_key(**parts)


def test_the_folder_is_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCLIP_CACHE", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"
    monkeypatch.delenv("TCLIP_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "tclip"
