import math
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

from tclip.demo import make_model
from tclip.demo.captions import vocabulary
from tclip.demo.draw import SIDE
from tclip.demo.make_model import BOS, EOS, MAX_TOKENS, PAD, UNK, make_tokenizer, tokenize


def test_the_tokenizer_knows_the_captions_words_and_nothing_else() -> None:
    tokenizer = make_tokenizer()
    ids = tokenize(tokenizer, ["A Red circle, above two purple moons.", "a zebra"])
    assert ids.shape == (2, 9)
    assert ids[0, 0] == BOS and ids[0, -1] == EOS
    assert UNK not in ids[0]
    assert ids[1].tolist()[2:] == [UNK, EOS, PAD, PAD, PAD, PAD, PAD]
    assert len(tokenizer) == len(vocabulary()) + 4
    assert tokenize(tokenizer, ["red " * 99]).shape == (1, MAX_TOKENS)


def test_texts_are_pooled_at_the_end_whatever_the_padding() -> None:
    tokenizer = make_tokenizer()
    model = make_model.make_model(len(tokenizer)).eval()
    short, long = "a red circle", "three small blue stars on the left of a big pink heart"
    alone = make_model.embed_texts(model, tokenizer, [short])
    padded = make_model.embed_texts(model, tokenizer, [short, long])
    torch.testing.assert_close(alone[0], padded[0])
    read = model.text_model(tokenize(tokenizer, [short, long]))
    torch.testing.assert_close(read.pooler_output[0], read.last_hidden_state[0, 4])


def test_the_image_tower_starts_with_attention_to_near_patches() -> None:
    torch.manual_seed(0)
    model = make_model.make_model(20).vision_model
    with torch.no_grad():
        seen = model(torch.zeros(1, 3, SIDE, SIDE), output_attentions=True).attentions[0].mean((0, 1))[1:, 1:]
    side = math.isqrt(len(seen))
    y, x = torch.cartesian_prod(torch.arange(side), torch.arange(side)).T
    distance = (y[:, None] - y).abs() + (x[:, None] - x).abs()
    assert seen[distance <= 1].mean() > 1.5 * seen[distance >= 6].mean()


def test_training_can_start_from_an_earlier_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = make_model.make_model(len(make_tokenizer()))
    make_model.write(earlier, tmp_path / "earlier")
    assert earlier.dtype == torch.float32, "writing in fp16 leaves the model in training as it is"
    monkeypatch.setattr(make_model, "train", lambda *_: 0)
    arguments = ["make_model", str(tmp_path / "later"), "--start", str(tmp_path / "earlier")]
    monkeypatch.setattr(sys, "argv", arguments)
    make_model.main()
    files = [tmp_path / name / "model.safetensors" for name in ("earlier", "later")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_command_writes_a_folder_that_stock_transformers_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    monkeypatch.setattr(sys, "argv", ["make_model", str(out), "--minutes", "1e-6", "--seed", "3"])
    make_model.main()
    assert "top-1" in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    model = CLIPModel.from_pretrained(out)
    assert model.dtype == torch.float16
    assert (
        AutoTokenizer.from_pretrained(out)("a red circle")["input_ids"][-1]
        == model.config.text_config.eos_token_id
    )
    assert (
        AutoImageProcessor.from_pretrained(out).size["shortest_edge"] == model.config.vision_config.image_size
    )
