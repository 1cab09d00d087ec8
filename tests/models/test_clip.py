"""Each family behind the one interface, against stock transformers as the reference."""

import copy
import weakref
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from tclip.models import preprocessor
from tclip.models.load import load_dense
from tests.tiny import FAMILY_NAMES, IMAGE_SIZE, MAX_TOKENS

TEXTS = ["a photo of a cat", "two red dogs", "the woman plays with one big blue ball in the house"]
LONG = "one big red cat sits on the tree and " * 8
PADS_TO_MAXIMUM = ("siglip", "siglip2")


@pytest.fixture(scope="module", params=FAMILY_NAMES)
def clip(request, tiny_folder):
    """Loaded once for all tests of this file: they must not change it."""
    return load_dense(str(tiny_folder(request.param)))


def picture(mode="RGB", size=(50, 40), seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (size[1], size[0], 3), generator=generator, dtype=torch.uint8)
    image = Image.fromarray(pixels.numpy())
    return image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)


def stock_inputs(folder, model_type, images, texts):
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    tokenizer_class = PreTrainedTokenizerFast if model_type == "siglip" else AutoTokenizer
    tokenizer = tokenizer_class.from_pretrained(folder)
    padding = "max_length" if model_type in PADS_TO_MAXIMUM else True
    text_inputs = tokenizer(texts, padding=padding, truncation=True, return_tensors="pt")
    return {**text_inputs, **processor(images=images, return_tensors="pt")}


@torch.no_grad()
def test_embeddings_and_logits_are_those_of_stock_transformers(clip):
    folder, model_type = clip.source.id, clip.model.config.model_type
    images = [picture(seed=seed) for seed in range(4)]
    stock = AutoModel.from_pretrained(folder)(**stock_inputs(folder, model_type, images, TEXTS))

    image_BE = clip.embed_images(clip.preprocess(images))
    text_LE = clip.embed_texts(clip.tokenize(TEXTS))

    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(image_BE, torch.nn.functional.normalize(stock.image_embeds, dim=-1), **close)
    torch.testing.assert_close(text_LE, torch.nn.functional.normalize(stock.text_embeds, dim=-1), **close)
    torch.testing.assert_close(clip.logits(image_BE, text_LE), stock.logits_per_image, atol=1e-4, rtol=0)
    assert (text_LE @ text_LE.T - torch.eye(3)).abs().min() < 0.9999  # the texts are told apart


@torch.no_grad()
def test_the_other_texts_of_a_batch_change_nothing(clip):
    alone = clip.embed_texts(clip.tokenize(TEXTS[:1]))
    together = clip.embed_texts(clip.tokenize([TEXTS[0], LONG]))
    torch.testing.assert_close(alone, together[:1], atol=1e-5, rtol=0)


def test_padding(clip):
    length = clip.tokenize(TEXTS[:1])["input_ids"].shape[1]
    if clip.model.config.model_type in PADS_TO_MAXIMUM:
        assert length == clip.max_tokens
    else:
        assert length < clip.max_tokens


def test_long_texts_are_cut_to_the_positions_and_keep_their_end(clip):
    assert clip.max_tokens == MAX_TOKENS
    ids_T = clip.tokenize([LONG])["input_ids"][0]
    assert len(ids_T) == MAX_TOKENS
    end = clip.tokenizer.eos_token_id or clip.tokenizer.sep_token_id
    assert ids_T[-1] == end
    clip.embed_texts(clip.tokenize([LONG]))  # every position exists


def test_positions_bound_texts_where_the_tokenizer_sets_no_limit(clip):
    tokenizer = copy.deepcopy(clip.tokenizer)
    tokenizer.model_max_length = 10**30  # what many tokenizers of the Hub say
    boundless = replace(clip, tokenizer=tokenizer)
    assert boundless.max_tokens == MAX_TOKENS
    boundless.embed_texts(boundless.tokenize([LONG]))


def test_texts_can_be_cut_shorter(clip):
    inputs = clip.tokenize([LONG, "a cat"], max_tokens=8)
    end = clip.tokenizer.eos_token_id or clip.tokenizer.sep_token_id
    assert inputs["input_ids"][0, 7] == end
    # where the last position is pooled, a shorter sequence would be another model
    pads = clip.model.config.model_type in PADS_TO_MAXIMUM
    assert inputs["input_ids"].shape == (2, MAX_TOKENS if pads else 8)


def test_more_tokens_than_positions_are_not_given(clip):
    assert clip.tokenize([LONG], max_tokens=10_000)["input_ids"].shape[1] == MAX_TOKENS


