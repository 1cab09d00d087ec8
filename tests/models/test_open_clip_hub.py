"""Repositories in open_clip's layout, by the Hub's real client: what is asked for, and what is said."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tclip.errors import ModelError
from tclip.models.fetch import fetch, fetch_config, local_weight_bytes
from tclip.models.load import load_dense
from tests.hub_server import HubServer
from tests.models.open_clip_reference import WEIGHTS, open_clip_folder
from tests.tiny import edit_json

CONFIG = "open_clip_config.json"
TOKENIZER = ["tokenizer.json", "tokenizer_config.json"]
TIMM = {"architecture": "vit_base_patch32_clip_224", "num_classes": 512}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    from huggingface_hub import close_session

    with HubServer() as server:
        server.connect(monkeypatch, tmp_path / "cache")
        yield server
        close_session()


@pytest.fixture
def repo(hub: HubServer, tmp_path: Path) -> Path:
    """org/open, in open_clip's layout alone."""
    open_clip_folder(tmp_path / "open")
    (tmp_path / "open" / "open_clip_pytorch_model.bin").write_bytes(b"x")
    (tmp_path / "open" / "README.md").write_text("# CLIP")
    hub.add("org/open", tmp_path / "open")
    return tmp_path / "open"


@pytest.fixture
def both(hub: HubServer, repo: Path, tiny_folder: Any, tmp_path: Path) -> Path:
    """org/both, with another model in transformers' layout beside it."""
    made = shutil.copytree(tiny_folder("clip"), tmp_path / "both")
    for name in (CONFIG, WEIGHTS):
        shutil.copy(repo / name, made / name)
    hub.add("org/both", made)
    return made


def make_coca(repo: Path) -> None:
    document = json.loads((repo / CONFIG).read_text())
    edit_json(repo / CONFIG, model_cfg={**document["model_cfg"], "multimodal_cfg": {"layers": 12}})


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import close_session, constants

    close_session()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("name", ["org/open", "hf-hub:org/open"])
def test_what_a_model_needs_is_fetched_and_no_more(hub: HubServer, repo: Path, name: str) -> None:
    clip = load_dense(name)
    assert (clip.source.id, clip.source.commit) == (
        "org/open",
        hub.repos["models", "org/open"].commit("main"),
    )
    assert hub.fetched("org/open") == [CONFIG, WEIGHTS, *TOKENIZER]
    ours, theirs = clip.model.state_dict(), load_dense(str(repo)).model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert local_weight_bytes("org/open") == (repo / WEIGHTS).stat().st_size


def test_what_cannot_be_turned_is_refused_before_the_weights(hub: HubServer, repo: Path) -> None:
    make_coca(repo)
    with pytest.raises(ModelError, match=r"org/open is a model of open_clip .*\n  multimodal_cfg: CoCa's"):
        load_dense("org/open")
    assert hub.fetched("org/open") == [CONFIG]


def test_so_is_a_model_without_its_vocabulary(hub: HubServer, repo: Path) -> None:
    (repo / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"org/open has no tokenizer files: put tokenizer\.json or"):
        load_dense("org/open")
    assert hub.fetched("org/open") == [CONFIG]


def test_pickled_weights_alone(hub: HubServer, repo: Path) -> None:
    (repo / WEIGHTS).unlink()
    call = re.escape('safetensors.torch.save_file(open_clip.create_model("hf-hub:org/open").state_dict(),')
    with pytest.raises(ModelError, match=rf"org/open has only pickled weights \(\.bin\), .* with {call}"):
        load_dense("org/open")
    assert hub.fetched("org/open") == [CONFIG]


def test_pickled_weights_alone_with_a_conversion_that_waits(
    hub: HubServer, repo: Path, tmp_path: Path
) -> None:
    converted = shutil.copytree(repo, tmp_path / "converted")
    (converted / WEIGHTS).rename(converted / "open_clip_pytorch_model.safetensors")
    (repo / WEIGHTS).unlink()
    listing = hub.add("org/open", converted, revision="refs/pr/3")
    listing.discussions = [(3, "SFconvertbot", "Adding `safetensors` variant of this model")]
    with pytest.raises(ModelError, match=re.escape("add --set model.revision=refs/pr/3.")):
        load_dense("org/open")
    load_dense("org/open", revision="refs/pr/3")  # the way out works
    assert "open_clip_pytorch_model.safetensors" in hub.fetched("org/open")


