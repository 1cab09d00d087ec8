"""The reference CLIP, packed: stock transformers labels photographs as tclip does with the same folder."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

import tclip
from tclip.data.eval_sets import open_eval
from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tests.ternarizing import ternarized

PICTURES = 32


@pytest.mark.shared
@torch.no_grad()
def test_photographs_are_labelled_alike(shared: Path, tmp_path: Path) -> None:
    write_packed(ternarized(load_dense(str(shared / "models/ref-clip")), preset="ffn"), tmp_path / "packed")
    clip = tclip.load(tmp_path / "packed")
    stock = transformers.CLIPModel.from_pretrained(tmp_path / "packed")
    data = open_eval(str(shared / "data/cifar10"))
    images = [sample.image() for _, sample in zip(range(PICTURES), data, strict=False)]
    labels = [
        f"a photo of a {name}" for name in ("plane", "car", "bird", "cat", "dog", "frog", "horse", "ship")
    ]
    pixels, ids = clip.preprocess(images), clip.tokenize(labels)
    mine = replace(clip, model=stock)
    image_BE, text_LE = mine.embed_images(pixels), mine.embed_texts(ids)
    torch.testing.assert_close(image_BE, clip.embed_images(pixels), rtol=0, atol=2e-6)
    torch.testing.assert_close(text_LE, clip.embed_texts(ids), rtol=0, atol=2e-6)
    answers = mine.logits(image_BE, text_LE).argmax(1)
    assert len(answers.unique()) > 3  # photographs and labels are told apart at all
    classify = transformers.pipeline("zero-shot-image-classification", model=str(tmp_path / "packed"))
    found = classify(images[:8], candidate_labels=labels, hypothesis_template="{}")
    assert [labels.index(answer[0]["label"]) for answer in found] == answers[:8].tolist()
