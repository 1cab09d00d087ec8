import math
from random import Random

import pytest
import torch
from transformers import CLIPModel

from tclip.demo import learn
from tclip.demo.dataset import held_out_pairs
from tclip.demo.draw import SIDE, Mark
from tclip.demo.learn import NAMES, PatchNamer, losses, name_patches, sample_batch, to_pixels
from tclip.demo.make_model import make_model, make_processor, make_tokenizer, tokenize
from tclip.demo.scenes import Group, is_held_out
from tests.demo.reading import read_caption


def test_a_batch_shows_and_says_nothing_held_out_and_repeats_with_its_seed() -> None:
    batch, again = (sample_batch(32, 8, Random(5)) for _ in range(2))
    assert batch.pixels_BCHW.shape == (32, 3, SIDE, SIDE)
    assert batch.names_BP3.shape == (32, (SIDE // 8) ** 2, 3)
    assert not any(is_held_out(read_caption(text)) for text in batch.texts + batch.foils)
    assert torch.equal(batch.pixels_BCHW, again.pixels_BCHW)
    assert (batch.texts, batch.foils) == (again.texts, again.foils)


def test_patches_are_named_after_the_thing_they_show() -> None:
    big, small = Group(1, "big", "orange", "star"), Group(1, "small", "white", "circle")
    marks = [Mark(big, 14.0, 14.0, 10.0, 0.0), Mark(small, 47.9, 40.1, 4.2, 0.0)]
    names = name_patches(marks, 8)
    row = SIDE // 8
    assert names[1 * row + 1] == (2, 4, 3)  # orange, star, big: counted from 1
    assert names[5 * row + 5] == (8, 1, 1)  # the middle of the small thing lies in this patch's corner
    assert names[0 * row + 6] == (0, 0, 0)
    assert sum(name == (2, 4, 3) for name in names) in range(4, 10)


def test_naming_loss_is_that_of_a_loop_over_patches() -> None:
    torch.manual_seed(0)
    namer, names = PatchNamer(16), torch.tensor([[[0, 0, 0], [3, 1, 2]], [[8, 8, 3], [0, 0, 0]]])
    patches = torch.randn(2, 2, 16)
    logits = namer.read(namer.norm(patches)).flatten(0, 1).split([9, 9, 4], dim=-1)
    flat = names.flatten(0, 1)
    anywhere = sum(-logits[0][i].log_softmax(0)[flat[i, 0]] for i in range(4)) / 4
    named = sum(-logits[k][i].log_softmax(0)[flat[i, k]] for k in range(3) for i in (1, 2)) / 2
    torch.testing.assert_close(namer.loss(patches, names), anywhere + named)


def test_losses_start_at_chance_and_reach_every_weight() -> None:
    model, namer, texts = untrained()
    naming, contrast = losses(model, namer, texts, sample_batch(16, 8, Random(0)), with_texts=True)
    assert contrast.item() == pytest.approx((math.log(32) + math.log(16)) / 2, abs=0.8)
    by_chance = math.log(9) + sum(math.log(len(names) + 1) for names in NAMES)
    assert naming.item() == pytest.approx(by_chance, abs=1.5)
    (contrast + naming).backward()
    unreached = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert unreached == []


def test_naming_alone_leaves_the_text_tower_alone() -> None:
    model, namer, texts = untrained()
    naming, contrast = losses(model, namer, texts, sample_batch(4, 8, Random(0)), with_texts=False)
    naming.backward()
    assert contrast == 0
    assert all(weight.grad is None for weight in model.text_model.parameters())


def test_training_takes_steps_until_the_time_is_up_and_writes_on_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learn, "BATCH", 4)
    monkeypatch.setattr(learn, "WRITE_EVERY", 0.0)
    model, _, texts = untrained()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    written: list[int] = []
    steps = learn.train(model, texts, minutes=0.01, seed=0, write=lambda: written.append(1))
    assert steps == len(written) >= 1
    assert all(weight.isfinite().all() for weight in model.state_dict().values())
    assert any(not torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def untrained() -> tuple[CLIPModel, PatchNamer, learn.Tokenize]:
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    return make_model(len(tokenizer)), PatchNamer(128), lambda texts: tokenize(tokenizer, texts)


def test_pixels_are_those_of_the_image_processor() -> None:
    images = [image for image, _ in held_out_pairs(3, 0)]
    by_processor = make_processor()(images, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(to_pixels(images), by_processor, atol=1e-5, rtol=0)
