"""The tokenizer and the image processor of a model in open_clip's layout, as objects of transformers."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tclip.errors import ModelError
from tclip.models.open_clip.config import OpenClip, Tokenizing

CLIPS_OWN = "openai/clip-vit-large-patch14"  # whose BPE is that of open_clip
_BPE_FILES = ({"tokenizer.json"}, {"vocab.json", "merges.txt"})
_PUNCTUATION = r"[!-/:-@\[-`{-~]"  # ASCII's, as string.punctuation


def check_tokenizer_files(names: Iterable[str], tokenizing: Tokenizing, where: str) -> None:
    """Refuse a model whose vocabulary is not among its files: open_clip may take it from elsewhere.

    Args:
        names: of the model's files.
        tokenizing: what its config says.
        where: the model's name, for the message.

    Raises:
        ModelError: it says which files to put where.
    """
    there = set(names)
    wanted = ({"tokenizer.json"},) if tokenizing.hub_name else _BPE_FILES
    if any(files <= there for files in wanted):
        return
    either = " or ".join(" and ".join(sorted(files)) for files in wanted)
    raise ModelError(
        f"{where} has no tokenizer files: put {either} with tokenizer_config.json of "
        f"{tokenizing.hub_name or CLIPS_OWN} into a folder with its config and weights, and give that folder."
    )


def read_tokenizer(folder: Path, open_clip: OpenClip) -> Any:
    """Read a tokenizer that gives the ids of open_clip's own.

    CLIP's BPE is CLIPTokenizer, another vocabulary is used as its tokenizer.json says. What open_clip does
    to texts before (lower case, no punctuation) goes into the tokenizer, and so into the files saved from
    it. Not done: open_clip mends wrongly decoded characters (ftfy) and decodes HTML's entities.

    Raises:
        ModelError: the vocabulary is missing, or its end or padding token is none of the model's.
    """
    from transformers import CLIPTokenizer, PreTrainedTokenizerFast

    tokenizing, where = open_clip.tokenizing, str(folder)
    check_tokenizer_files((file.name for file in folder.iterdir()), tokenizing, where)
    reader = PreTrainedTokenizerFast if tokenizing.hub_name else CLIPTokenizer
    tokenizer = reader.from_pretrained(folder, local_files_only=True)
    if tokenizing.hub_name:
        steps = [*_cleaning(tokenizing.cleaning), tokenizer.backend_tokenizer.normalizer]
        tokenizer.backend_tokenizer.normalizer = _sequence(steps)
    tokenizer.model_max_length = tokenizing.context_length
    tokenizer.padding_side = "right"
    rows = int(open_clip.config["text_config"]["vocab_size"])
    # a vocabulary may end with entries that no text yields and the model does not know, as mT5's
    beyond = [
        token for token in (tokenizer.eos_token_id, tokenizer.pad_token_id) if token is None or token >= rows
    ]
    if beyond:
        raise ModelError(
            f"The tokenizer in {where} does not fit the model (its end or padding token is {beyond[0]}, of "
            f"{rows} embeddings): put the files of {tokenizing.hub_name or CLIPS_OWN} there."
        )
    return tokenizer


def make_image_processor(open_clip: OpenClip) -> Any:
    """Make the PIL image processor that a config describes."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    settings = dict(open_clip.preprocessor)
    squashes = settings.pop("image_processor_type") == "SiglipImageProcessor"
    return SiglipImageProcessorPil(**settings) if squashes else CLIPImageProcessorPil(**settings)


def _cleaning(name: str) -> list[Any]:
    """Return normalizers for one of open_clip's ways to clean a text."""
    from tokenizers import Regex, normalizers

    spaces = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    underscores = [normalizers.Replace("_", " ")]
    steps: dict[str, list[Any]] = {
        "whitespace": [],
        "whitespace_underscore": underscores,
        "lower": [normalizers.Lowercase()],
        "canonicalize": [*underscores, normalizers.Replace(Regex(_PUNCTUATION), ""), normalizers.Lowercase()],
    }
    return [*steps[name], *spaces]


def _sequence(steps: list[Any]) -> Any:
    from tokenizers import normalizers

    return normalizers.Sequence([step for step in steps if step is not None])
