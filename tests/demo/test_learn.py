import math
from random import Random

import pytest
import torch

from tclip.demo.dataset import held_out_pairs
from tclip.demo.draw import SIDE, Mark
from tclip.demo.learn import NAMES, PatchNamer, losses, name_patches, sample_batch, to_pixels, train
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


def test_losses_start_at_chance_and_reach_every_weight() -> None:
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    model, namer = make_model(len(tokenizer)), PatchNamer(128)
    contrast, naming = losses(model, namer, lambda t: tokenize(tokenizer, t), sample_batch(16, 8, Random(0)))
    assert contrast.item() == pytest.approx((math.log(32) + math.log(16)) / 2, abs=0.8)
    assert naming.item() == pytest.approx(sum(math.log(len(names) + 1) for names in NAMES), abs=1.5)
    (contrast + naming).backward()
    unreached = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert unreached == []


def test_training_takes_steps_until_the_time_is_up() -> None:
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    train(model, lambda t: tokenize(tokenizer, t), minutes=1e-6, seed=0)
    assert all(weight.isfinite().all() for weight in model.state_dict().values())
    assert any(not torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_pixels_are_those_of_the_image_processor() -> None:
    images = [image for image, _ in held_out_pairs(3, 0)]
    by_processor = make_processor()(images, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(to_pixels(images), by_processor, atol=1e-5, rtol=0)
