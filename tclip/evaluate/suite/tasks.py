"""The tasks of CLIP_benchmark's webdatasets.txt, and the suites that they make up."""

from collections.abc import Sequence
from dataclasses import dataclass

from tclip.errors import DataError, did_you_mean, listed


@dataclass(frozen=True)
class Task:
    """One of the 41 tasks.

    Attributes:
        key: its name in CLIP_benchmark, without wds/.
        main: the metric that counts in averages (DataComp's choice) where each picture shows one class.
        at_chance: public CLIPs of the sizes ViT-B/32 and ViT-B/16 do not score clearly above chance: most of
            five (OpenAI, LAION-400M, LAION-2B) fail `averages.is_above_chance` with the numbers that
            CLIP_benchmark publishes.
    """

    key: str
    main: str = "acc1"
    at_chance: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Return what a folder with its data may be called."""
        dashed = self.key.replace("/", "-")
        return (f"wds_{dashed}", dashed, self.key, self.key.rpartition("/")[2])


TASKS = (
    Task("mscoco_captions"),
    Task("flickr8k"),
    Task("flickr30k"),
    Task("imagenet1k"),
    Task("imagenetv2"),
    Task("imagenet_sketch"),
    Task("imagenet-a"),
    Task("imagenet-r"),
    Task("imagenet-o"),
    Task("objectnet"),
    Task("fer2013"),
    Task("voc2007"),
    Task("voc2007_multilabel"),
    Task("sun397"),
    Task("cars"),
    Task("fgvc_aircraft", main="mean_per_class_recall"),
    Task("mnist"),
    Task("stl10"),
    Task("gtsrb"),
    Task("country211"),
    Task("renderedsst2"),
    Task("vtab/caltech101", main="mean_per_class_recall"),
    Task("vtab/cifar10"),
    Task("vtab/cifar100"),
    Task("vtab/clevr_count_all", at_chance=True),
    Task("vtab/clevr_closest_object_distance", at_chance=True),
    Task("vtab/diabetic_retinopathy", at_chance=True),
    Task("vtab/dmlab", at_chance=True),
    Task("vtab/dsprites_label_orientation", at_chance=True),
    Task("vtab/dsprites_label_x_position", at_chance=True),
    Task("vtab/dsprites_label_y_position", at_chance=True),
    Task("vtab/dtd"),
    Task("vtab/eurosat"),
    Task("vtab/kitti_closest_vehicle_distance", at_chance=True),
    Task("vtab/flowers", main="mean_per_class_recall"),
    Task("vtab/pets", main="mean_per_class_recall"),
    Task("vtab/pcam"),
    Task("vtab/resisc45"),
    Task("vtab/smallnorb_label_azimuth", at_chance=True),
    Task("vtab/smallnorb_label_elevation", at_chance=True),
    Task("vtab/svhn"),
)
SUITES: dict[str, tuple[Task, ...]] = {
    "clip-benchmark-41": TASKS,
    "discriminative": tuple(task for task in TASKS if not task.at_chance),
    "retrieval": TASKS[:3],
    "imagenet": TASKS[3:10],
}
_BY_NAME = {name: task for task in TASKS for name in task.names}


def task_named(name: str) -> Task | None:
    """Return the task that a key, or a folder with its data, is called after: wds_vtab-cifar10, cifar10."""
    return _BY_NAME.get(name)


def key_of(name: str) -> str:
    """Return the key of the task that a name stands for; any other name as it is."""
    task = task_named(name)
    return task.key if task else name


def is_known(name: str) -> bool:
    """Return whether a name is that of a suite or of a task."""
    return name in SUITES or name in _BY_NAME


def find_tasks(names: Sequence[str]) -> list[Task]:
    """Return the tasks of suites and of single keys, each once, in the order given.

    Raises:
        DataError: names that are neither, all of them.
    """
    known = SUITES | {name: (task,) for name, task in _BY_NAME.items()}
    unknown = [f'"{name}".{did_you_mean(name, known)}' for name in names if name not in known]
    if unknown:
        raise DataError(
            f"There is no suite or task of these names:{listed(unknown)}\nSuites: {', '.join(SUITES)}. "
            f"Tasks: {', '.join(task.key for task in TASKS)}. Folders that exist may be given too."
        )
    return list(dict.fromkeys(task for name in names for task in known[name]))
