"""Loading an ordinary (dense) CLIP, and making the model that a packed one fills."""

from typing import Any

from tclip.errors import ModelError
from tclip.models.clip import Clip
from tclip.models.fetch import ModelFiles, fetch


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
    """Read the dense weights of a folder into its stock transformers model, float32.

    Raises:
        ModelError: the weights do not fit the configuration, or lack some.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model, report = AutoModel.from_pretrained(
            files.folder,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{files.source.id} cannot be loaded: {error}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"{files.source.id} lacks {len(missing)} weights of its own architecture, such as {missing[0]}: "
            "it may be half downloaded, or no dual encoder."
        )
    return model.eval()


def empty_model(files: ModelFiles, device: str = "cpu") -> Any:
    """Make the model that a config describes, its weights not set; on "meta" it costs no memory.

    Raises:
        ModelError: transformers refuses the configuration.
    """
    import torch
    from transformers import AutoConfig, AutoModel
    from transformers.initialization import no_init_weights

    try:
        config = AutoConfig.from_pretrained(files.folder, local_files_only=True)
        with torch.device(device), no_init_weights():
            return AutoModel.from_config(config, dtype=torch.float32).eval()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"The config.json of {files.source.id} does not describe a model: {error}"
        ) from error


def clip_from(files: ModelFiles, model: Any) -> Clip:
    """Join a model with the tokenizer and the PIL image processor of its folder.

    Raises:
        ModelError: one of the two is missing or cannot be read.
    """
    from transformers import AutoImageProcessor, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(files.folder, local_files_only=True)
        image_processor = AutoImageProcessor.from_pretrained(
            files.folder, local_files_only=True, backend="pil"
        )
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        raise ModelError(
            f"The tokenizer or the image preprocessor of {files.source.id} cannot be loaded: {error}"
        ) from error
    return Clip(model, tokenizer, image_processor, files.source)
