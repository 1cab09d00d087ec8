"""What was tried beside `best` (tests/benchmarks/quality/candidates) still trains, and does what it says."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from tclip.distill.losses import Views, contrastive
from tclip.packed.load import load_packed
from tclip.ternary.latent import latent_weights
from tests.benchmarks.quality.candidates import CANDIDATES, Candidate, trying
from tests.benchmarks.quality.candidates.averages import AveragedLatents, Averaging
from tests.benchmarks.quality.candidates.codes import Freezing
from tests.benchmarks.quality.candidates.contrasts import FastClip, HardNegatives
from tests.benchmarks.quality.candidates.tokens import FewerPixels, merge
from tests.distill.making import losses, make_run, recipe, train_run

Make = Callable[..., Path]


def trained(
    candidate: Candidate | None, folder: Path, calibrated: Path, made: Any
) -> tuple[list[float], Any]:
    """The losses of a short training, and the model that it ends in."""
    run = make_run(folder, calibrated, made)
    with trying(candidate):
        train_run(run)
    return losses(run.folder), load_packed(run.trained)


def views(num: int = 6, width: int = 8) -> Views:
    """Random embeddings, with gradients."""
    image, text, teacher_image, teacher_text = (normalize(torch.randn(num, width), dim=-1) for _ in range(4))
    image.requires_grad_(True)
    scale = torch.tensor(5.0)
    return Views(image, text, image, text, teacher_image, teacher_text, scale, None, scale)


@pytest.fixture(scope="module")
def plainly(
    tiny_folder: Make, pairs: Path, calibrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[float]:
    """The losses of tclip's own training."""
    return trained(None, tmp_path_factory.mktemp("plain") / "run", calibrated, short(tiny_folder, pairs))[0]


def short(tiny_folder: Make, pairs: Path) -> Any:
    """A recipe of four steps, of more pairs than a hard negative is chosen from."""
    return recipe(tiny_folder("clip"), pairs, train={"steps": 4, "batch_size": 12, "margin": 0.02})


@pytest.mark.parametrize("name", sorted(set(CANDIDATES) - {"freezing", "averaged-latents"}))
def test_each_trains_another_way(
    name: str, plainly: list[float], tiny_folder: Make, pairs: Path, calibrated: Path, tmp_path: Path
) -> None:
    found, _ = trained(CANDIDATES[name], tmp_path / "run", calibrated, short(tiny_folder, pairs))
    assert all(torch.isfinite(torch.tensor(found)))
    assert found != plainly


def test_as_many_hard_negatives_as_there_are_make_the_plain_loss() -> None:
    torch.manual_seed(0)
    batch = views()
    everything = SimpleNamespace(num_negatives=5)
    everything._one_way = HardNegatives._one_way.__get__(everything)
    assert torch.allclose(HardNegatives.contrast(everything, batch), contrastive(batch))
    everything.num_negatives = 2
    assert HardNegatives.contrast(everything, batch) < contrastive(batch)


def test_with_gamma_one_fast_clip_has_the_gradient_of_the_batch() -> None:
    torch.manual_seed(1)
    batch = views()
    trainer: Any = SimpleNamespace(gamma=1.0, keys=list("abcdef"), estimates={}, largest_logit=60.0)
    for method in ("_one_way", "_moved"):
        setattr(trainer, method, getattr(FastClip, method).__get__(trainer))
    (found,) = torch.autograd.grad(FastClip.contrast(trainer, batch), batch.image_BE)
    logits = batch.scale * batch.image_BE @ batch.text_BE.T
    away = torch.eye(6, dtype=torch.bool)
    sides = [
        (x - x.diagonal()[:, None]).masked_fill(away, -torch.inf).logsumexp(1) for x in (logits, logits.T)
    ]
    (expected,) = torch.autograd.grad(sum(side.mean() for side in sides) / 2, batch.image_BE)
    assert torch.allclose(found, expected, atol=1e-5)
    assert len(trainer.estimates) == 12


def test_merged_tokens_are_weighted_means_of_what_they_stand_for() -> None:
    torch.manual_seed(2)
    tokens = torch.randn(3, 9, 4)
    sizes = torch.randint(1, 4, (3, 9, 1)).float()
    left, stand = merge(tokens, torch.randn(3, 9, 5), sizes, 2)
    assert left.shape == (3, 7, 4)
    assert torch.equal(stand.sum(1), sizes.sum(1))
    assert torch.allclose((left * stand).sum(1), (tokens * sizes).sum(1), atol=1e-5)
    assert torch.allclose(left[:, 0], tokens[:, 0])


def test_the_nearest_are_merged() -> None:
    key = torch.eye(5)[[0, 1, 2, 1, 4]][None]  # tokens 1 and 3 are of B; token 2 of A is like neither
    key[0, 2] = key[0, 3]
    left, stand = merge(torch.arange(5.0)[None, :, None], key, torch.ones(1, 5, 1), 1)
    assert stand.flatten().tolist() == [1, 1, 2, 1]
    assert left.flatten().tolist() == [0, 4, 1.5, 3]


def test_training_ends_in_the_mean(tiny_folder: Make, pairs: Path, calibrated: Path, tmp_path: Path) -> None:
    kept: list[list[torch.Tensor]] = []

    class Watched(AveragedLatents):
        def run(self, batches: Any) -> None:
            Averaging.run(self, batches)
            kept.append([x.detach().clone() for x in self.trained])
            super().run(iter([]))
            kept.append([x.detach().clone() for x in self.trained])
            assert all(torch.equal(*both) for both in zip(kept[1], self.means, strict=True))

    made = recipe(tiny_folder("clip"), pairs)
    trained(Candidate(Watched), tmp_path / "run", calibrated, made)
    last, mean = kept
    assert not any(torch.equal(*both) for both in zip(last[:5], mean[:5], strict=True))


def test_frozen_weights_stay_where_they_were_most(
    tiny_folder: Make, pairs: Path, calibrated: Path, tmp_path: Path
) -> None:
    shares: list[float] = []

    class Watched(Freezing):
        momentum, most_returns = 0.5, 0.3

        def _step(self, batch: Any, progress: float) -> Any:
            result = super()._step(batch, progress)
            for name, _, weight in latent_weights(self.student.model):
                if name in self.known:
                    state = self.known[name]
                    assert torch.equal(weight[state.frozen], state.value[state.frozen])
            frozen = torch.cat([state.frozen.flatten() for state in self.known.values()])
            shares.append(float(frozen.float().mean()))
            return result

    made = recipe(tiny_folder("clip"), pairs, train={"steps": 8, "lr": 1e-2, "margin": 0.02})
    trained(Candidate(Watched), tmp_path / "run", calibrated, made)
    assert shares == sorted(shares)
    assert 0 == shares[1] < shares[-1] < 1


def test_fewer_pixels_are_seen_first(
    tiny_folder: Make, pairs: Path, calibrated: Path, tmp_path: Path
) -> None:
    seen: list[int] = []

    class Watched(FewerPixels):
        def _step(self, batch: Any, progress: float) -> Any:
            hook = self.student.model.vision_model.embeddings.patch_embedding.register_forward_hook(
                lambda _, inputs, __: seen.append(inputs[0].shape[-1])
            )
            result = super()._step(batch, progress)
            hook.remove()
            return result

    made = recipe(tiny_folder("clip"), pairs, train={"steps": 6}, teacher={"cache": False})
    trained(Candidate(Watched), tmp_path / "run", calibrated, made)
    assert len(seen) == 6
    assert seen[0] == seen[3] < seen[4] == seen[5]
