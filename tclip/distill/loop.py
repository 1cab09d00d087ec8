"""The training loop, on Hugging Face Accelerate: one CPU, one GPU or many processes, the same lines.

Of the global batch: B pairs, M images, N texts, the pairs first. E the student's embedding, F the teacher's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tclip.data.loader import Batch
from tclip.distill.checkpoint import Position, checkpoints, load_checkpoint, save_checkpoint
from tclip.distill.layers import LayerLosses
from tclip.distill.log import add_line, cut_log
from tclip.distill.losses import Views, embedding_losses
from tclip.distill.precision import computing_in
from tclip.distill.schedule import Budget, learning_rate, strength, ternary_share
from tclip.distill.stopping import stop_signals
from tclip.distill.student import Student, parameter_groups, quantized_once
from tclip.distill.teacher import Teacher
from tclip.distill.tracking import Tracker
from tclip.distill.watch import Watch
from tclip.errors import TrainingError
from tclip.models.clip import Inputs
from tclip.progress import Progress
from tclip.recipe.schema import Train
from tclip.ternary.latent import set_strength

Rows = tuple[Tensor, ...]


@dataclass
class Trainer:
    """One training run.

    Attributes:
        accelerator: Accelerate's Accelerator.
        student: the student; trained in place.
        teacher: what it learns from.
        train: the recipe's section.
        folder: where checkpoints and the log go.
        progress: who is told.
        tracker: who is told of every line of the log too.
    """

    accelerator: Any
    student: Student
    teacher: Teacher
    train: Train
    folder: Path
    progress: Progress
    tracker: Tracker

    def __post_init__(self) -> None:
        if self.train.compile:
            self.student.compile()  # in place: parameters keep their names, so checkpoints fit both
        groups = parameter_groups(self.student, self.train)
        optimizer = torch.optim.AdamW(groups, lr=self.train.lr, betas=(0.9, 0.98), fused=True)
        self.wrapped, self.optimizer = self.accelerator.prepare(self.student, optimizer)
        self.layers = LayerLosses(self.student.model, self.teacher.clip.model, self.train.losses)
        self.budget = Budget(self.train.steps, self.train.minutes)
        self.watch = Watch(unit=sum(self.train.losses.model_dump().values()))

    def resume(self) -> int:
        """Take up the newest checkpoint, if there is one; return the step to go on from."""
        found = checkpoints(self.folder)
        if found:
            position = load_checkpoint(found[-1], self.student, self._plain_optimizer)
            self.budget = Budget(self.train.steps, self.train.minutes, position.step, position.seconds)
            self.watch.first_loss = position.first_loss
        if self.accelerator.is_main_process:
            cut_log(self.folder, self.budget.step)
        return self.budget.step

    def run(self, batches: Iterator[Batch]) -> None:
        """Train until the budget is used; batches begin at the step that resume() returned.

        Raises:
            TrainingError: the loss is not finite or has exploded.
            KeyboardInterrupt: Ctrl-C or SIGTERM; a checkpoint is written first.
        """
        self.progress.begin("train", self.train.steps)
        with stop_signals() as stopped:
            while (progress := self._agreed(self.budget.progress)) < 1:
                losses, norm = self._step(self._next(batches), progress)
                self.budget.step += 1
                self._tell(losses, norm, progress)
                ends = self._agreed(float(stopped.is_set())) > 0
                if ends or self.budget.step % self.train.checkpoint_every == 0:
                    self._save()
                if ends:
                    raise KeyboardInterrupt(
                        f"Training stopped after step {self.budget.step}; go on with --resume."
                    )
        if self.budget.step % self.train.checkpoint_every:
            self._save()

    def _next(self, batches: Iterator[Batch]) -> Batch:
        batch = next(batches)
        if not self.budget.started:
            # Finding the place again may take minutes, in one process more than in another: not of training.
            self.accelerator.wait_for_everyone()
            self.budget.start()
        return batch

    def _step(self, batch: Batch, progress: float) -> tuple[dict[str, float], float]:
        quantized = strength(progress, self.train)
        set_strength(self.student.model, quantized)
        rate = learning_rate(progress, self.train)
        bounded = ternary_share(self.budget.total_steps, self.train)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"] * (bounded if group["travels"] else 1)
        losses = self._losses(batch)
        total = self._total(losses)
        self.accelerator.backward(total)
        norm = float(self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.train.grad_clip))
        found = {name: float(self._averaged(value.detach())) for name, value in losses.items()}
        self._check(found, norm, quantized, batch)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return found, norm

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        own = {name: x for name, x in batch.images.items() if not name.startswith("teacher/")}
        texts = {name: x for name, x in batch.texts.items() if not name.startswith("teacher/")}
        with self.layers.recording():
            embeddings, targets = self._embeddings(batch, own, texts)
        # From here on in float32: in bfloat16 logits of 30 would come in steps of an eighth.
        image_ME, text_NE, image_MF, text_NF = (self._global(x.float(), batch.num_pairs) for x in embeddings)
        teacher_image_MF, teacher_text_NF = (
            self._global(x.detach().float(), batch.num_pairs) for x in targets
        )
        num_pairs = batch.num_pairs * self.accelerator.num_processes
        model: Any = self.student.model
        teacher = self.teacher.clip.model
        views = Views(
            image_ME[:num_pairs],
            text_NE[:num_pairs],
            image_MF,
            text_NF,
            teacher_image_MF,
            teacher_text_NF,
            scale=model.logit_scale.detach().exp().reshape(()),
            bias=model.logit_bias.detach().reshape(()) if hasattr(model, "logit_bias") else None,
            teacher_scale=teacher.logit_scale.detach().exp().reshape(()),
        )
        losses = embedding_losses(views, self.train.losses) | self.layers.losses(
            self._averaged, self.student.real_tokens(texts)
        )
        # The wrapper waits for the gradient of all that its answer was made of, needed or not.
        reached = torch.stack([0 * rows.float().sum() for rows in embeddings]).sum()
        return {name: value + reached for name, value in losses.items()}

    def _embeddings(self, batch: Batch, images: Inputs, texts: Inputs) -> tuple[Rows, Rows]:
        """Return the student's embeddings of a batch, and the teacher's."""
        with quantized_once(), computing_in(self.teacher.precision, self.accelerator.device):
            embeddings = self.wrapped(images, texts)
            if not self.layers.active:
                return embeddings, self.teacher.embed(batch)
            with torch.no_grad():
                clip = self.teacher.clip
                return embeddings, (clip.embed_images(images), clip.embed_texts(texts))

    def _total(self, losses: dict[str, Tensor]) -> Float[Tensor, ""]:
        """Add the losses up so that the wrapper's average of gradients is that of one process with all rows.

        Every process computes the embedding losses of the whole batch but their gradient reaches its own
        rows only, so the number of processes puts the sum back; layer losses are means of its own rows.
        """
        world = self.accelerator.num_processes
        factors = {name: 1 if name in LayerLosses.NAMES else world for name in losses}
        return torch.stack([factors[name] * value for name, value in losses.items()]).sum()

    def _averaged(self, value: Tensor) -> Tensor:
        return value if self.accelerator.num_processes == 1 else self.accelerator.reduce(value, "mean")

    def _global(self, local: Float[Tensor, "r D"], num_pairs: int) -> Float[Tensor, "R D"]:
        """Join the rows of all processes, all pairs first; gradients flow through this process's own."""
        if self.accelerator.num_processes == 1:
            return local
        parts = [self._gathered(part) for part in (local[:num_pairs], local[num_pairs:]) if len(part)]
        return torch.cat(parts)

    def _gathered(self, local: Tensor) -> Tensor:
        gathered = self.accelerator.gather(local.detach().contiguous())
        first = self.accelerator.process_index * len(local)
        return torch.cat([gathered[:first], local, gathered[first + len(local) :]])

    def _agreed(self, value: float) -> float:
        """Return the largest of the processes' values, so that all take the same turn."""
        if self.accelerator.num_processes == 1:
            return value
        return float(self.accelerator.gather(torch.tensor([value], device=self.accelerator.device)).max())

    def _check(self, losses: dict[str, float], norm: float, quantized: float, batch: Batch) -> None:
        """Judge a step before it changes a weight, so that a checkpoint never holds what it spoiled."""
        total = sum(losses.values())
        if self.watch.is_sound(total, norm, quantized):
            return
        last = checkpoints(self.folder)
        raise TrainingError(
            f"The loss is {total:.3g} and its gradient's norm {norm:.3g} at step {self.budget.step + 1}"
            f"{self.watch.beginning}; last good checkpoint: {last[-1] if last else 'none yet'}. "
            f"Lower train.lr (or train.ternary_lr, where it is set), or look at the batch: "
            f"{', '.join(batch.keys[:8])}{', ...' if len(batch.keys) > 8 else ''}."
        )

    def _tell(self, losses: dict[str, float], norm: float, progress: float) -> None:
        total = sum(losses.values())
        self.progress.update(self.budget.step, self.budget.total_steps, loss=total)
        if self.accelerator.is_main_process and self.budget.step % self.train.log_every == 0:
            rate = learning_rate(progress, self.train)
            line = {
                "step": self.budget.step,
                "seconds": round(self.budget.elapsed, 2),
                "loss": total,
                **losses,
                "lr": rate,
                "grad_norm": norm,
            }
            add_line(self.folder, line)
            self.tracker.tell(line)

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            position = Position(self.budget.step, self.budget.elapsed, self.watch.first_loss)
            save_checkpoint(self.folder, self.student, self._plain_optimizer, position)
        self.accelerator.wait_for_everyone()

    @property
    def _plain_optimizer(self) -> torch.optim.Optimizer:
        return self.optimizer.optimizer