def test_attention_mask_where_padding_would_be_seen(clip):
    masked = clip.model.config.model_type in ("chinese_clip", "altclip", "vision-text-dual-encoder")
    assert ("attention_mask" in clip.tokenize(TEXTS)) == masked


@torch.no_grad()
def test_tokens_that_are_not_read_change_nothing(clip):
    inputs = clip.tokenize(TEXTS)
    real_BT = clip.real_tokens(inputs)
    assert real_BT.shape == inputs["input_ids"].shape
    assert real_BT[:, 0].all()
    assert real_BT.all() == (clip.family.pads_to_maximum or len({len(text.split()) for text in TEXTS}) == 1)
    other = inputs | {"input_ids": torch.where(real_BT, inputs["input_ids"], inputs["input_ids"][0, 1])}
    torch.testing.assert_close(clip.embed_texts(other), clip.embed_texts(inputs))


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "P", "CMYK", "1", "I;16"])
@torch.no_grad()
def test_images_of_every_mode_and_shape(clip, mode):
    images = [picture(mode, size) for size in ((50, 40), (1, 1), (3, 2), (300, 7), (7, 300), (32, 32))]
    inputs = clip.preprocess(images)
    assert inputs["pixel_values"].dtype == torch.float32
    embeddings_BE = clip.embed_images(inputs)
    assert embeddings_BE.isfinite().all()
    torch.testing.assert_close(embeddings_BE.norm(dim=-1), torch.ones(len(images)))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_preprocessing_equals_the_stock_processor(clip, mode):
    processor = AutoImageProcessor.from_pretrained(clip.source.id, backend="pil")
    images = [picture(mode, size) for size in ((50, 40), (40, 90), (300, 7), (32, 32))]
    stock = processor(images=images, do_convert_rgb=True, return_tensors="pt")
    ours = clip.preprocess(images)
    assert set(ours) == set(stock)
    for name in stock:
        torch.testing.assert_close(ours[name], stock[name], atol=1e-6, rtol=0)


def test_images_that_are_still_to_be_decoded_are_taken_a_few_at_a_time(clip, monkeypatch):
    images, taken = [picture(size=(50, 10 + seed), seed=seed) for seed in range(9)], []

    def coming():
        for image in images:
            own = image.copy()
            taken.append(weakref.ref(own))
            yield own
            del own
            held.append(sum(ref() is not None for ref in taken))

    held, whole = [], clip.preprocess(images)
    monkeypatch.setattr(preprocessor, "HELD", 1000)
    parts = clip.preprocess(coming())
    assert parts.keys() == whole.keys()
    assert all(torch.equal(parts[name], whole[name]) for name in whole)
    assert len(held) == 9
    assert max(held) <= 3


def test_what_prepares_images_goes_to_other_processes_without_the_model(clip):
    elsewhere = ForkingPickler.loads(ForkingPickler.dumps(clip.preprocessor))
    images = [picture(seed=seed) for seed in range(2)]
    expected = clip.preprocess(images)
    assert all(torch.equal(x, expected[name]) for name, x in elsewhere(images).items())


def test_processor_that_does_not_normalise_is_respected(tiny_folder):
    clip = load_dense(str(tiny_folder("clip")))
    clip.image_processor.do_normalize = False
    values = clip.preprocess([Image.new("RGB", (50, 40), (255, 0, 0))])["pixel_values"]
    torch.testing.assert_close(values[0, :, 3, 3], torch.tensor([1.0, 0.0, 0.0]))


def test_transparent_pixels_become_white(clip):
    clear = Image.new("RGBA", (IMAGE_SIZE, IMAGE_SIZE), (255, 0, 0, 0))
    white = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), (255, 255, 255))
    values = clip.preprocess([clear, white])["pixel_values"]
    torch.testing.assert_close(values[0], values[1])


def test_palette_with_transparency_does_not_warn(clip):
    image = picture("P")
    image.info["transparency"] = b"\x00\xff\x80"
    clip.preprocess([image])


def test_gradients_flow_through_both_towers(clip):
    clip.model.zero_grad()
    image_BE = clip.embed_images(clip.preprocess([picture()]))
    text_LE = clip.embed_texts(clip.tokenize(TEXTS))
    clip.logits(image_BE, text_LE)[:, 0].sum().backward()
    without = [name for name, p in clip.model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_source_and_defaults(clip):
    assert len(clip.source.commit) == 40
    assert clip.source.revision is None
    assert clip.ternary == {}
    assert clip.activations == "float"
    assert clip.device == torch.device("cpu")
    assert not clip.model.training
    assert {parameter.dtype for parameter in clip.model.parameters()} == {torch.float32}


def test_torchvision_is_not_needed():
    import importlib.util

    assert importlib.util.find_spec("torchvision") is None
