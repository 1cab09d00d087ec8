"""Embedding folders once, searching them, drawing what was found."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tclip.runtime
from tclip.errors import DataError
from tclip.progress import Collected
from tclip.runtime import RuntimeClip
from tclip.runtime import gallery as gallery_module
from tclip.runtime.contact_sheet import draw_contact_sheet
from tclip.runtime.gallery import embed_folder, embed_to_file, find_pictures, store_beside
from tclip.runtime.search import Hit, search_folder
from tests.runtime.conftest import PackedFolder


@pytest.fixture(scope="module")
def clip(packed_folder: PackedFolder) -> RuntimeClip:
    return tclip.runtime.load(packed_folder("clip"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for index, name in enumerate(["b.png", "a.jpg", "more/c.webp", ".hidden/d.png", "notes.txt"]):
        if name.endswith("txt"):
            (folder / name).write_text("no picture")
        else:
            draw(folder / name, index)
    return folder


def draw(path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(path)


class Counting(Collected):
    """Counts the pictures that are embedded."""

    embedded = 0

    def update(self, done: int, total: int | None = None, **facts: float) -> None:
        self.embedded = done


def embedded(clip: RuntimeClip, folder: Path, store: Path) -> tuple[gallery_module.Gallery, int]:
    progress = Counting()
    return embed_folder(clip, folder, store, progress), progress.embedded


def test_pictures_are_found_in_order(pictures: Path, tmp_path: Path) -> None:
    found, unreadable = find_pictures(pictures)
    assert (list(found), unreadable) == (["a.jpg", "b.png", "more/c.webp"], {})
    with pytest.raises(DataError, match="There is no folder"):
        find_pictures(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        find_pictures(tmp_path / "empty")


def test_embeddings_are_those_of_the_pictures_and_made_once(
    clip: RuntimeClip, pictures: Path, tmp_path: Path
) -> None:
    gallery, count = embedded(clip, pictures, tmp_path / "store")
    assert (gallery.paths, count) == (["a.jpg", "b.png", "more/c.webp"], 3)
    expected = clip.encode_image([pictures / path for path in gallery.paths])
    np.testing.assert_allclose(gallery.vector_NE, expected, atol=1e-6)
    again, count = embedded(clip, pictures, tmp_path / "store")
    assert count == 0
    assert np.array_equal(again.vector_NE, gallery.vector_NE)


def test_new_changed_and_removed_pictures_are_noticed(
    clip: RuntimeClip, pictures: Path, tmp_path: Path
) -> None:
    before, _ = embedded(clip, pictures, tmp_path / "store")
    draw(pictures / "b.png", 99)
    os.utime(pictures / "b.png", ns=(1, 1))
    draw(pictures / "new.png", 7)
    (pictures / "a.jpg").unlink()
    after, count = embedded(clip, pictures, tmp_path / "store")
    assert (after.paths, count) == (["b.png", "more/c.webp", "new.png"], 2)
    assert np.array_equal(after.vector_NE[1], before.vector_NE[2])
    assert not np.allclose(after.vector_NE[0], before.vector_NE[1])


def test_unreadable_pictures_are_named_and_do_not_stop(
    clip: RuntimeClip, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "broken.png").write_bytes(b"no picture")
    gallery, _ = embedded(clip, pictures, tmp_path / "store")
    assert len(gallery.paths) == 3
    assert list(gallery.unreadable) == ["broken.png"]
    assert "no picture" in gallery.unreadable["broken.png"]


def test_links_to_nothing_are_named_and_do_not_stop(
    clip: RuntimeClip, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "gone.png").symlink_to("nowhere.png")
    (pictures / "round.jpg").symlink_to("round.jpg")
    (pictures / "there.png").symlink_to("b.png")
    gallery, _ = embedded(clip, pictures, tmp_path / "store")
    assert gallery.paths == ["a.jpg", "b.png", "more/c.webp", "there.png"]
    assert sorted(gallery.unreadable) == ["gone.png", "round.jpg"]
    assert gallery.unreadable["gone.png"] == "No such file or directory"
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "gone.png").symlink_to("nowhere.png")
    gallery, _ = embedded(clip, tmp_path / "links", tmp_path / "store")
    assert (gallery.vector_NE.shape, list(gallery.unreadable)) == ((0, clip.embedding_size), ["gone.png"])


def test_a_name_that_is_no_text_is_kept(clip: RuntimeClip, pictures: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (pictures / "b.png").rename(pictures / name)
    (pictures / "a.jpg").rename(pictures / "ü.jpg")
    _, described = embed_to_file(clip, pictures, tmp_path / "vectors.npy", Collected())
    assert json.loads(described.read_text(encoding="utf-8"))["paths"] == [name, "more/c.webp", "ü.jpg"]
    assert "ü.jpg" in described.read_text(encoding="utf-8")
    hits, _ = search_folder(clip, pictures, "a red square", 3, Collected())
    assert pictures / name in [hit.path for hit in hits]
    _, count = embedded(clip, pictures, store_beside(pictures, clip.identity))
    assert count == 0
    draw_contact_sheet(hits, f"a red square ({name})", tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").is_file()


def test_an_interrupted_run_goes_on(
    clip: RuntimeClip, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_module, "BATCH", 1)
    monkeypatch.setattr(gallery_module, "PICTURES_A_PART", 1)

    class Stopping(Collected):
        def update(self, done: int, total: int | None = None, **facts: float) -> None:
            if done == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_folder(clip, pictures, tmp_path / "store", Stopping())
    gallery, count = embedded(clip, pictures, tmp_path / "store")
    assert (len(gallery.paths), count) == (3, 1)


def test_a_damaged_part_is_made_again(clip: RuntimeClip, pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    expected, _ = embedded(clip, pictures, store)
    (part,) = store.glob("*.safetensors")
    part.write_bytes(part.read_bytes()[:50])
    gallery, count = embedded(clip, pictures, store)
    assert count == 3
    assert np.array_equal(gallery.vector_NE, expected.vector_NE)


def test_vectors_are_written_with_what_they_are(clip: RuntimeClip, pictures: Path, tmp_path: Path) -> None:
    gallery, described = embed_to_file(clip, pictures, tmp_path / "vectors.npy", Collected())
    document = json.loads(described.read_text())
    assert np.array_equal(np.load(tmp_path / "vectors.npy"), gallery.vector_NE)
    assert document["paths"] == gallery.paths
    assert document["identity"] == clip.identity
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "vectors.json", "vectors.npy"]
    with pytest.raises(DataError, match="does not end in"):
        embed_to_file(clip, pictures, tmp_path / "vectors.txt", Collected())
    with pytest.raises(DataError, match="There is no folder"):
        embed_to_file(clip, pictures, tmp_path / "no" / "vectors.npy", Collected())


def test_a_search_ranks_by_cosine_and_keeps_the_embeddings(clip: RuntimeClip, pictures: Path) -> None:
    hits, gallery = search_folder(clip, pictures, "a red square", 2, Collected())
    scores = gallery.vector_NE @ clip.encode_text("a red square")[0]
    order = np.argsort(-scores)[:2]
    assert [hit.path for hit in hits] == [pictures / gallery.paths[index] for index in order]
    assert [hit.score for hit in hits] == pytest.approx(scores[order].tolist())
    assert store_beside(pictures, clip.identity).is_dir()
    progress = Counting()
    search_folder(clip, pictures, "something else", 2, progress)
    assert progress.embedded == 0
    with pytest.raises(DataError, match="query is empty"):
        search_folder(clip, pictures, "  ", 2, Collected())


def test_where_nothing_can_be_written_the_cache_is_used(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TCLIP_CACHE", str(tmp_path / "cache"))
    assert store_beside(pictures, "abc").parent == pictures.parent / ".pictures.tclip"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert (tmp_path / "cache") in store_beside(pictures, "abc").parents


def test_a_contact_sheet_shows_the_hits(pictures: Path, tmp_path: Path) -> None:
    Image.new("RGB", (400, 100), "red").save(pictures / "b.png")
    hits = [Hit(pictures / name, 0.3) for name in ("b.png", "a.jpg", "more/c.webp")]
    draw_contact_sheet(hits, "a red square", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        pixels = np.asarray(sheet.convert("RGB"))
    red = (pixels == [255, 0, 0]).all(2)
    assert red.sum() == pytest.approx(200 * 50, rel=0.05)
    assert red[:, : pixels.shape[1] // 3].sum() == red.sum()
    assert [path.name for path in tmp_path.iterdir() if "writing" in path.name] == []
