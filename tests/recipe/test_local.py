"""What of a name may be told to others."""

import pytest

from tclip.recipe.local import absolute, without_folders


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("/home/me/data/flickr8k", "flickr8k"),
        ("/home/me/data/flickr8k/", "flickr8k"),
        ("/home/me/captions.csv", "captions.csv"),
        ("~/models/clip", "clip"),
        ("../models/clip", "clip"),
        ("/home/me/shards/{0000..0099}.tar", "shards/{0000..0099}.tar"),
        ("/home/me/*/0.tar", "me/*/0.tar"),
        ("/*.tar", "*.tar"),
        ("datasets:///home/me/rows", "datasets://rows"),
        ("openai/clip-vit-base-patch32", "openai/clip-vit-base-patch32"),
        ("ViT-B-32", "ViT-B-32"),
        ("hf://org/cc@v1/*.tar", "hf://org/cc@v1/*.tar"),
        ("datasets://org/rows@v1:en", "datasets://org/rows@v1:en"),
    ],
)
def test_local_names_lose_their_folders(name: str, told: str) -> None:
    assert without_folders(name) == told


def test_what_is_there_is_local(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org" / "pairs").mkdir(parents=True)
    assert without_folders("org/pairs") == "org/pairs"
    monkeypatch.chdir(tmp_path)
    assert without_folders("org/pairs") == "pairs"
    assert without_folders(absolute("org/pairs")) == "pairs"
