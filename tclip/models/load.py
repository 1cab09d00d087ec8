"""Loading an ordinary (dense) CLIP, and making the model that a packed one fills."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tclip.errors import ModelError, first_line
from tclip.models.clip import Clip
from tclip.models.fetch import ModelFiles, fetch

VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model")
# what transformers raises for files that say something else than it expects
_REFUSALS = (ValueError, KeyError, TypeError, AttributeError)


def load_dense(spec: str, revision: str | None = None) -> Clip:
    """Load a CLIP of any supported family in float32, evaluation mode.

    Args:
        spec: Hub id, alias or local folder.
        revision: branch, tag or commit on the Hub.

    Raises:
        ModelError: it cannot be found or read, is of another architecture, or is packed already.
    """
    files = fetch(spec, revision)
    if files.is_packed:
        raise ModelError(f"{spec} is ternary already: give the model it was made from.")
    return clip_from(files, dense_model(files))


def dense_model(files: ModelFiles) -> Any:
    """Read the dense weights of a folder into its stock transformers model, float32, evaluation mode.

    Raises:
        ModelError: the weights cannot be read, do not fit the configuration, or lack some.
    """
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers import AutoModel

    with _quiet():
        try:
            model, report = AutoModel.from_pretrained(
                files.folder,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except (*_REFUSALS, OSError, RuntimeError, SafetensorError, StrictDataclassError) as error:
            raise ModelError(
                f"The weights of {files.source.id} cannot be read ({first_line(error)}): fetch it again."
            ) from error
    _refuse_incomplete(report, files.source.id)
    return model.eval()


def empty_model(files: ModelFiles, device: str = "cpu") -> Any:
    """Make the model that a config describes, its weights not set; on "meta" it costs no memory.

    Raises:
        ModelError: transformers refuses the configuration.
    """
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from transformers import CONFIG_MAPPING, AutoModel
    from transformers.initialization import no_init_weights

    # transformers does not know our quantization, and must not look for it
    described = {key: value for key, value in files.config.items() if key != "quantization_config"}
    with _quiet():
        try:
            config = CONFIG_MAPPING[described["model_type"]].from_dict(described)
            with torch.device(device), no_init_weights():
                return AutoModel.from_config(config, dtype=torch.float32).eval()
        except (*_REFUSALS, RuntimeError, StrictDataclassError) as error:
            raise ModelError(
                f"The config.json of {files.source.id} does not describe a model ({first_line(error)}): "
                "fetch it again."
            ) from error


def clip_from(files: ModelFiles, model: Any) -> Clip:
    """Join a model with the tokenizer and the PIL image processor of its folder.

    Raises:
        ModelError: one of the two is missing or cannot be read.
    """
    with _quiet():
        tokenizer = _part(files, "tokenizer", _read_tokenizer)
        image_processor = _part(files, "image preprocessor", _read_image_processor)
    return Clip(model, tokenizer, image_processor, files.source)


def _part(files: ModelFiles, what: str, read: Any) -> Any:
    try:
        return read(files)
    except (*_REFUSALS, OSError, ImportError) as error:
        raise ModelError(
            f"The {what} of {files.source.id} cannot be loaded ({first_line(error)}): put its files into the "
            "folder, as on the Hub."
        ) from error


def _read_tokenizer(files: ModelFiles) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not any(next(files.folder.glob(pattern), None) for pattern in VOCABULARIES):
        # transformers would make a tokenizer that knows no word, and every text would be the same
        raise FileNotFoundError(f"none of {', '.join(VOCABULARIES)}")
    try:
        return AutoTokenizer.from_pretrained(files.folder, local_files_only=True, trust_remote_code=False)
    except ImportError as error:
        # SigLIP's own class wants sentencepiece, but its tokenizer.json says the same without
        if not (files.folder / "tokenizer.json").is_file():
            raise ModelError(
                f"{files.source.id} has its vocabulary only as a SentencePiece model: install the reader for "
                "it with `pip install sentencepiece protobuf`, or put its tokenizer.json into the folder."
            ) from error
        return PreTrainedTokenizerFast.from_pretrained(files.folder, local_files_only=True)


def _read_image_processor(files: ModelFiles) -> Any:
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(
        files.folder, local_files_only=True, trust_remote_code=False, backend="pil"
    )


def _refuse_incomplete(report: dict[str, Any], model_id: str) -> None:
    mismatched = sorted(report["mismatched_keys"], key=str)
    if mismatched:
        name, found, wanted = mismatched[0]
        raise ModelError(
            f"{len(mismatched)} weights of {model_id} do not have the shape that its config.json says, such "
            f"as {name} {list(found)} for {list(wanted)}: fetch both from the same revision."
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"{model_id} lacks {len(missing)} weights of its own architecture, such as {missing[0]}: give a "
            "model with both towers and their projections."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bars and warnings off the terminal: what matters is raised here."""
    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
