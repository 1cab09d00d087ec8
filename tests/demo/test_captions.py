from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tclip.demo.captions import claim, foil, name_group, phrase, vocabulary
from tclip.demo.scenes import Group, Scene, is_held_out, is_true, sample_scene
from tests.demo.reading import read_caption

seeds = st.integers(0, 10**6)


@given(seeds, st.booleans(), st.booleans())
def test_a_caption_says_its_claim_and_the_claim_is_true(seed: int, held_out: bool, full: bool) -> None:
    rng = Random(seed)
    scene = sample_scene(rng, held_out)
    said = claim(scene, rng, full)
    read = read_caption(phrase(said, rng))
    assert said in (read, read.turned())
    assert is_true(read, scene)


@given(seeds)
def test_a_full_claim_leaves_only_medium_size_and_ground_unsaid(seed: int) -> None:
    rng = Random(seed)
    scene = sample_scene(rng, held_out=True)
    said = claim(scene, rng, full=True)
    assert said.relation == scene.relation
    assert [group.size or "medium" for group in said.groups] == [group.size for group in scene.groups]


@given(seeds)
def test_a_foil_is_false_near_and_without_held_out_combinations(seed: int) -> None:
    rng = Random(seed)
    scene = sample_scene(rng, held_out=False)
    said = claim(scene, rng, full=False)
    false = read_caption(phrase(foil(said, scene, rng), rng))
    assert not is_true(false, scene)
    assert not is_held_out(false)
    assert len(false.groups) == len(said.groups)


@pytest.mark.parametrize(
    ("group", "named"),
    [
        (Group(1, None, "orange", "ring"), "an orange ring"),
        (Group(1, "big", "orange", "ring"), ("a big orange ring", "a large orange ring")),
        (Group(3, None, "white", "cross"), "three white crosses"),
        (Group(4, "medium", "red", "moon"), "four red moons"),
    ],
)
def test_name_group(group: Group, named: str | tuple[str, ...]) -> None:
    assert name_group(group, Random(0)) in named


def test_captions_are_varied_and_stay_in_the_vocabulary() -> None:
    rng = Random(0)
    scenes = [sample_scene(rng, bool(i % 2)) for i in range(3000)]
    texts = [phrase(claim(scene, rng, full=False), rng) for scene in scenes]
    assert set(" ".join(texts).split()) == set(vocabulary())
    assert len(set(texts)) > 2500
    assert max(len(text.split()) for text in texts) <= 22  # 24 tokens with <bos> and <eos>


def test_a_caption_of_two_groups_speaks_of_both() -> None:
    scene = Scene((Group(1, "big", "blue", "square"), Group(1, None, "yellow", "star")), "left")
    texts = {phrase(scene, Random(seed), plain=True) for seed in range(40)}
    assert "a big blue square left of a yellow star" in texts
    assert "a yellow star to the right of a large blue square" in texts
