"""How transformers calls the weights of a file: it renames some for the class that it loads."""

from collections.abc import Iterable
from typing import Any

from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key


def names_in_model(model: Any, names: Iterable[str]) -> dict[str, str]:
    """Map names of a file to the names that transformers gives them in a model, as it does while loading.

    A tower that is loaded alone has them without "vision_model." or "text_model.", a model with a head has
    them behind a prefix. Names that are not of the model are left out.

    Args:
        model: with dense layers; on "meta" it costs nothing.
        names: of parameters, as in the file.
    """
    known = model.state_dict()
    rules = get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    renamed = {
        name: rename_source_key(name, renamings, converters, model.base_model_prefix, known)[0]
        for name in names
    }
    # a rule that leads nowhere was meant for another file
    found = {name: new if new in known else name for name, new in renamed.items()}
    return {name: new for name, new in found.items() if new in known}
