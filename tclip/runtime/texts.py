"""From texts to token ids: the same ids as transformers gives, cut where nothing behind can matter.

T tokens.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tclip.errors import DataError, ModelError, first_line
from tclip.runtime.folder import read_json

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
LEGACY_END = 2  # OpenAI's first configurations say this for 49407; transformers then pools at the largest id


class TextReader:
    """Turns texts into token ids for one model's text tower.

    Args:
        folder: of the model, with tokenizer.json and tokenizer_config.json.
        text_config: the text tower's part of config.json.
        num_positions: the longest text, in tokens, that the tower has positions for.

    Raises:
        ModelError: a file is missing or damaged.
    """

    def __init__(self, folder: Path, text_config: Mapping[str, Any], num_positions: int) -> None:
        self._path, self._text_config = folder / TOKENIZER_FILE, text_config
        if not self._path.is_file():
            raise ModelError(f"There is no {self._path}: put the model's tokenizer files into the folder.")
        self._config = read_json(folder / CONFIG_FILE, "tokenizer")
        self.max_tokens = self._max_tokens(num_positions)
        end = text_config.get("eos_token_id")
        if end is not None and type(end) is not int:
            raise ModelError(
                f"The config.json beside {self._path} says eos_token_id = {end!r}: fetch the model again."
            )

    def __call__(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of each text, int32 [T]; the last is the token that the tower pools.

        Texts that are too long are cut; their end token stays.

        Raises:
            DataError: a text is none: a part of it was not UTF-8.
            ModelError: the vocabulary is damaged.
        """
        for text in texts:
            _check_text(text)
        encoded = self._tokenizer.encode_batch(list(texts))
        return [self._pooled_last(np.array(each.ids, np.int32)) for each in encoded]

    def _max_tokens(self, num_positions: int) -> int:
        most = self._config.get("model_max_length") or num_positions
        # the end token, and one before it
        if type(most) not in (int, float) or not most >= 2:
            path = self._path.with_name(CONFIG_FILE)
            raise ModelError(f"{path} says model_max_length = {most!r}: fetch the model again.")
        return int(min(num_positions, most))

    @cached_property
    def _tokenizer(self) -> Any:
        # read when the first text comes: a vocabulary takes a tenth of a second
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(self._path))
        except Exception as error:  # the library raises nothing narrower
            raise ModelError(
                f"{self._path} cannot be read ({first_line(error)}): fetch the model again."
            ) from error
        tokenizer.no_padding()
        side = str(self._config.get("truncation_side", "right"))
        tokenizer.enable_truncation(self.max_tokens, direction=side)
        return tokenizer

    @property
    def _pools_last_position(self) -> bool:
        return self._text_config.get("model_type") == "siglip_text_model"

    def _pooled_last(self, ids_T: np.ndarray) -> np.ndarray:
        if self._pools_last_position:
            return self._padded(ids_T)
        end = self._text_config.get("eos_token_id")
        legacy = end == LEGACY_END and self._text_config.get("model_type") == "clip_text_model"
        # as transformers: the first largest id, or the first end token, or the first position of all
        position = ids_T.argmax() if legacy else (ids_T == end).argmax()
        return ids_T[: position + 1]

    def _padded(self, ids_T: np.ndarray) -> np.ndarray:
        padding = np.full(self.max_tokens - len(ids_T), self._pad_id, np.int32)
        left = self._config.get("padding_side") == "left"
        return np.concatenate([padding, ids_T] if left else [ids_T, padding])

    @cached_property
    def _pad_id(self) -> int:
        token = self._config.get("pad_token")
        text = token.get("content") if isinstance(token, dict) else token
        found = self._tokenizer.token_to_id(str(text))
        if found is None:
            raise ModelError(
                f'The vocabulary in {self._path} lacks the padding token "{text}": fetch it again.'
            )
        return int(found)


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"The text {text!r} is not UTF-8: write it as UTF-8.") from error
