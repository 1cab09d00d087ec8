"""Every path of the native code against the slow reference: sums equal exactly, towers agree."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tclip.runtime.native import NativeImageTower, NativeTextTower, native_module
from tclip.runtime.reference import NumpyImageTower, NumpyTextTower, codes_of
from tclip.runtime.weights import Matrix
from tests.runtime.making import Maker, largest, packed

native = native_module()
if native is None:
    pytest.skip("tclip was installed without a compiler", allow_module_level=True)

PATHS = [*native.paths(), "amx-emulated"]
BITS = [2, 4, 8]
NO_CODES = {2: [243, 255], 4: [0x0F, 0xF0], 8: [0]}  # bytes
KINDS = ["row", "tensor", "group:16", "group:3", "bits:4", "bits:8", "float16", "float32"]


def cosines(found_BE: np.ndarray, expected_BE: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(found_BE, axis=1) * np.linalg.norm(expected_BE, axis=1)
    return (found_BE * expected_BE).sum(1) / norms


@pytest.mark.parametrize("path", PATHS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_integer_products_are_exact(path: str, data: st.DataObject) -> None:
    rows = data.draw(st.sampled_from([0, 1, 2, 7, 12, 13, 16, 17, 33, 65]))
    inputs, outputs = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 70))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    bits, most = data.draw(st.sampled_from(BITS)), data.draw(st.sampled_from([1, 127]))
    a_MK = random.integers(-most, most + 1, (rows, inputs)).astype(np.int8)
    codes_OK = random.integers(-largest(bits), largest(bits) + 1, (outputs, inputs))
    assert native is not None
    found = native.integer_product(path, a_MK, packed(codes_OK, bits), bits, outputs)
    assert np.array_equal(found, a_MK.astype(np.int64) @ codes_OK.T)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("extreme", [-127, 127])
def test_the_largest_sums_do_not_overflow(path: str, bits: int, extreme: int) -> None:
    a_MK = np.full((5, 4096), extreme, np.int8)
    assert native is not None
    for code in (-largest(bits), largest(bits)):
        found = native.integer_product(path, a_MK, packed(np.full((33, 4096), code), bits), bits, 33)
        assert (found == 4096 * extreme * code).all()


@settings(deadline=None)
@given(data=st.data(), bits=st.sampled_from(BITS), first=st.integers(0, 59), count=st.integers(0, 60))
def test_codes_are_read_from_anywhere(data: st.DataObject, bits: int, first: int, count: int) -> None:
    assert native is not None
    code = st.integers(-largest(bits), largest(bits))
    codes = data.draw(st.lists(code, min_size=first + count, max_size=first + count + 9))
    bytes_P = packed(np.array(codes), bits)
    found = native.digits_of(bytes_P, bits, first, count)[0].astype(int) - 2 ** (bits - 1)
    assert found.tolist() == codes[first : first + count]
    if count:
        matrix = Matrix((1, count), codes=bytes_P, bits=bits, first_code=first)
        assert codes_of(matrix)[0].tolist() == codes[first : first + count]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_image_tower_agrees(path: str, kind: str) -> None:
    tower = Maker(1, kind).image_tower()
    pixel_BCHW = np.random.default_rng(0).normal(size=(3, 3, 28, 28)).astype(np.float32)
    found, expected = NativeImageTower(tower, path, 2)(pixel_BCHW), NumpyImageTower(tower)(pixel_BCHW)
    assert found.shape == (3, 20) and found.dtype == np.float32
    assert cosines(found, expected).min() > (0.999999 if kind.startswith("float") else 0.9995)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh"])
def test_a_siglip_image_tower_agrees(path: str, activation: str) -> None:
    for kind in ("row", "float32"):
        tower = Maker(2, kind).image_tower(activation=activation, siglip=True, width=40, heads=5)  # type: ignore[arg-type]
        pixel_BCHW = np.random.default_rng(0).normal(size=(2, 3, 28, 28)).astype(np.float32)
        found, expected = NativeImageTower(tower, path, 2)(pixel_BCHW), NumpyImageTower(tower)(pixel_BCHW)
        assert cosines(found, expected).min() > (0.999999 if kind == "float32" else 0.9995)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", ["row", "group:16", "bits:4", "bits:8", "float16"])
def test_a_text_tower_agrees(path: str, causal: bool, kind: str) -> None:
    tower = Maker(3, kind).text_tower(causal=causal)
    random = np.random.default_rng(0)
    ids = [random.integers(0, 99, length).astype(np.int32) for length in (1, 5, 77, 33, 2)]
    found, expected = NativeTextTower(tower, path, 2)(ids), NumpyTextTower(tower)(ids)
    assert cosines(found, expected).min() > (0.999999 if kind == "float16" else 0.9995)


@pytest.mark.parametrize("path", [*PATHS, "numpy"])
@pytest.mark.parametrize("kind", ["row", "group:16", "bits:8", "float32"])
@pytest.mark.parametrize("siglip", [False, True])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of numpy, of the infinities
def test_what_is_not_finite_answers_nan_and_leaves_the_others_alone(
    path: str, kind: str, siglip: bool
) -> None:
    tower = Maker(10, kind).image_tower(siglip=siglip)
    encode = NumpyImageTower(tower) if path == "numpy" else NativeImageTower(tower, path, 2)
    pixel_BCHW = np.random.default_rng(0).normal(size=(3, 3, 28, 28)).astype(np.float32)
    expected = encode(pixel_BCHW)
    for value, where in ((np.nan, np.s_[0, 0, 0]), (np.nan, np.s_[2, 27, 25]), (-np.inf, np.s_[1, 9:])):
        damaged_BCHW = pixel_BCHW.copy()
        damaged_BCHW[1][where] = value
        found = encode(damaged_BCHW)
        assert np.isnan(found[1]).all()
        assert np.array_equal(found[::2], expected[::2])


@pytest.mark.parametrize("path", [*PATHS, "numpy"])
@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")  # of numpy
def test_scores_that_overflow_answer_nan(path: str) -> None:
    tower = Maker(11).image_tower(num_blocks=1)
    scale_OG = tower.blocks[0].attention.query.matrix.scale_OG
    assert scale_OG is not None
    scale_OG[:] = 3e38
    encode = NumpyImageTower(tower) if path == "numpy" else NativeImageTower(tower, path, 1)
    assert np.isnan(encode(np.random.default_rng(0).normal(size=(1, 3, 28, 28)).astype(np.float32))).all()


@settings(deadline=None, max_examples=25)
@given(
    batch=st.sampled_from([0, 1, 7, 65]),
    heads=st.integers(1, 3),
    depth=st.integers(1, 37),
    patch_size=st.integers(1, 5),
    side=st.integers(1, 4),
    embedding=st.integers(1, 70),
    threads=st.integers(1, 3),
)
# Its last norm sees two channels that differ by a hundredth of their mean.
@example(batch=1, heads=1, depth=2, patch_size=1, side=1, embedding=1, threads=1)
def test_image_towers_of_odd_shapes_agree(
    batch: int, heads: int, depth: int, patch_size: int, side: int, embedding: int, threads: int
) -> None:
    tower = Maker(batch, "float32").image_tower(
        heads * depth, heads, 2, patch_size * side, patch_size, embedding=embedding
    )
    shape = (batch, 3, patch_size * side, patch_size * side)
    pixel_BCHW = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = NumpyImageTower(tower)(pixel_BCHW)
    for path in ("", "portable"):
        found = NativeImageTower(tower, path, threads)(pixel_BCHW)
        np.testing.assert_allclose(
            found, expected, rtol=1e-3, atol=1e-3 * (1 + np.abs(expected).max(initial=0))
        )


def test_every_number_of_threads_gives_the_same() -> None:
    tower = Maker(4).image_tower(num_blocks=3)
    pixel_BCHW = np.random.default_rng(0).normal(size=(9, 3, 28, 28)).astype(np.float32)
    results = [NativeImageTower(tower, "", threads)(pixel_BCHW) for threads in (1, 2, 3, 8)]
    assert all(np.array_equal(result, results[0]) for result in results)


def test_every_batch_gives_the_same() -> None:
    encode = NativeImageTower(Maker(4).image_tower(), "", 2)
    pixel_BCHW = np.random.default_rng(0).normal(size=(40, 3, 28, 28)).astype(np.float32)
    alone = np.concatenate([encode(pixel_BCHW[i : i + 1]) for i in range(40)])
    assert np.array_equal(encode(pixel_BCHW), alone)


def test_concurrent_calls_give_the_same() -> None:
    image, text = (
        NativeImageTower(Maker(5).image_tower(), "", 2),
        NativeTextTower(Maker(5).text_tower(), "", 3),
    )
    random = np.random.default_rng(0)
    pixels = [random.normal(size=(size, 3, 28, 28)).astype(np.float32) for size in (1, 3, 8)]
    ids = [random.integers(0, 99, length).astype(np.int32) for length in (4, 60, 9)]
    expected_images, expected_texts = [image(batch) for batch in pixels], text(ids)

    def work(index: int) -> bool:
        same_text = np.array_equal(text(ids), expected_texts)
        return same_text and np.array_equal(image(pixels[index % 3]), expected_images[index % 3])

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(work, range(120)))


def test_other_threads_run_meanwhile() -> None:
    """The interpreter's lock is released: a thread counts on while a long call is under way."""
    encode = NativeImageTower(Maker(6).image_tower(width=96, num_blocks=8), "portable", 1)
    pixel_BCHW = np.zeros((64, 3, 28, 28), np.float32)
    done, counted = threading.Event(), []

    def count() -> None:
        while not done.wait(0.001):
            counted.append(1)

    thread = threading.Thread(target=count)
    thread.start()
    encode(pixel_BCHW)
    done.set()
    thread.join()
    assert len(counted) >= 3


