"""Make the embedded CLIP: `python -m tclip.demo.make_model OUT --minutes 30 --seed 0`.

Trains a small stock `CLIPModel` on drawn scenes and writes a standard Hugging Face folder (fp16,
about 2.6 MB). The accuracy it prints is on combinations that training never saw.
"""

import argparse
import copy
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from tclip.demo.captions import vocabulary
from tclip.demo.dataset import CLASS_NAMES, TEMPLATES, class_pictures, held_out_pairs
from tclip.demo.draw import SIDE
from tclip.demo.learn import to_pixels, train

# CLIPModel pools at the first end-of-text token; for the id 2 it would take the highest id instead.
SPECIAL = ("<pad>", "<bos>", "<unk>", "<eos>")
PAD, BOS, UNK, EOS = range(4)
MAX_TOKENS = 24
WAVES = (torch.sin, torch.cos)


def main() -> None:
    """Read the command line, train, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to write the model to")
    parser.add_argument("--minutes", type=float, default=30, help="wall-clock time to train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="folder of an earlier model to train on from")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    tokenizer = make_tokenizer()
    model = load_model(arguments.start) if arguments.start else make_model(len(tokenizer))
    steps = train(
        model,
        lambda texts: tokenize(tokenizer, texts),
        arguments.minutes,
        arguments.seed,
        lambda: write(model, arguments.out),
    )
    write(model, arguments.out)
    print(f"{steps} steps")
    for name, value in measure(load_model(arguments.out), tokenizer).items():
        print(f"{name}: {value:.1%}")


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a word-level tokenizer of the captions' words, blind to case and punctuation."""
    words = {word: number for number, word in enumerate((*SPECIAL, *vocabulary()))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    words_only = Regex(r"\w+")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(words_only, behavior="removed", invert=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", BOS), ("<eos>", EOS)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        unk_token="<unk>",
        eos_token="<eos>",
        model_max_length=MAX_TOKENS,
    )


def make_processor() -> CLIPImageProcessorPil:
    """Return the image processor: SIDE x SIDE pixels, values from -1 to 1."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size=SIDE, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


def make_model(vocabulary_size: int) -> CLIPModel:
    """Return the untrained CLIP: width 128, 4 image layers, 3 text layers, 1.3 M weights."""
    tower = {"hidden_size": 128, "num_attention_heads": 4, "hidden_act": "gelu"}
    config = CLIPConfig(
        vision_config={
            **tower,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "image_size": SIDE,
            "patch_size": 8,
        },
        text_config={
            **tower,
            "intermediate_size": 256,
            "num_hidden_layers": 3,
            "vocab_size": vocabulary_size,
            "max_position_embeddings": MAX_TOKENS,
            "pad_token_id": PAD,
            "bos_token_id": BOS,
            "eos_token_id": EOS,
        },
        projection_dim=128,
    )
    # On a CPU the plain attention's backward pass is 1.5 times as fast as the fused one's at this size.
    model = CLIPModel._from_config(config, attn_implementation="eager")
    look_nearby(model)
    return model


@torch.no_grad()
def look_nearby(model: CLIPModel) -> None:
    """Let the image tower start with attention to near patches, as trained towers have it.

    Positions start as waves over x and y and keys as copies of the queries, so that near patches have
    like keys: the first half of mimetic initialisation (Trockman and Kolter 2023, arXiv 2305.09828).
    """
    config = model.config.vision_config
    side, width = config.image_size // config.patch_size, config.hidden_size
    frequency_F = 100.0 ** -torch.linspace(0, 1, width // 4)
    y_P, x_P = torch.cartesian_prod(torch.arange(side), torch.arange(side)).T
    waves_PD = torch.cat([wave(at_P[:, None] * frequency_F) for at_P in (x_P, y_P) for wave in WAVES], dim=1)
    model.vision_model.embeddings.position_embedding.weight[1:] = 0.5 * waves_PD
    for layer in model.vision_model.encoder.layers:
        attention = layer.self_attn
        torch.nn.init.normal_(attention.q_proj.weight, std=width**-0.5)
        attention.k_proj.weight.copy_(attention.q_proj.weight)


def load_model(folder: Path) -> CLIPModel:
    """Return a model that `write` left, in float32 and evaluation mode."""
    return CLIPModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def tokenize(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Int[Tensor, "B T"]:
    """Return token ids, padded to the longest text."""
    return tokenizer(texts, padding=True, truncation=True, return_tensors="pt")["input_ids"]


@torch.no_grad()
def measure(
    model: CLIPModel, tokenizer: PreTrainedTokenizerFast, num: int = 512, seed: int = 1
) -> dict[str, float]:
    """Return R@1 both ways on 200 held-out scenes and top-1 over 64 classes, each a share from 0 to 1."""
    images, texts = zip(*held_out_pairs(200, seed), strict=True)
    cosine_BB = embed_images(model, list(images)) @ embed_texts(model, tokenizer, list(texts)).T
    truth_B = torch.arange(len(cosine_BB))
    pictures, labels = zip(*class_pictures(num, seed), strict=True)
    prompts_KCE = [embed_texts(model, tokenizer, [t.format(c=c) for c in CLASS_NAMES]) for t in TEMPLATES]
    class_CE = F.normalize(torch.stack(prompts_KCE).mean(0), dim=-1)
    answers = (embed_images(model, list(pictures)) @ class_CE.T).argmax(1)
    return {
        "text to image R@1": _share(cosine_BB.argmax(0) == truth_B),
        "image to text R@1": _share(cosine_BB.argmax(1) == truth_B),
        "top-1": _share(answers == torch.tensor(labels)),
    }


def embed_images(model: CLIPModel, images: list[Image.Image]) -> Float[Tensor, "B E"]:
    """Return L2-normalised image embeddings."""
    return F.normalize(model.get_image_features(to_pixels(images)).pooler_output, dim=-1)


def embed_texts(
    model: CLIPModel, tokenizer: PreTrainedTokenizerFast, texts: list[str]
) -> Float[Tensor, "B E"]:
    """Return L2-normalised text embeddings."""
    return F.normalize(model.get_text_features(tokenize(tokenizer, texts)).pooler_output, dim=-1)


def write(model: CLIPModel, folder: Path) -> None:
    """Write config, fp16 weights, tokenizer and image processor; each file replaces an older one whole."""
    folder.mkdir(parents=True, exist_ok=True)
    # A tokenizer in use would take its latest padding along: a fresh one is written.
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        for part in (copy.deepcopy(model).half(), make_tokenizer(), make_processor()):
            part.save_pretrained(unfinished)
        for file in Path(unfinished).iterdir():
            file.replace(folder / file.name)


def _share(hits: Tensor) -> float:
    return hits.float().mean().item()


if __name__ == "__main__":
    main()
