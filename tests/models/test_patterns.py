import pytest

from tclip.models.patterns import matches_any, numbers_starred, wrong_patterns
from tclip.models.roles import find_sites
from tclip.recipe.quantize import Part, Quantize
from tests.tiny import tiny_clip_folder


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    from tclip.models.load import load_dense

    return find_sites(load_dense(str(tiny_clip_folder(tmp_path_factory.mktemp("clip")))).model)


def faults(sites, pattern, tower="image"):
    return wrong_patterns(sites, Quantize(**{tower: Part(include=pattern)}))


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("vision_model.encoder.layers.*.mlp.fc3.weight", "vision_model.encoder.layers.*.mlp.fc2.weight"),
        ("vision_model.encoder.layers.*.mlp.fc1.weigth", "vision_model.encoder.layers.*.mlp.fc1.weight"),
        ("vision_model.encoder.layers.0.mlp.fc1", "vision_model.encoder.layers.0.mlp.fc1.weight"),
        ("vision_model.encoder.layer.1.mlp.fc1.weight", "vision_model.encoder.layers.1.mlp.fc1.weight"),
        ("*.mlp.fc.weight", "*.mlp.fc2.weight"),
        ("*.fc1", "*.fc1.weight"),
        ("*.self_attention.q_proj.weight", "*.self_attn.q_proj.weight"),
        ("*.q_prj.weight", "*.q_proj.weight"),
        ("vision_model.embedings.*", "vision_model.embeddings.*"),
        ("visual_projection", "visual_projection.weight"),
    ],
)
def test_a_mistyped_pattern_gets_a_suggestion_that_works(sites, pattern, meant):
    [fault] = faults(sites, pattern)
    assert fault == (
        f'quantize.image.include "{pattern}" matches no weight of the image tower. Did you mean "{meant}"?'
    )
    assert faults(sites, meant) == []


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("*.mlp.fc1.weight", None),
        ("text_model.*.fc1.weight", None),
        ("*.fc1", 'matches no weight of either tower. Did you mean "*.fc1.weight"?'),
        ("*.layer_norm1.weight", "matches only what always stays float (norm)"),
        ("logit_scale", "matches no weight of either tower."),
    ],
)
def test_patterns_of_bits_are_for_both_towers(sites, pattern, fault):
    found = wrong_patterns(sites, Quantize(bits={pattern: 8}))
    assert found == ([f'quantize.bits "{pattern}" {fault}'] if fault else [])


def test_nothing_near_gets_no_suggestion(sites):
    [fault] = faults(sites, "banana")
    assert fault.endswith("matches no weight of the image tower.")


def test_pattern_of_the_other_tower_is_sent_there(sites):
    [fault] = faults(sites, "text_model.*.fc1.weight")
    assert fault.endswith("matches weights of the text tower only: move it to quantize.text")
    assert faults(sites, "text_model.*.fc1.weight", tower="text") == []


@pytest.mark.parametrize(
    ("pattern", "kind"),
    [
        ("*.bias", "bias"),
        ("*layernorm*", "bias, norm"),
        ("vision_model.embeddings.position_embedding.weight", "position embedding"),
        ("vision_model.embeddings.class_embedding", "class embedding or other single vector"),
    ],
)
def test_pattern_of_what_always_stays_float(sites, pattern, kind):
    [fault] = faults(sites, pattern)
    assert fault.endswith(f"matches only what always stays float ({kind})")


def test_pattern_that_also_matches_what_stays_float_is_fine(sites):
    assert faults(sites, "*.fc1.*") == []


def test_globs():
    assert matches_any("vision_model.encoder.layers.11.mlp.fc1.weight", ["*.layers.1?.mlp.*"])
    assert matches_any("vision_model.encoder.layers.7.mlp.fc1.weight", ["*.layers.[78].*.weight"])
    assert not matches_any("a.Weight", ["a.weight"])
    assert not matches_any("a.weight", [])


def test_numbers_starred():
    assert numbers_starred("text_model.layers.10.fc1.weight") == "text_model.layers.*.fc1.weight"
    assert numbers_starred("blocks.1.2.w") == "blocks.*.*.w"
