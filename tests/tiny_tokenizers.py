"""Real tokenizers of every kind the supported families use, with a vocabulary of a few hundred entries."""

import string

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import (
    BertTokenizer,
    CLIPTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Siglip2Tokenizer,
    XLMRobertaTokenizer,
)

_SENTENCES = (
    "a photo of one big red cat and two small blue dogs in the house",
    "an old man with three green balls sits left on a yellow box under water",
    "the child plays right over that picture of circle square tree woman dog ball runs",
)
WORDS = tuple(dict.fromkeys(" ".join(_SENTENCES).split()))
HAN = "一只猫狗的照片红色绿蓝大小在上下和"
LETTERS = string.ascii_lowercase + string.digits


def clip_tokenizer(max_tokens: int) -> PreTrainedTokenizerBase:
    """Byte-level BPE with end-of-word marks, as CLIP's; the words above are one token each."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    symbols = [*letters, *(letter + "</w>" for letter in letters)]
    merges = _merges([[*word[:-1], word[-1] + "</w>"] for word in WORDS])
    tokens = [*symbols, *("".join(pair) for pair in merges), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab=_numbered(tokens), merges=merges, model_max_length=max_tokens)


def bert_tokenizer(max_tokens: int) -> PreTrainedTokenizerBase:
    """WordPiece, as BERT's and Chinese-CLIP's, with letters and a few Chinese characters."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = [*specials, *LETTERS, *("##" + letter for letter in LETTERS), *HAN, *WORDS[1:]]
    return BertTokenizer(vocab=_numbered(tokens), model_max_length=max_tokens)


def xlm_roberta_tokenizer(max_tokens: int) -> PreTrainedTokenizerBase:
    """Unigram with metaspace, as XLM-RoBERTa's: <s> 0, <pad> 1, </s> 2, <unk> 3."""
    vocab = [*((token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")), *_pieces(), ("<mask>", 0.0)]
    return XLMRobertaTokenizer(vocab=vocab, model_max_length=max_tokens)


def siglip_tokenizer(max_tokens: int) -> PreTrainedTokenizerBase:
    """Unigram, lower case, </s> both ends a text and pads it, as the tokenizer.json of SigLIP."""
    tokenizer = Tokenizer(Unigram([("<unk>", 0.0), ("</s>", 0.0), *_pieces()], unk_id=0))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        eos_token="</s>",
        pad_token="</s>",
        model_max_length=max_tokens,
        model_input_names=["input_ids"],
    )


def siglip2_tokenizer(max_tokens: int) -> PreTrainedTokenizerBase:
    """Gemma's BPE over metaspaces, lower case, <eos> at the end, as SigLIP 2's."""
    merges = _merges([["▁", *word] for word in WORDS] + [list(word) for word in WORDS])
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += ["▁", *LETTERS, *("".join(pair) for pair in merges)]
    tokenizer = Siglip2Tokenizer(
        vocab=_numbered(tokens),
        merges=merges,
        padding_side="right",
        model_max_length=max_tokens,
        model_input_names=["input_ids"],
    )
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        "$A <eos>", special_tokens=[("<eos>", 1)]
    )
    return tokenizer


def _merges(words: list[list[str]]) -> list[tuple[str, str]]:
    """Return the merges that join each word, a list of symbols, from left to right."""
    merges: dict[tuple[str, str], None] = {}
    for symbols in words:
        joined = symbols[0]
        for symbol in symbols[1:]:
            merges[(joined, symbol)] = None
            joined += symbol
    return list(merges)


def _pieces() -> list[tuple[str, float]]:
    """Return Unigram pieces with log probabilities: whole words are likelier than letters."""
    return [("▁", -4.0), *(("▁" + word, -2.0) for word in WORDS), *((letter, -6.0) for letter in LETTERS)]


def _numbered(tokens: list[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}
