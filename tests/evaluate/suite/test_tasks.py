"""The 41 tasks and their suites."""

import pytest

from tclip.errors import DataError
from tclip.evaluate.suite.tasks import SUITES, TASKS, find_tasks, task_named


def test_there_are_three_retrieval_tasks_and_38_classifications():
    keys = [task.key for task in TASKS]
    assert len(keys) == len(set(keys)) == 41
    assert [task.key for task in SUITES["retrieval"]] == ["mscoco_captions", "flickr8k", "flickr30k"]
    assert SUITES["imagenet"][0].key == "imagenet1k"
    assert len(SUITES["imagenet"]) == 7 and len(SUITES["discriminative"]) == 31
    assert SUITES["clip-benchmark-41"] == TASKS


def test_suites_are_parts_of_the_whole_in_its_order():
    for suite in SUITES.values():
        places = [TASKS.index(task) for task in suite]
        assert places == sorted(places)


def test_tasks_of_several_names_come_once():
    found = find_tasks(["vtab/cifar10", "retrieval", "flickr8k", "cifar10"])
    assert [task.key for task in found] == ["vtab/cifar10", "mscoco_captions", "flickr8k", "flickr30k"]


@pytest.mark.parametrize("name", ["vtab/cifar10", "cifar10", "wds_vtab-cifar10", "vtab-cifar10"])
def test_a_task_is_known_by_what_its_folder_may_be_called(name):
    assert task_named(name).key == "vtab/cifar10"


def test_no_name_means_two_tasks():
    names = [name for task in TASKS for name in set(task.names)]
    assert len(names) == len(set(names))
    assert task_named("my-own") is None


def test_every_unknown_name_is_told_with_the_nearest():
    with pytest.raises(DataError) as caught:
        find_tasks(["cifra10", "mnist", "retreival", "qqqq"])
    message = str(caught.value)
    assert 'cifra10". Did you mean "cifar10"' in message
    assert 'retreival". Did you mean "retrieval"' in message
    assert '"qqqq".\n' in message and '"mnist"' not in message
    assert "discriminative" in message and "vtab/svhn" in message
