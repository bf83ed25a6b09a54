"""The data module: batches of every process and epoch, with and without loader processes."""

import pytest
import torch

from dag.cache.batches import PersonCrops
from dag.errors import UserError
from dag.training.data import PoseData
from tests.conftest import Rendered
from tests.training_run import AUGMENT


@pytest.fixture
def crops(rendered: Rendered) -> PersonCrops:
    return PersonCrops(rendered.cache, occluded=0.5, seed=1, **AUGMENT)


def test_a_batch_is_not_larger_than_the_data(crops: PersonCrops) -> None:
    with pytest.raises(UserError) as error:
        PoseData(crops, len(crops) + 1, seed=1, workers=0)
    expected = f"expected at most {len(crops)}, the number of training persons, got {len(crops) + 1}"
    assert str(error.value) == f"train.batch_size: batch larger than the data: {expected}"


def test_processes_partition_every_batch(crops: PersonCrops) -> None:
    data = PoseData(crops, 8, seed=1, workers=0)
    whole, parts = data.batches(2), [data.batches(2, rank, 3) for rank in range(3)]
    assert whole != data.batches(3)
    for number, batch in enumerate(whole):
        assert [len(part[number]) for part in parts] == [3, 3, 2]
        assert sorted(person for part in parts for person in part[number]) == sorted(batch)


def test_loaders_with_and_without_workers_draw_the_same(crops: PersonCrops) -> None:
    batches = [list(PoseData(crops, 8, seed=1, workers=workers).train_dataloader()) for workers in (0, 2)]
    for one, other in zip(*batches, strict=True):
        for name, value in one.items():
            assert torch.equal(value, other[name]), name
