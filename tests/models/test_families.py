import re

import pytest

from tclip.errors import ModelError
from tclip.models.families import FAMILIES, family_of


def test_all_seven_families_are_known():
    assert [family.title for family in FAMILIES.values()] == [
        "CLIP",
        "SigLIP",
        "SigLIP 2",
        "Chinese-CLIP",
        "AltCLIP",
        "MetaCLIP 2",
        "VisionTextDualEncoder",
    ]


@pytest.mark.parametrize("model_type", FAMILIES)
def test_model_classes_are_those_of_transformers(model_type):
    from transformers import CONFIG_MAPPING, MODEL_MAPPING

    assert MODEL_MAPPING[CONFIG_MAPPING[model_type]].__name__ == FAMILIES[model_type].model_class


@pytest.mark.parametrize("model_type", FAMILIES)
def test_family_of_config_without_architectures(model_type):
    assert family_of({"model_type": model_type}, "x") is FAMILIES[model_type]


def test_unsupported_architecture_is_named_with_the_list_of_supported_ones():
    with pytest.raises(ModelError, match='org/bert has the architecture "bert"') as caught:
        family_of({"model_type": "bert"}, "org/bert")
    for model_type, family in FAMILIES.items():
        assert f"{family.title} ({model_type})" in str(caught.value)


def test_near_miss_gets_a_suggestion():
    with pytest.raises(ModelError, match=re.escape('Did you mean "siglip2"?')):
        family_of({"model_type": "siglip_2"}, "x")


def test_config_without_a_type():
    with pytest.raises(ModelError, match="names no model_type"):
        family_of({}, "x")


@pytest.mark.parametrize("named", [["CLIPForImageClassification"], "CLIPForImageClassification"])
def test_half_of_a_model_is_refused(named):
    config = {"model_type": "clip", "architectures": named}
    with pytest.raises(ModelError, match="x is a CLIPForImageClassification, not the CLIPModel"):
        family_of(config, "x")


def test_a_name_of_a_class_that_is_none():
    assert family_of({"model_type": "clip", "architectures": "CLIPModel"}, "x") is FAMILIES["clip"]
    with pytest.raises(ModelError, match="x is a 1, not the CLIPModel"):
        family_of({"model_type": "clip", "architectures": 1}, "x")
