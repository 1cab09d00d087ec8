"""Zero-shot classification: the class whose name, put into templates, lies nearest to the image.

N samples, C classes, E embedding.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tclip.evaluate.encoder import Encoder, embed_all
from tclip.evaluate.ranks import ranks

TOP = 5


def build_classifier(
    encoder: Encoder, prompts: Sequence[Sequence[str]], batch_size: int
) -> Float[Tensor, "C E"]:
    """Return one vector a class: the mean of its prompts' normalised embeddings, normalised again.

    Radford et al., 2021, section 3.1.4 (prompt ensembling in embedding space).

    Args:
        encoder: embeds the prompts.
        prompts: the texts of every class, at least one each.
        batch_size: texts at a time.
    """
    texts = [text for of_class in prompts for text in of_class]
    embeddings = torch.nn.functional.normalize(embed_all(encoder.embed_texts, texts, batch_size), dim=-1)
    means = [part.mean(dim=0) for part in embeddings.split([len(of_class) for of_class in prompts])]
    return torch.nn.functional.normalize(torch.stack(means), dim=-1)


def classification_metrics(
    image_NE: Float[Tensor, "N E"], classifier_CE: Float[Tensor, "C E"], label_N: Int[Tensor, "N"]
) -> dict[str, float]:
    """Return CLIP_benchmark's acc1, acc5 and mean_per_class_recall, each in [0, 1].

    acc5 is left out where there are no more than five classes: it would be 1 whatever the model does.
    The mean per-class recall is over the classes that have samples. Equal scores rank by class index.

    Args:
        image_NE: normalised embeddings of the images.
        classifier_CE: one normalised vector a class.
        label_N: the true class of each image.
    """
    num_classes = len(classifier_CE)
    rank_N = ranks(image_NE, classifier_CE, label_N)
    right_N = (rank_N == 0).double()
    count_C = torch.bincount(label_N, minlength=num_classes)
    right_C = torch.bincount(label_N, weights=right_N, minlength=num_classes)
    there_C = count_C > 0
    metrics = {"acc1": right_N.mean().item()}
    if num_classes > TOP:
        metrics["acc5"] = (rank_N < TOP).double().mean().item()
    metrics["mean_per_class_recall"] = (right_C[there_C] / count_C[there_C]).mean().item()
    return metrics