def test_of_both_layouts_transformers_wins(hub: HubServer, both: Path) -> None:
    assert fetch("org/both").open_clip is None
    assert "model.safetensors" in hub.fetched("org/both")
    assert WEIGHTS not in hub.fetched("org/both")


def test_weights_that_are_open_clips_alone(hub: HubServer, both: Path, repo: Path) -> None:
    (both / "model.safetensors").rename(both / "pytorch_model.bin")
    shutil.copy(repo / "tokenizer.json", both)
    ours, theirs = (load_dense(name).model.state_dict() for name in ("org/both", str(repo)))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    hub.requests.clear()
    assert fetch("org/both").open_clip
    assert {request.method for request in hub.requests} == {"HEAD"}


def test_of_two_pickles_transformers_is_named(hub: HubServer, both: Path) -> None:
    for name in ("model", "open_clip_model"):
        (both / f"{name}.safetensors").rename(both / f"{name}.bin")
    with pytest.raises(
        ModelError, match=r"org/both has only pickled .* with AutoModel\.from_pretrained\(id\)"
    ):
        load_dense("org/both")
    assert hub.fetched("org/both") == ["config.json"]


def test_such_weights_are_checked_before_too(hub: HubServer, both: Path) -> None:
    (both / "model.safetensors").rename(both / "pytorch_model.bin")
    make_coca(both)
    with pytest.raises(ModelError, match="multimodal_cfg: CoCa's decoder"):
        load_dense("org/both")
    assert hub.fetched("org/both") == ["config.json", CONFIG]


def test_the_config_of_a_timm_tower_is_none(hub: HubServer, repo: Path) -> None:
    (repo / "config.json").write_text(json.dumps(TIMM))
    (repo / "model.safetensors").write_bytes(b"an image tower alone")
    assert load_dense("org/open").model.config.model_type == "clip"
    assert "model.safetensors" not in hub.fetched("org/open")
    (repo / CONFIG).unlink()
    with pytest.raises(ModelError, match=r"org/open names no model_type in config\.json"):
        fetch_config("org/open")


def test_revisions_are_pinned(hub: HubServer, repo: Path, tmp_path: Path) -> None:
    other = shutil.copytree(repo, tmp_path / "other")
    edit_json(other / CONFIG, preprocess_cfg={"resize_mode": "squash"})
    hub.add("org/open", other, revision="v2")
    first, second = load_dense("org/open"), load_dense("org/open", revision="v2")
    assert (first.image_processor.do_center_crop, second.image_processor.do_center_crop) == (True, None)
    assert load_dense("org/open", revision=first.source.commit).image_processor.do_center_crop


def test_offline_after_one_download(hub: HubServer, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = load_dense("org/open").source.commit
    go_offline(monkeypatch)
    hub.requests.clear()
    assert load_dense("org/open").source.commit == commit
    assert hub.requests == []


def test_offline_with_the_config_alone(hub: HubServer, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_config("org/open")
    go_offline(monkeypatch)
    with pytest.raises(ModelError, match="org/open is not whole in the local cache, and HF_HUB_OFFLINE"):
        load_dense("org/open")


def test_a_hub_that_vanishes_after_a_download(hub: HubServer, repo: Path) -> None:
    commit = fetch("org/open").source.commit
    hub.close()
    assert fetch("org/open").source.commit == commit


def test_neither_config(hub: HubServer, repo: Path) -> None:
    (repo / CONFIG).unlink()
    sentence = r"org/open has no config\.json: .* transformers, or of open_clip \(open_clip_config\.json\)"
    with pytest.raises(ModelError, match=sentence):
        load_dense("org/open")
