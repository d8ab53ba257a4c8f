"""Values of tensors: at once on the CPU, through a buffer on a device (here the CPU plays one)."""

import pytest
import torch
from autotrack_torch.passes import Mean
from autotrack_torch.scalars import scalar_of

import autotrack
from autotrack.readings import BLOCK, DeviceBlocks, Reading, Readings
from tests.plugins.torch.loops import Net, textbook, values


def test_values_come_back_in_order_when_a_buffer_is_full():
    blocks, readings = DeviceBlocks(torch.device("cpu")), []
    for number in range(BLOCK + 5):
        readings.append(Reading(1))
        blocks.put(torch.tensor(number / 3, dtype=torch.float32), readings[-1])
    there = [reading.value is not None for reading in (readings[0], readings[BLOCK - 1], readings[BLOCK])]
    assert there == [True, True, False]
    blocks.settle()
    expected = [torch.tensor(number / 3, dtype=torch.float32).item() for number in range(BLOCK + 5)]
    assert [reading.value for reading in readings] == expected


def test_a_value_is_not_kept_waiting_for_a_full_buffer():
    """Steps of seconds: what was taken a second ago is sent with the next one."""
    blocks, first, second = DeviceBlocks(torch.device("cpu")), Reading(1), Reading(1_000_000_002)
    blocks.put(torch.tensor(1.5), first)
    assert first.value is None
    blocks.put(torch.tensor(2.5), second)
    assert (first.value, second.value) == (1.5, 2.5)


def test_a_value_that_changes_later_is_the_one_that_it_was():
    """As under CUDA graphs, which write each loss to the same place."""
    blocks, loss, reading = DeviceBlocks(torch.device("cpu")), torch.tensor([1.5]), Reading(1)
    blocks.put(loss, reading)
    loss.fill_(7.0)
    blocks.settle()
    assert reading.value == 1.5


def test_buffers_made_in_inference_mode_serve_outside_of_it():
    blocks, readings = DeviceBlocks(torch.device("cpu")), [Reading(1), Reading(1)]
    with torch.inference_mode():
        blocks.put(torch.tensor(1.0), readings[0])
    blocks.put(torch.tensor(2.0, requires_grad=True) * 1, readings[1])
    blocks.settle()
    assert [reading.value for reading in readings] == [1.0, 2.0]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(1.5),
        torch.tensor([[1.5]], dtype=torch.float64),
        torch.tensor(1.5, dtype=torch.bfloat16),
        torch.tensor(1.5, requires_grad=True) * 1,
    ],
    ids=["scalar", "matrix", "bfloat16", "with a graph"],
)
def test_what_is_read(tensor):
    assert scalar_of(tensor) is tensor
    assert scalar_of((tensor,)) is tensor
    assert Readings().take(tensor) == 1.5


@pytest.mark.parametrize(
    "tensor",
    [torch.ones(2), torch.nn.Parameter(torch.ones(1)), None, 1.5, [torch.ones(1), torch.ones(1)], ()],
    ids=["two", "parameter", "none", "number", "list", "empty"],
)
def test_what_is_passed_over(tensor):
    assert scalar_of(tensor) is None


def test_what_cannot_be_read_now():
    assert Readings().take(torch.tensor(1.5, device="meta")) is None
    assert Readings().take(torch.tensor(1j)) is None

    def inside(x):
        assert Readings().take(x) is None
        return x

    torch.vmap(inside)(torch.ones(3))


def test_means_wait_for_their_values():
    mean, late = Mean(), Reading(1)
    mean.add(1.0, 2)
    mean.add(late, 1)
    mean.add(9.0, 3, summed=True)
    assert mean.value() == 11.0 / 5
    late.value = 4.0
    assert mean.value() == 15.0 / 6


def test_a_whole_loop_whose_values_come_late(tracked, monkeypatch):
    """As on a GPU: values, order, steps and epochs are the same."""
    blocks = DeviceBlocks(torch.device("cpu"))

    def take(self, tensor):
        import time

        reading = Reading(time.monotonic_ns())
        blocks.put(tensor, reading)
        return reading

    monkeypatch.setattr(Readings, "take", take)
    monkeypatch.setattr(Readings, "settle", lambda self: blocks.settle())
    seen = textbook()
    autotrack.disable()
    (run,) = autotrack.runs()
    assert run.name.startswith(Net.__name__)
    assert values(run, "train/loss") == seen["losses"]
    assert values(run, "val/loss") == seen["val"]
    assert [point.epoch for point in run.history("train/loss")] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    times = [point.time for point in run.history("train/loss")]
    assert times == sorted(times)
    assert times[0] < times[-1]