def encode_in_child(connection, encode, pixel_BCHW) -> None:
    connection.send(encode(pixel_BCHW))
    connection.close()


@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    encode = NativeImageTower(Maker(7).image_tower(), "", 2)
    pixel_BCHW = np.random.default_rng(0).normal(size=(5, 3, 28, 28)).astype(np.float32)
    expected = encode(pixel_BCHW)  # the parent's threads are there by now
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=encode_in_child, args=(theirs, encode, pixel_BCHW))
    child.start()
    assert ours.poll(60)
    assert np.array_equal(ours.recv(), expected)
    child.join(60)
    assert child.exitcode == 0


def test_an_unknown_path_is_named_with_those_there_are() -> None:
    encode = NativeImageTower(Maker(8).image_tower(), "sse9", 1)
    with pytest.raises(ValueError, match=r'no path "sse9".*portable and numpy'):
        encode(np.zeros((1, 3, 28, 28), np.float32))


def test_sizes_that_do_not_fit_are_refused() -> None:
    tower = Maker(9).image_tower()
    with pytest.raises(ValueError, match="image size"):
        NativeImageTower(tower, "", 1)(np.zeros((1, 3, 27, 28), np.float32))
    text = NativeTextTower(Maker(9).text_tower(), "", 1)
    for ids, what in ([99], "unknown"), ([-1], "unknown"), ([], "no tokens"), ([0] * 78, "positions"):
        with pytest.raises(ValueError, match=what):
            text([np.array(ids, np.int32)])


