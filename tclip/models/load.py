"""Loading an ordinary (dense) CLIP, and making the model that a packed one fills."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tclip.errors import ModelError, first_line
from tclip.models.clip import Clip
from tclip.models.fetch import ModelFiles, fetch
from tclip.models.weights import single_file

VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model")
# what transformers raises for files that say something else than it expects
_REFUSALS = (ValueError, KeyError, TypeError, AttributeError)
Report = dict[str, Any]  # what transformers says about loading, by kind of trouble


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


def dense_model(files: ModelFiles, dtype: str = "float32") -> Any:
    """Read the dense weights of a folder into its stock transformers model, evaluation mode.

    Args:
        files: the folder.
        dtype: of the model; "auto": the one that config.json names.

    Raises:
        ModelError: the weights cannot be read, do not fit the configuration, or lack some.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    with quiet():
        try:
            model, report = _open_clip_model(files) if files.open_clip else _transformers_model(files, dtype)
        except (*_REFUSALS, OSError, RuntimeError, SafetensorError, StrictDataclassError) as error:
            raise ModelError(
                f"The weights of {files.source.id} cannot be read ({first_line(error)}): fetch it again."
            ) from error
    _refuse_incomplete(report, files)
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

    described = _without_quantization(files.config)
    with quiet():
        try:
            config = CONFIG_MAPPING[described["model_type"]].from_dict(described)
            with torch.device(device), no_init_weights():
                return AutoModel.from_config(config, dtype=torch.float32).eval()
        except (*_REFUSALS, RuntimeError, StrictDataclassError) as error:
            raise ModelError(
                f"The {files.layout.config_file} of {files.source.id} does not describe a model "
                f"({first_line(error)}): fetch it again."
            ) from error


def _without_quantization(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config without our quantization, in no part: the weights are given dense to this model."""
    return {
        key: _without_quantization(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key != "quantization_config"
    }


def clip_from(files: ModelFiles, model: Any) -> Clip:
    """Join a model with the tokenizer and the PIL image processor of its folder.

    Raises:
        ModelError: one of the two is missing or cannot be read.
    """
    with quiet():
        tokenizer = _part(files, "tokenizer", _read_tokenizer)
        image_processor = _part(files, "image preprocessor", _read_image_processor)
    return Clip(model, tokenizer, image_processor, files.source)


def _transformers_model(files: ModelFiles, dtype: str) -> tuple[Any, Report]:
    from transformers import AutoModel

    return AutoModel.from_pretrained(
        files.folder,
        dtype=dtype,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )


def _open_clip_model(files: ModelFiles) -> tuple[Any, Report]:
    from tclip.models.open_clip.weights import read_weights, shaped_like

    model = empty_model(files)
    wanted = model.state_dict()
    found = shaped_like(read_weights(single_file(files.folder)), wanted)
    fitting = {name: weight for name, weight in found.items() if name in wanted}
    misshapen = [name for name, weight in fitting.items() if weight.shape != wanted[name].shape]
    report = {
        "missing_keys": wanted.keys() - found.keys(),
        "unexpected_keys": found.keys() - wanted.keys(),
        "mismatched_keys": [(name, fitting.pop(name).shape, wanted[name].shape) for name in misshapen],
    }
    model.load_state_dict(fitting, strict=False)
    return model, report


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

    if files.open_clip:
        from tclip.models.open_clip.inputs import read_tokenizer

        return read_tokenizer(files.folder, files.open_clip)
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

    if files.open_clip:
        from tclip.models.open_clip.inputs import make_image_processor

        return make_image_processor(files.open_clip)
    return AutoImageProcessor.from_pretrained(
        files.folder, local_files_only=True, trust_remote_code=False, backend="pil"
    )


def _refuse_incomplete(report: Report, files: ModelFiles) -> None:
    model_id, config_file = files.source.id, files.layout.config_file
    mismatched = sorted(report["mismatched_keys"], key=str)
    if mismatched:
        name, found, wanted = mismatched[0]
        raise ModelError(
            f"{len(mismatched)} weights of {model_id} do not have the shape that its {config_file} says, "
            f"such as {name} {list(found)} for {list(wanted)}: fetch both from the same revision."
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"{model_id} lacks {len(missing)} weights of its own architecture, such as {missing[0]}: give a "
            "model with both towers and their projections."
        )
    # transformers' classes leave buffers in old files, but open_clip's every weight takes part
    surplus = sorted(report["unexpected_keys"]) if files.open_clip else []
    if surplus:
        raise ModelError(
            f"{model_id} has {len(surplus)} weights that its {config_file} does not account for, such as "
            f"{surplus[0]}: fetch both from the same revision."
        )


@contextmanager
def quiet() -> Iterator[None]:
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
