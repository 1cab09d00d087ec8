"""The committed model: standard, small, and good on what its training never saw."""

import re
from pathlib import Path

import pytest
import torch
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

from tclip.demo.captions import vocabulary
from tclip.demo.dataset import held_out_pairs, model_folder
from tclip.demo.make_model import make_tokenizer, measure


@pytest.fixture(scope="module")
def model() -> CLIPModel:
    return CLIPModel.from_pretrained(model_folder(), dtype=torch.float32).eval()


def test_the_folder_is_small() -> None:
    assert sum(file.stat().st_size for file in model_folder().iterdir()) < 3.6e6


def test_the_tokenizer_is_the_one_that_the_script_makes(tmp_path: Path) -> None:
    make_tokenizer().save_pretrained(tmp_path)
    assert (model_folder() / "tokenizer.json").read_text() == (tmp_path / "tokenizer.json").read_text()
    loaded, made = AutoTokenizer.from_pretrained(model_folder()), make_tokenizer()
    text = f"{' '.join(vocabulary()[:15])}, Foo"
    assert loaded(text)["input_ids"] == made(text)["input_ids"]
    assert loaded.model_max_length == made.model_max_length


def test_it_is_as_accurate_on_held_out_combinations_as_its_card_says(model: CLIPModel) -> None:
    card = (model_folder() / "README.md").read_text(encoding="utf-8")
    stated = {name: float(share) / 100 for name, share in re.findall(r"^\| (.+?) \| ([\d.]+) %", card, re.M)}
    measured = measure(model, AutoTokenizer.from_pretrained(model_folder()), num=128, seed=11)
    assert stated.keys() == measured.keys()
    assert stated["top-1"] > 0.8
    for name, share in measured.items():
        assert share == pytest.approx(stated[name], abs=0.1)  # other scenes than those of the card


@torch.no_grad()
def test_it_answers_the_same_through_the_stock_interface(model: CLIPModel) -> None:
    images, texts = zip(*held_out_pairs(16, 5), strict=True)
    pixels = AutoImageProcessor.from_pretrained(model_folder())(list(images), return_tensors="pt")
    tokens = AutoTokenizer.from_pretrained(model_folder())(
        list(texts), padding="max_length", return_tensors="pt"
    )
    logits = model(**pixels, **tokens).logits_per_image
    assert (logits.argmax(1) == torch.arange(16)).float().mean() > 0.6
