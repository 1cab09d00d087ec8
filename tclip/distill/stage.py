"""The stage `train`: from the calibrated model to the trained one."""

from collections.abc import Sequence
from typing import Any

from tclip.data.captioned import pair_sources
from tclip.data.images import image_sources
from tclip.data.loader import Extras, PairBatches
from tclip.data.sample import PairSource, digest
from tclip.data.stream import PairStream
from tclip.data.texts import TextStream, open_texts
from tclip.distill.inputs import BothImages, BothTexts, same_inputs
from tclip.distill.loop import Trainer
from tclip.distill.precision import precision_of
from tclip.distill.student import Student, make_trainable
from tclip.distill.teacher import embedding_width, make_teacher
from tclip.distill.tracking import Tracker
from tclip.errors import TrainingError
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.models.names import resolve_name
from tclip.packed.load import load_packed
from tclip.packed.write import write_packed
from tclip.progress import Progress
from tclip.recipe.schema import Recipe, Train
from tclip.run import Run
from tclip.ternary.latent import detach


def train(run: Run, progress: Progress) -> None:
    """Train RUN/calibrated into RUN/trained, resuming from RUN/steps if a checkpoint lies there.

    Raises:
        TrainingError: the loss is not finite or has exploded, a checkpoint is of another recipe, or the
            batch cannot be shared out among the processes, or the tracker is not installed.
        DataError: the data cannot be read.
    """
    from accelerate.utils import set_seed

    recipe, settings = run.recipe, run.recipe.train
    if settings is None:
        progress.note("train: the recipe trains nothing (train: null)")
        return
    set_seed(settings.seed)
    tracker = Tracker(run)
    accelerator = _accelerator(**tracker.accelerator_settings())
    _check_shares(settings, accelerator.num_processes)
    student_clip, teacher_clip = _models(run, settings.margin, accelerator.device)
    same = same_inputs(student_clip, teacher_clip)
    if not all(same) and (settings.losses.layers > 0 or settings.losses.attention > 0):
        raise TrainingError(
            "train.losses.layers and train.losses.attention compare layer by layer, but the teacher "
            f"{teacher_clip.source.id} has another tokenizer or image preprocessing: leave teacher.id null, "
            "or set both weights to 0."
        )
    data = recipe.data
    pairs = pair_sources(data.train, data.split, data.captions, student_clip.tokenizer)
    stream = _stream(pairs, recipe, accelerator, paired=True)
    extras = _extras(recipe, settings, student_clip, accelerator)
    streams = [stream, extras.images] if extras.images else [stream]
    teacher = make_teacher(
        teacher_clip,
        recipe.data,
        digest(*(each.fingerprint() for each in streams)),
        seed=settings.seed,
        cached=recipe.teacher.cache,
        precision=precision_of(settings.precision, accelerator.device),
    )
    student = Student(student_clip, embedding_width(student_clip), teacher.width).to(accelerator.device)
    if accelerator.is_main_process:
        run.begin("train")
    trainer = Trainer(accelerator, student, teacher, settings, run.steps, progress, tracker)
    start = trainer.resume()
    if start:
        progress.note(f"train: going on from step {start}")
    batches = _batches(recipe, settings, stream, extras, (student_clip, teacher_clip), same, start)
    with tracker.telling(accelerator, start):
        trainer.run(iter(batches))
    if accelerator.is_main_process:
        student_clip.ternary = detach(student_clip.model)
        write_packed(student_clip, run.trained, "float32")
    accelerator.wait_for_everyone()


def _check_shares(settings: Train, num_processes: int) -> None:
    sizes = {key: getattr(settings, key) for key in ("batch_size", "extra_images", "extra_texts")}
    uneven = [f"train.{key} {size}" for key, size in sizes.items() if size % num_processes]
    if uneven:
        raise TrainingError(
            f"{', '.join(uneven)} cannot be shared out evenly among {num_processes} processes: "
            f"set a multiple of {num_processes}."
        )


def _accelerator(**tracking: Any) -> Any:
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    # Families differ in which weights take part (poolers, biases): let the wrapper find out.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(mixed_precision="no", kwargs_handlers=[unused], **tracking)


def _models(run: Run, margin: float, device: Any) -> tuple[Clip, Clip]:
    recipe, calibrated = run.recipe, load_packed(run.calibrated)
    model_id, revision = str(recipe.model.id), _revision(recipe, calibrated)
    student = make_trainable(load_dense(model_id, revision), calibrated, recipe.quantize, margin)
    other = recipe.teacher
    teacher = load_dense(other.id, other.revision) if other.id else load_dense(model_id, revision)
    student.model.to(device)
    teacher.model.to(device)
    return student, teacher


def _revision(recipe: Recipe, calibrated: Clip) -> str | None:
    """Return which original to train: of the Hub the one that was calibrated, wherever its branch is now."""
    if calibrated.base is None or resolve_name(str(recipe.model.id)).folder:
        return recipe.model.revision
    return calibrated.base.commit


def _stream(sources: Sequence[PairSource], recipe: Recipe, accelerator: Any, *, paired: bool) -> PairStream:
    return PairStream(
        sources,
        seed=recipe.train.seed if recipe.train else 0,
        shuffle_buffer=recipe.data.shuffle,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        paired=paired,
    )


def _extras(recipe: Recipe, settings: Train, student: Clip, accelerator: Any) -> Extras:
    world, data = accelerator.num_processes, recipe.data
    images = texts = None
    if settings.extra_images:
        sources = image_sources(data.images, data.train, data.split)
        images = _stream(sources, recipe, accelerator, paired=False)
    if settings.extra_texts:
        words = [open_texts(spec, student.tokenizer) for spec in data.texts]
        texts = TextStream(words, seed=settings.seed, rank=accelerator.process_index, world_size=world)
    return Extras(images, settings.extra_images // world, texts, settings.extra_texts // world)


def _batches(
    recipe: Recipe,
    settings: Train,
    stream: PairStream,
    extras: Extras,
    models: tuple[Clip, Clip],
    same: tuple[bool, bool],
    start: int,
) -> PairBatches:
    (student, teacher), (same_pixels, same_tokens) = models, same
    # not the Clip's own method: a model in training cannot be sent to other processes
    pixels = student.preprocessor
    return PairBatches(
        stream,
        batch_size=settings.batch_size // stream.world_size,
        preprocess=pixels if same_pixels else BothImages(pixels, teacher.preprocessor),
        tokenize=student.tokenize if same_tokens else BothTexts(student.tokenize, teacher.tokenize),
        views=recipe.data.views,
        min_crop=recipe.data.min_crop,
        captions="first" if recipe.data.captions == "first" else "random",
        text_tokens=recipe.data.text_tokens,
        extras=extras,
        workers=settings.workers,
        start=start,
    )
