"""The Hub's real client against a loopback server: what is asked for, what is kept, what is said."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from tclip.errors import ModelError
from tclip.models.fetch import fetch, fetch_config
from tclip.models.load import load_dense
from tests.hub_server import Fault, HubServer
from tests.tiny import tiny_clip_folder

B32 = "openai/clip-vit-base-patch32"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def hub(tiny_folder, cache, monkeypatch):
    from huggingface_hub import close_session

    with HubServer(models={B32: tiny_folder("clip")}) as server:
        server.connect(monkeypatch, cache)
        yield server
        close_session()


@pytest.fixture
def repo(tiny_folder, tmp_path, hub):
    """A repository org/clip whose files a test may change before it is asked for."""
    folder = shutil.copytree(tiny_folder("clip"), tmp_path / "repo")
    hub.add("org/clip", folder)
    return folder


def go_offline(monkeypatch):
    from huggingface_hub import close_session, constants

    close_session()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("alias", ["openai/clip-vit-b-32", "ViT-B-32", "vit-b/32", B32])
def test_alias_leads_to_the_real_id(hub, alias):
    clip = load_dense(alias)
    assert clip.source.id == B32
    assert clip.source.commit == hub.repos["models", B32].commit("main")
    assert hub.fetched(B32) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    first = next(request for request in hub.requests if "/api/agent" not in request.path)
    assert first.path == f"/{B32}/resolve/main/config.json"


def test_model_from_the_hub_is_the_folder_it_serves(hub, tiny_folder):
    ours = load_dense(B32).model.state_dict()
    for name, weight in load_file(tiny_folder("clip") / "model.safetensors").items():
        assert torch.equal(ours[name], weight)


def test_only_files_that_a_model_needs_are_downloaded(hub, repo):
    for name in (
        "pytorch_model.bin",
        "flax_model.msgpack",
        "README.md",
        "code.py",
        "model.onnx",
        "vocab.txt",
    ):
        (repo / name).write_bytes(b"x")
    (repo / "onnx").mkdir()
    (repo / "onnx" / "config.json").write_text("{}")
    fetch("org/clip")
    assert set(hub.fetched("org/clip")) == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }


def test_revisions_are_pinned(hub, repo, tmp_path):
    hub.add("org/clip", tiny_clip_folder(tmp_path / "other", seed=1), revision="refs/pr/1")
    first, second = load_dense("org/clip"), load_dense("org/clip", revision="refs/pr/1")
    assert first.source.commit != second.source.commit
    assert second.source.revision == "refs/pr/1"
    weight = "visual_projection.weight"
    assert not torch.equal(first.model.get_parameter(weight), second.model.get_parameter(weight))
    pinned = load_dense("org/clip", revision=first.source.commit)
    assert torch.equal(pinned.model.get_parameter(weight), first.model.get_parameter(weight))


def test_a_commit_in_the_cache_is_not_downloaded_twice(hub):
    fetch(B32)
    hub.requests.clear()
    fetch(B32)
    assert [request.method for request in hub.requests] == ["HEAD"]  # only: has main moved?


def test_offline_after_one_download(hub, monkeypatch):
    commit = load_dense(B32).source.commit
    go_offline(monkeypatch)
    hub.requests.clear()
    assert load_dense("ViT-B-32").source.commit == commit
    assert hub.requests == []


def test_offline_without_a_cache(hub, monkeypatch):
    go_offline(monkeypatch)
    with pytest.raises(ModelError, match=f"{B32} is not whole in the local cache, and HF_HUB_OFFLINE"):
        load_dense("ViT-B-32")


def test_offline_with_half_a_model(hub, monkeypatch):
    fetch_config(B32)
    go_offline(monkeypatch)
    with pytest.raises(ModelError, match="is not whole in the local cache, and HF_HUB_OFFLINE"):
        load_dense(B32)


def test_hub_that_vanishes_after_a_download(hub):
    commit = fetch(B32).source.commit
    hub.faults.append(Fault("", status=503))
    assert fetch(B32).source.commit == commit


def test_hub_that_does_not_answer(hub):
    hub.close()
    with pytest.raises(
        ModelError, match=f"{B32} is not whole in the local cache and the Hub does not answer"
    ):
        fetch(B32)


def test_unsupported_architecture_downloads_nothing_but_its_config(hub, repo):
    (repo / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))
    with pytest.raises(ModelError, match=r'org/clip has the architecture "bert".*Chinese-CLIP'):
        load_dense("org/clip")
    assert hub.fetched("org/clip") == ["config.json"]


def test_pickle_only_is_refused_before_anything_is_downloaded(hub, repo):
    (repo / "model.safetensors").rename(repo / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"org/clip has only pickled weights \(\.bin\).*save_pretrained"):
        load_dense("org/clip")
    assert hub.fetched("org/clip") == ["config.json"]


def test_pickle_only_names_the_converted_copy_that_waits(hub, repo, tiny_folder):
    (repo / "model.safetensors").rename(repo / "pytorch_model.bin")
    listing = hub.add("org/clip", tiny_folder("clip"), revision="refs/pr/7")
    title = "Adding `safetensors` variant of this model"
    listing.discussions = [(6, "stranger", title), (7, "SFconvertbot", title)]
    with pytest.raises(ModelError, match=re.escape("add --set model.revision=refs/pr/7.")):
        load_dense("org/clip")
    load_dense("org/clip", revision="refs/pr/7")  # the way out works


def test_a_strangers_conversion_is_not_recommended(hub, repo):
    (repo / "model.safetensors").rename(repo / "pytorch_model.bin")
    hub.repos["models", "org/clip"].discussions = [(6, "stranger", "Adding `safetensors` variant")]
    with pytest.raises(ModelError, match="convert it once"):
        load_dense("org/clip")


def test_no_weights_at_all(hub, repo):
    (repo / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="org/clip has no weights that tclip can read"):
        load_dense("org/clip")


def test_repo_without_config(hub, repo):
    (repo / "config.json").rename(repo / "configuration.json")
    with pytest.raises(ModelError, match=r"org/clip has no config\.json: give a model in the layout"):
        load_dense("org/clip")


def test_missing_repo_suggests_what_was_meant(hub):
    with pytest.raises(
        ModelError, match=r'clip-vit-base-patch3 is neither.* Did you mean "openai/clip-vit-base-patch32"\?'
    ):
        load_dense("openai/clip-vit-base-patch3")


def test_missing_revision(hub):
    with pytest.raises(ModelError, match=f"{B32} has no revision v9: give a branch, tag or commit"):
        load_dense(B32, revision="v9")


def test_gated_repo(hub):
    hub.repos["models", B32].gated = True
    with pytest.raises(ModelError, match=f"{B32} is gated: accept its terms .* `hf auth login`"):
        load_dense(B32)


def test_name_that_cannot_be_a_hub_id(hub):
    with pytest.raises(ModelError, match='"org/clip--b" cannot be a Hub id'):
        load_dense("org/clip--b")


@pytest.mark.parametrize("suffix", ["", "model.safetensors"])
def test_failing_server_is_one_sentence_and_running_again_completes(hub, suffix):
    fault = Fault(suffix, status=500)
    hub.faults.append(fault)
    with pytest.raises(ModelError) as caught:
        load_dense(B32)
    assert B32 in str(caught.value)
    assert "500" in str(caught.value) or "does not answer" in str(caught.value)
    assert "\n" not in str(caught.value)
    fault.times = 0
    load_dense(B32)


def test_dropped_connection_is_one_sentence_and_running_again_completes(hub):
    fault = Fault("model.safetensors", drop_after=0)
    hub.faults.append(fault)
    with pytest.raises(ModelError, match=f"Downloading {B32} failed .*: run again to go on") as caught:
        load_dense(B32)
    assert "\n" not in str(caught.value)
    fault.times = 0
    load_dense(B32)


def test_connection_that_drops_once_is_tried_again(hub):
    hub.faults.append(Fault("model.safetensors", drop_after=1000, times=1))
    load_dense(B32)
    gets = [r for r in hub.requests if r.method == "GET" and r.path.endswith("model.safetensors")]
    assert len(gets) == 2


def test_through_the_environment_in_a_process_of_its_own(hub, cache):
    """As a user has it: HF_ENDPOINT set, nothing patched; and nothing but the answer is written."""
    script = f"from tclip.models.load import load_dense; print(load_dense('{B32}').source.commit)"
    environment = {**os.environ, **hub.environment(cache)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == hub.repos["models", B32].commit("main"), done.stderr
    assert done.stderr == ""
