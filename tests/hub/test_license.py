"""Under which license a ternary model may be published."""

import pytest

from tclip.errors import UserError
from tclip.hub.base import Base
from tclip.hub.license import License, license_for


def base(**facts: object) -> Base:
    return Base("org/clip", "org/clip", facts)


@pytest.mark.parametrize(
    ("facts", "license"),
    [
        ({"license": "mit"}, License("mit")),
        ({"license": "Apache-2.0"}, License("apache-2.0")),
        ({"license": ["cc-by-sa-4.0"]}, License("cc-by-sa-4.0")),
        (
            {"license": "other", "license_name": "apple-amlr", "license_link": "LICENSE"},
            License("other", "apple-amlr", "https://huggingface.co/org/clip/blob/main/LICENSE"),
        ),
        (
            {"license": "other", "license_name": "mine", "license_link": "https://example.org/terms"},
            License("other", "mine", "https://example.org/terms"),
        ),
        (
            {"license": ["mit", "cc-by-4.0"]},
            License("other", "mit and cc-by-4.0", "https://huggingface.co/org/clip/blob/main/README.md"),
        ),
    ],
)
def test_it_is_inherited(facts, license):
    assert license_for(base(**facts), None) == license


def test_it_may_be_stated_again():
    assert license_for(base(license="cc-by-nc-4.0"), "cc-by-nc-4.0") == License("cc-by-nc-4.0")


@pytest.mark.parametrize("license", ["cc-by-nd-4.0", "cc-by-nc-nd-3.0", "CC-BY-NC-ND-4.0", "cc-by-nd-2.5"])
@pytest.mark.parametrize("stated", [None, "mit"])
def test_no_derivatives_is_refused_whatever_is_stated(license, stated):
    with pytest.raises(UserError, match="which forbids to publish what is made from it"):
        license_for(base(license=license), stated)


@pytest.mark.parametrize("name", ["cc-by-nc-nd-4.0", "Research No Derivatives", "no-derivs"])
def test_no_derivatives_under_a_name_of_its_own(name):
    with pytest.raises(UserError, match="forbids to publish"):
        license_for(base(license="other", license_name=name), None)


def test_no_derivatives_that_is_stated():
    with pytest.raises(UserError, match=r"is under cc-by-nd-4\.0, which forbids"):
        license_for(base(), "cc-by-nd-4.0")


@pytest.mark.parametrize("license", ["openrail", "bsd", "gpl-3.0", "fair-noncommercial-research-license"])
def test_other_licenses_are_not_taken_for_no_derivatives(license):
    assert license_for(base(license=license), None).id == license


@pytest.mark.parametrize("facts", [{}, {"license": None}, {"license": "unknown"}, {"license": []}])
def test_an_unknown_one_must_be_stated(facts):
    with pytest.raises(
        UserError, match=r"license of org/clip is not known \(its card names none\).*--license"
    ):
        license_for(base(**facts), None)
    assert license_for(base(**facts), "mit") == License("mit")


def test_why_it_is_not_known_is_told():
    with pytest.raises(UserError, match=r"is not known \(there is no folder /x any more\)"):
        license_for(Base("x", None, unknown="there is no folder /x any more"), None)


def test_another_than_the_original_s():
    assert license_for(base(license="mit"), "apache-2.0") == License("apache-2.0")  # mit lets everybody
    with pytest.raises(
        UserError, match=r"org/clip is under cc-by-sa-4\.0, and what is made from it stays so"
    ):
        license_for(base(license="cc-by-sa-4.0"), "mit")
    with pytest.raises(UserError, match="is under apple-amlr, and what is made from it stays so"):
        license_for(base(license="other", license_name="apple-amlr"), "mit")


@pytest.mark.parametrize("stated", ["MIT", "", "apache 2.0", "mit\nfoo: bar"])
def test_what_cannot_be_a_license(stated):
    with pytest.raises(UserError, match="--license takes an id of the Hub"):
        license_for(base(), stated)
