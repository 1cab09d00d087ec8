"""What each weight costs alone: it is made ternary, or rounded to 4 bits, while all others stay float.

The cost is the mean of 1 - cosine of the tower's embeddings to the original's, half their squared distance.
Errors of different weights hang together little, so their squares add up, and a sum of costs can be made
small (knapsack.py). The divergence of the similarity rows is told beside it. It ranks the weights nearly
alike, but of few pairs that are easily told apart it sees little: where the answers are certain, no error
shows. 8 bits are not tried: their steps are a 16th of those of 4, and small errors cost by their square.

B unseen pairs, E embedding.
"""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tclip.calibrate.calibrate import Pairs
from tclip.calibrate.importance import importance, weight_of
from tclip.calibrate.layer import (
    Chunk,
    calibrate_layer,
    calibrate_table,
    sum_tokens,
    tokens,
    weight_name,
)
from tclip.calibrate.moments import Moments
from tclip.calibrate.tower import parts_of, tables_of
from tclip.calibrate.walk import BEFORE, Embed, Walk, find_blocks
from tclip.models.clip import Clip, Inputs
from tclip.models.sites import Plan, Site
from tclip.recipe.quantize import Quantize
from tclip.recipe.schema import Calibrate
from tclip.ternary.activations import quantize_activations
from tclip.ternary.integers import round_weight

FORMS: dict[str, int | None] = {"ternary": None, "4 bits": 4, "8 bits": 8}
TRIED = ("ternary", "4 bits")
FINER = 256  # times less than 4 bits do 8 bits cost; 160 to 410 on the reference CLIP, of very little


@dataclass(frozen=True)
class Cost:
    """How far the model moves.

    Attributes:
        distance: mean 1 - cosine of the tower's embeddings to the original's.
        divergence: mean KL divergence of the similarity rows of unseen pairs from the original's, in nats.
    """

    distance: float
    divergence: float


@dataclass(frozen=True)
class Rating:
    """One weight.

    Attributes:
        name: the parameter.
        tower: "image" or "text".
        role: what it does.
        num_weights: how many numbers it holds.
        costs: by form, a key of FORMS.
    """

    name: str
    tower: str
    role: str
    num_weights: int
    costs: Mapping[str, Cost]

    def to_dict(self) -> dict[str, Any]:
        """Return the rating for JSON."""
        return asdict(self)


def read_rating(document: Mapping[str, Any]) -> Rating:
    """Return a rating that to_dict wrote.

    Raises:
        KeyError, TypeError: it is none.
    """
    costs = {form: Cost(**document["costs"][form]) for form in FORMS}
    return Rating(**{**document, "costs": costs})


class Meter:
    """Compares embeddings of unseen pairs with the original's."""

    def __init__(self, clip: Clip, unseen: Pairs) -> None:
        self._logits = clip.logits
        self._wanted = {
            "image": torch.cat([clip.embed_images(chunk) for chunk in unseen.images]),
            "text": torch.cat([clip.embed_texts(chunk) for chunk in unseen.texts]),
        }
        self._wanted_rows = self._rows(self._wanted)

    def cost(self, tower: str, embedding_BE: Float[Tensor, "B E"]) -> Cost:
        """Return what other embeddings of one tower cost, those of the other one being the original's."""
        rows = zip(self._wanted_rows, self._rows({**self._wanted, tower: embedding_BE}), strict=True)
        divergences = [(wanted.exp() * (wanted - found)).sum(-1).mean() for wanted, found in rows]
        # of unit vectors; 1 - cosine itself would drown in float32's rounding where it is small
        squared_B = (embedding_BE - self._wanted[tower]).double().square().sum(-1)
        return Cost(float(squared_B.mean() / 2), float(sum(divergences)) / len(divergences))

    def _rows(self, embeddings: Mapping[str, Tensor]) -> list[Tensor]:
        """Log-probabilities of the texts for each image, and of the images for each text."""
        logits_BB = self._logits(embeddings["image"], embeddings["text"]).double()
        return [logits_BB.log_softmax(-1), logits_BB.T.log_softmax(-1)]


