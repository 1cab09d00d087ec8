"""Where a run's model came from, and what its card says."""

import pytest

from tclip.errors import UserError
from tclip.hub.base import find_base
from tclip.run import Run
from tests.hub.making import BASE, with_recipe, write_base
from tests.hub_server import Fault, HubServer


def local(run: Run, folder) -> Run:
    return with_recipe(run, model={"id": str(folder)})


def test_a_card_on_the_hub(run: Run, hub: HubServer) -> None:
    base = find_base(run, None)
    assert (base.name, base.hub_id, base.facts["license"], base.facts["language"]) == (
        BASE,
        BASE,
        "mit",
        "en",
    )
    assert hub.fetched(BASE) == ["README.md"]


def test_the_card_of_the_revision_that_was_compressed(
    run: Run, hub: HubServer, tiny_folder, tmp_path
) -> None:
    hub.add(BASE, write_base(tiny_folder("clip"), tmp_path / "old", "apache-2.0"), revision="v1")
    assert find_base(with_recipe(run, model={"revision": "v1"}), None).facts["license"] == "apache-2.0"


def test_a_card_in_the_cache(run: Run, hub: HubServer) -> None:
    find_base(run, None)
    hub.faults.append(Fault("", status=503))
    assert find_base(run, None).facts["license"] == "mit"


def test_a_hub_that_does_not_answer_and_no_cache(run: Run, hub: HubServer) -> None:
    hub.faults.append(Fault("", status=503))
    base = find_base(run, None)
    assert (base.hub_id, base.facts) == (BASE, {})
    assert base.unknown.startswith("its card cannot be had: ") and "\n" not in base.unknown


def test_no_card(run: Run, hub: HubServer, tiny_folder) -> None:
    hub.repos["models", BASE].folders["main"] = tiny_folder("clip")
    assert find_base(run, None).unknown.startswith("its card cannot be had: ")


@pytest.mark.parametrize("card", ["---\nlicense: [mit\n---\n", "---\n- a list\n---\n"])
def test_a_broken_card(run: Run, tmp_path, card: str) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "README.md").write_text(card)
    assert find_base(local(run, tmp_path / "base"), None).unknown.startswith("its card cannot be read: ")


def test_a_local_folder(run: Run, base, hub: HubServer) -> None:
    found = find_base(local(run, base), None)
    assert (found.name, found.hub_id, found.facts["license"]) == ("clip", None, "mit")
    assert hub.requests == []


def test_a_local_copy_whose_id_is_stated(run: Run, base, hub: HubServer) -> None:
    found = find_base(local(run, base), BASE)
    assert (found.name, found.hub_id) == (BASE, BASE)
    with pytest.raises(UserError, match=r"--base-model takes a Hub id, and .* is a folder"):
        find_base(local(run, base), str(base))


def test_a_stated_id_must_be_the_run_s(run: Run, hub: HubServer) -> None:
    assert find_base(run, BASE).hub_id == BASE
    with pytest.raises(UserError, match="started from org/clip, not from org/other: leave --base-model out"):
        find_base(run, "org/other")


def test_a_folder_that_was_moved(run: Run, tmp_path) -> None:
    base = find_base(local(run, tmp_path / "a" / "moved"), None)
    assert (base.name, base.hub_id) == ("moved", None)
    assert "any more" in base.unknown
