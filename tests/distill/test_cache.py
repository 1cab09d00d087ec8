"""The cache answers what was computed, computes nothing twice, and explains itself when it cannot work."""

from pathlib import Path

import pytest
import torch

from tclip.distill.cache import EmbeddingCache
from tclip.errors import DataError


def embedding(key: str) -> torch.Tensor:
    return torch.randn(4, generator=torch.Generator().manual_seed(len(key)))


class Counting:
    """Computes embeddings of keys and remembers which."""

    def __init__(self, keys: list[str]) -> None:
        self.keys, self.asked = keys, list[str]()

    def __call__(self, missing: list[int]) -> torch.Tensor:
        self.asked += [self.keys[index] for index in missing]
        return torch.stack([embedding(self.keys[index]) for index in missing])


def ask(cache: EmbeddingCache, *keys: str) -> list[str]:
    compute = Counting(list(keys))
    found_BE = cache.get(list(keys), compute)
    expected_BE = torch.stack([embedding(key) for key in keys]).half().float()
    assert torch.equal(found_BE, expected_BE)
    return compute.asked


def test_only_what_is_new_is_computed_also_by_a_later_process(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "new" / "text.sqlite")
    assert ask(cache, "a", "bb") == ["a", "bb"]
    assert ask(cache, "bb", "ccc", "a") == ["ccc"]
    cache.close()
    again = EmbeddingCache(tmp_path / "new" / "text.sqlite")
    assert ask(again, "ccc", "a") == []


def test_a_key_that_comes_twice_in_a_batch(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "text.sqlite")
    ask(cache, "a", "a", "bb")
    assert ask(cache, "bb", "a") == []


def test_two_hold_the_file_at_once(tmp_path: Path) -> None:
    one, other = (EmbeddingCache(tmp_path / "text.sqlite") for _ in range(2))
    assert ask(one, "a") == ["a"]
    assert ask(other, "a", "bb") == ["bb"]
    assert ask(one, "bb") == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match=r"text\.sqlite cannot be used .*delete it if it is damaged"):
        EmbeddingCache(tmp_path / "text.sqlite")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match="name another folder in TCLIP_CACHE"):
        EmbeddingCache(tmp_path / "file" / "text.sqlite")