@dataclass
class _Tower:
    """One tower of the float model, in which one weight after the other is changed and put back.

    Attributes:
        which: "image" or "text".
        embed: its embeddings.
        pairs, unseen: its inputs.
        names: all its parameters.
        sites: the weights to be rated, by name.
        rated: told of each rating.
    """

    clip: Clip
    which: str
    embed: Embed
    pairs: Sequence[Inputs]
    unseen: Sequence[Inputs]
    names: Sequence[str]
    sites: dict[str, Site]
    quantize: Quantize
    settings: Calibrate
    meter: Meter
    rated: Callable[[Rating], None]

    def rate(self) -> None:
        """Rate the weights in the order in which they run, then those whose inputs cannot be seen."""
        model, open_sites = self.clip.model, dict(self.sites)
        parts = parts_of(model, self.names)
        self._importance = importance(self.embed, parts | tables_of(model, self.sites), self.pairs)
        if not self.settings.outputs:
            self._importance.outputs.clear()
        walk, ahead = (
            Walk((model,), (self.embed,), find_blocks(self.names), chunks)
            for chunks in (self.pairs, self.unseen)
        )
        for segment in walk.segments:
            for name in dict(walk.order(segment, parts)):
                site = open_sites.pop(f"{name}.{weight_name(parts.pop(name))}", None)
                if site:
                    moments = self._moments(walk, segment, name)
                    self._rate(site, moments, partial(ahead.embeddings, segment))
            walk.leave(segment)
            ahead.leave(segment)
        for site in open_sites.values():
            self._rate(site, None, partial(ahead.embeddings, BEFORE))

    def _moments(self, walk: Walk, segment: str, name: str) -> Moments:
        module = self.clip.model.get_submodule(name)

        def chunks() -> Iterator[Chunk]:
            for index, (seen,) in enumerate(walk.inputs(segment, [name])):
                weight_N = weight_of(self._importance.tokens, name, index, tokens(module, seen[name]))
                yield seen[name], seen[name], weight_N, None

        return sum_tokens(module, chunks())

    def _rate(self, site: Site, moments: Moments | None, embeddings: Callable[[], Tensor]) -> None:
        module = self.clip.model.get_submodule(site.name.rpartition(".")[0])
        original, costs = copy.deepcopy(module), {}
        for form in TRIED:
            bits = FORMS[form]
            self._calibrate(site.name, original, module, moments, bits)
            rounds = bits is None and self.quantize.activations == "int8"
            handles = quantize_activations(self.clip.model, [site.name]) if rounds else []
            costs[form] = self.meter.cost(self.which, embeddings())
            for handle in handles:
                handle.remove()
            module.load_state_dict(original.state_dict())
        costs["8 bits"] = Cost(*(cost / FINER for cost in astuple(costs["4 bits"])))
        self.rated(Rating(site.name, site.tower, site.role, site.num_weights, costs))

    def _calibrate(
        self, name: str, original: nn.Module, module: Any, moments: Moments | None, bits: int | None
    ) -> None:
        """Give one weight the codes that calibration would, in the form of these bits."""
        module_name, _, attribute = name.rpartition(".")
        output_OO = self._importance.outputs.get(module_name)
        if moments is not None:
            calibrate_layer(original, module, moments, self.quantize, self.settings, bits, output_OO)
        elif isinstance(original, nn.Embedding) and output_OO is not None and self.settings.method == "gptq":
            calibrate_table(original, module, output_OO, self.quantize, bits)
        else:
            weight = getattr(original, attribute)
            rounded = round_weight(weight, bits, self.quantize.quantizer, self.quantize.scale)
            getattr(module, attribute).copy_(rounded.dense())


@torch.no_grad()
def rate(
    clip: Clip,
    plan: Plan,
    quantize: Quantize,
    settings: Calibrate,
    pairs: Pairs,
    unseen: Pairs,
    rated: Callable[[Rating], None],
    known: Collection[str] = (),
) -> None:
    """Rate every weight that is to become ternary, one by one.

    Each is calibrated as the recipe says, on the inputs that it has in the original. Only what lies behind
    it is run to see what it costs.

    Args:
        clip: the original; each weight is changed in place for the while.
        plan: what becomes ternary.
        quantize, settings: of the recipe.
        pairs: what to calibrate on.
        unseen: other pairs, to measure the costs on.
        rated: told of each rating as soon as it is made.
        known: names of weights that need no rating.
    """
    meter = Meter(clip, unseen)
    for which, embed, ours, theirs in (
        ("image", clip.embed_images, pairs.images, unseen.images),
        ("text", clip.embed_texts, pairs.texts, unseen.texts),
    ):
        decisions = [decision for decision in plan.decisions if decision.site.tower == which]
        names = [decision.site.name for decision in decisions]
        sites = {d.site.name: d.site for d in decisions if d.ternary and d.site.name not in known}
        if sites:
            _Tower(clip, which, embed, ours, theirs, names, sites, quantize, settings, meter, rated).rate()
