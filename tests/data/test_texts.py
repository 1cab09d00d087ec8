"""Texts alone: which come, that the same come again, and what is refused."""

from collections import Counter
from random import Random

import pytest

from tclip.data import texts
from tclip.data.texts import PROMPTS, TextStream, Words, open_texts, vocabulary_words
from tclip.errors import DataError
from tclip.models.load import load_dense
from tclip.recipe import local
from tests.tiny import FAMILY_NAMES


def counting(name):
    return lambda rng: f"{name} {rng.randrange(10**9)}"


def test_a_position_has_its_text_however_many_processes_share_the_batch():
    whole = TextStream([counting("a"), counting("b")], seed=3)
    halves = [TextStream([counting("a"), counting("b")], seed=3, rank=rank, world_size=2) for rank in (0, 1)]
    for index in (0, 1, 7):
        together = [text for half in halves for text in half.batch(index, 3)]
        assert together == whole.batch(index, 6)
    assert whole.batch(0, 6) != whole.batch(1, 6)
    assert TextStream([counting("a")], seed=4).batch(0, 6) != TextStream([counting("a")], seed=3).batch(0, 6)


def test_all_sources_are_drawn_from_alike():
    drawn = TextStream([counting("a"), counting("b"), counting("c")]).batch(0, 600)
    counts = Counter(text[0] for text in drawn)
    assert all(140 < counts[name] < 260 for name in "abc")


def test_lines_of_a_file(tmp_path):
    (tmp_path / "prompts.txt").write_text("a red cat\n\n  two dogs \n", encoding="utf-8")
    source = open_texts(str(tmp_path / "prompts.txt"), None)
    assert {source(Random(seed)) for seed in range(40)} == {"a red cat", "two dogs"}


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "Cannot read the texts"), (b"\n \n", "holds no text"), (b"caf\xe9\n", "is not UTF-8")],
)
def test_a_file_without_texts_is_refused(tmp_path, content, said):
    path = tmp_path / "prompts.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        open_texts(str(path), None)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_words_are_one_token_each(tiny_folder, family):
    tokenizer = load_dense(str(tiny_folder(family))).tokenizer
    words = vocabulary_words(tokenizer)
    assert len(words) == len(set(words)) > 1
    for word in words:
        assert word.isalpha()
        assert len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1
    assert open_texts("words", tokenizer)(Random(0))


def test_prompts_are_filled_with_words_and_compounds_of_two():
    source = Words(["cat", "dog"])
    made = [source(Random(seed)) for seed in range(400)]
    known = {"cat", "dog"} | {one + other for one in ("cat", "dog") for other in ("cat", "dog")}
    assert {prompt for prompt in PROMPTS if any(_fits(prompt, text, known) for text in made)} == set(PROMPTS)
    assert all(any(_fits(prompt, text, known) for prompt in PROMPTS) for text in made)


def _fits(prompt, text, known):
    """Whether a text is the prompt with known words in its gaps."""
    pattern, words = prompt.replace("{},", "{} ,").split(), text.replace(",", " ,").split()
    return len(pattern) == len(words) and all(
        word in known if gap == "{}" else gap == word for gap, word in zip(pattern, words, strict=True)
    )


def test_a_tokenizer_of_single_letters_has_no_words():
    class Letters:
        all_special_ids = ()

        def get_vocab(self):
            return {letter: index for index, letter in enumerate("abc")}

        def batch_decode(self, lists):
            return ["abc"[each] for (each,) in lists]

    with pytest.raises(DataError, match="knows no whole words"):
        vocabulary_words(Letters())


def test_recipes_know_the_source_that_is_no_file():
    assert texts.WORDS == local.WORDS
    assert not local.is_local(local.WORDS)


def test_no_sources_are_refused():
    with pytest.raises(DataError, match="No texts are given"):
        TextStream([])
