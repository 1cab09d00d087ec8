from collections import Counter

import pytest

from tclip.data import pieces
from tclip.data.pairs import open_pairs
from tclip.errors import DataError

from .making import picture, write_jsonl


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(9):
        (tmp_path / f"images/{number}.jpg").write_bytes(picture(number))
    return tmp_path


def rows_of(source):
    return sorted((sample.key, sample.captions, sample.image_bytes) for sample in source)


CSV = 'title,filepath\n"a, b",images/0.jpg\n"two\nlines",images/0.jpg\nlast,images/1.jpg\nback,images/0.jpg\n'


def test_a_csv_with_quotes_and_line_breaks(folder):
    (folder / "captions.csv").write_text(CSV)
    first, second, third = rows_of(open_pairs(str(folder)))
    assert first == ("captions.csv[0]/images/0.jpg", ("a, b", "two", "lines"), picture(0))
    assert second == ("captions.csv[1]/images/1.jpg", ("last",), picture(1))
    assert third[:2] == ("captions.csv[2]/images/0.jpg", ("back",))


def test_tsv_and_jsonl_say_the_same(folder):
    write_jsonl(
        folder / "a.jsonl", [{"image": f"images/{n}.jpg", "caption": [f"c{n}", "d"]} for n in range(3)]
    )
    lines = [f"images/{n}.jpg\t{c}" for n in range(3) for c in (f"c{n}", "d")]
    (folder / "b.tsv").write_bytes(b"\xef\xbb\xbffile_name\ttext\r\n" + "\r\n".join(lines).encode())
    one, other = rows_of(open_pairs(f"{folder}/a.jsonl")), rows_of(open_pairs(f"{folder}/b.tsv"))
    assert [row[1:] for row in one] == [row[1:] for row in other]
    assert one[2][1] == ("c2", "d")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_shards_cut_the_table_between_samples(folder, monkeypatch, rows, kind):
    names = [0, 0, 1, 2, 2, 2, 3, 4, 4]
    if kind == "csv":
        (folder / "t.csv").write_text(
            "image,text\n" + "".join(f'images/{n}.jpg,"é {i}\n"\n' for i, n in enumerate(names))
        )
    else:
        write_jsonl(
            folder / "t.jsonl", [{"image": f"images/{n}.jpg", "text": f"é {i}"} for i, n in enumerate(names)]
        )
    whole = rows_of(open_pairs(str(folder)))
    assert [len(captions) for _, captions, _ in whole] == [2, 1, 3, 1, 2]
    monkeypatch.setattr(pieces, "PIECE", rows)
    source = open_pairs(str(folder))
    assert rows_of(source) == whole
    assert len(source.shards()) == -(-5 // rows)


def test_any_piece_is_from_all_over_the_table(folder):
    (folder / "t.csv").write_text(
        "image,text\n" + "".join(f"images/{n}.jpg,c{c}\n" for c in range(4) for n in [1, 2] * 128)
    )
    shards = open_pairs(str(folder)).shards()
    assert [len(shard) for shard in shards] == [256] * 4
    for shard in shards:
        counts = Counter(sample.captions for sample in shard)
        assert len(counts) == 4 and max(counts.values()) < 90


def test_columns_of_other_names_are_named_with_those_accepted(folder):
    (folder / "t.csv").write_text("photo,caption\nx,y\n")
    with pytest.raises(DataError, match=r"columns photo, caption: one must be called file_name or image"):
        open_pairs(str(folder))
    write_jsonl(folder / "t.jsonl", [{"image": "x", "words": "y"}])
    with pytest.raises(DataError, match=r"called text or caption"):
        open_pairs(f"{folder}/t.jsonl").check()


@pytest.mark.parametrize("text", ["", "image,text\na,b,c\n", 'image,text\n"a\x00"b\n'])
def test_a_malformed_csv_is_refused(folder, text):
    (folder / "t.csv").write_text(text)
    with pytest.raises(DataError, match=r"t\.csv"):
        open_pairs(f"{folder}/t.csv").check()


@pytest.mark.parametrize("text", ["{", "[1]\n", '"x"\n'])
def test_a_malformed_jsonl_is_refused(folder, text):
    (folder / "t.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"t\.jsonl: a line is no JSON"):
        open_pairs(f"{folder}/t.jsonl").check()


def test_a_missing_image_is_a_sample_without_bytes(folder):
    (folder / "t.csv").write_text("image,text\nimages/77.jpg,x\nimages/1.jpg,y\n")
    source = open_pairs(str(folder))
    source.check()
    assert sorted(bool(sample.image_bytes) for sample in source) == [False, True]


def test_several_tables_need_a_choice(folder):
    for name in ("train", "test"):
        (folder / f"{name}.csv").write_text(f"image,text\nimages/1.jpg,{name}\n")
    assert next(iter(open_pairs(str(folder), "test"))).captions == ("test",)
    (folder / "train-more.csv").write_text("image,text\n")
    with pytest.raises(DataError, match=r"several caption tables.*\n  train-more\.csv\n  train\.csv"):
        open_pairs(str(folder))


def test_a_table_may_lie_in_the_folder_of_its_split(folder):
    (folder / "images/metadata.csv").write_text("file_name,text\n1.jpg,one\n")
    assert next(iter(open_pairs(str(folder), "images"))).image_bytes == picture(1)


def test_the_fingerprint_follows_table_and_images(folder):
    (folder / "t.csv").write_text("image,text\nimages/1.jpg,x\n")
    before = open_pairs(str(folder)).fingerprint()
    assert open_pairs(f"{folder}/t.csv").fingerprint() == before
    (folder / "images/1.jpg").write_bytes(picture(1) + b"\0")
    changed = open_pairs(str(folder)).fingerprint()
    (folder / "t.csv").write_text("image,text\nimages/1.jpg,xy\n")
    assert len({before, changed, open_pairs(str(folder)).fingerprint()}) == 3