@pytest.mark.parametrize("bits", BITS)
def test_damaged_codes_are_refused(bits: int) -> None:
    assert native is not None
    codes, scale_OG = packed(np.zeros((4, 10), int), bits), np.ones((4, 1), np.float32)
    native.coded_linear(codes, bits, 0, scale_OG, 10, None, 1)
    with pytest.raises(ValueError, match="fewer codes"):
        native.coded_linear(codes, bits, 1, scale_OG, 10, None, 1)
    with pytest.raises(ValueError, match="fewer codes"):
        native.coded_table(codes[:-1], bits, 0, scale_OG, 10)
    for groups in (0, 3):
        with pytest.raises(ValueError, match="equal groups"):
            native.coded_linear(codes, bits, 0, np.ones((4, groups), np.float32), 10, None, 1)
    with pytest.raises(ValueError, match="2 bits"):
        native.coded_linear(codes, 3, 0, scale_OG, 10, None, 1)
    for byte in NO_CODES[bits]:
        codes[3] = byte
        with pytest.raises(ValueError, match="242" if bits == 2 else "digit 0"):
            native.coded_linear(codes, bits, 0, scale_OG, 10, None, 1)
        with pytest.raises(ValueError, match="242" if bits == 2 else "digit 0"):
            codes_of(Matrix((4, 10), codes=codes, bits=bits))
