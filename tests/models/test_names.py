import os
import re

import pytest

from tclip.errors import ModelError
from tclip.models.names import ALIASES, resolve_name


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("alias", "model_id"),
    [
        ("openai/clip-vit-b-32", "openai/clip-vit-base-patch32"),
        ("ViT-B-32", "openai/clip-vit-base-patch32"),
        ("vit-b-32", "openai/clip-vit-base-patch32"),
        ("ViT-B/32", "openai/clip-vit-base-patch32"),
        ("VIT_B_32", "openai/clip-vit-base-patch32"),
        ("openai/clip-vit-b-16", "openai/clip-vit-base-patch16"),
        ("OpenAI/CLIP-ViT-B-16", "openai/clip-vit-base-patch16"),
        ("openai/clip-vit-l-14", "openai/clip-vit-large-patch14"),
        ("ViT-L-14", "openai/clip-vit-large-patch14"),
        ("altclip", "BAAI/AltCLIP"),
    ],
)
def test_aliases_lead_to_the_real_ids(alias, model_id):
    assert resolve_name(alias).hub_id == model_id


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases_are_found_in_any_case(alias):
    assert resolve_name(alias.upper()).hub_id == resolve_name(alias.lower()).hub_id == ALIASES[alias]


def test_hub_ids_stay_as_they_are():
    name = resolve_name("laion/CLIP-ViT-B-32-laion2B-s34B-b79K")
    assert name.hub_id == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    assert name.folder is None


def test_open_clips_way_to_write_an_id():
    assert resolve_name("hf-hub:laion/CLIP").hub_id == "laion/CLIP"
    with pytest.raises(ModelError, match=re.escape('"banana" is neither a folder')):
        resolve_name("hf-hub:banana")


def test_a_folder_comes_before_an_alias(tmp_path):
    (tmp_path / "ViT-B-32").mkdir()
    name = resolve_name("ViT-B-32")
    assert str(name.folder) == "ViT-B-32"
    assert name.hub_id is None


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "clip").mkdir()
    assert resolve_name("~/clip").folder == tmp_path / "clip"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("vit-b32", 'Did you mean "ViT-B-32"?'),
        ("clip-vit-b-32", 'Did you mean "openai/clip-vit-b-32"?'),
        ("", "neither a folder"),
        ("banana", "Aliases: openai/clip-vit-b-32, "),
        ("./nowhere/clip", "There is no model folder ./nowhere/clip."),
        ("/no/such/folder", "There is no model folder /no/such/folder."),
        ("a/b/c", "There is no model folder a/b/c."),
        (
            "https://huggingface.co/openai/clip-vit-base-patch32/tree/main",
            "is an address: give the Hub id alone, openai/clip-vit-base-patch32.",
        ),
        ("hf://openai/clip-vit-base-patch32", "give the Hub id alone, openai/clip-vit-base-patch32."),
    ],
)
def test_wrong_names_say_what_to_do(given, sentence):
    with pytest.raises(ModelError, match=re.escape(sentence)):
        resolve_name(given)


def test_mistyped_folder_suggests_its_neighbour(tmp_path):
    (tmp_path / "runs" / "b32" / "packed").mkdir(parents=True)
    with pytest.raises(ModelError, match=re.escape('Did you mean "runs/b32/packed"?')):
        resolve_name("runs/b32/pakced")


def test_a_folder_whose_path_is_no_text_is_told_before_its_files_are_opened(tmp_path):
    folder = tmp_path / os.fsdecode(b"m\xff")
    folder.mkdir()
    with pytest.raises(ModelError, match=r"m.udcff' is not UTF-8.*rename the folder"):
        resolve_name(str(folder))


def test_file_is_not_a_folder(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match=r"model\.safetensors is a file: give the folder"):
        resolve_name("./model.safetensors")
