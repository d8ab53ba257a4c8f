"""Random states are read and never touched; equal states have equal fingerprints."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

import autotrack
from autotrack.capture.randomness import describe_randomness

Script = Callable[..., "subprocess.CompletedProcess[str]"]


def states():
    torch = pytest.importorskip("torch")
    legacy = numpy.random.get_state()
    return (random.getstate(), legacy[1].tolist(), legacy[2:], torch.get_rng_state().tolist(), torch.initial_seed(),
        torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic)  # fmt: skip


def test_nothing_moves():
    random.seed(1)
    numpy.random.seed(1)
    numpy.random.normal()  # leaves half a pair behind, which is state as well
    before = states()
    first = describe_randomness()
    assert states() == before
    assert describe_randomness() == first


def test_equal_states_have_equal_fingerprints_and_others_have_not():
    torch = pytest.importorskip("torch")

    def seeded(python: int, array: int, tensor: int):
        random.seed(python)
        numpy.random.seed(array)
        torch.manual_seed(tensor)
        return describe_randomness()

    one = seeded(1, 2, 3)
    assert seeded(1, 2, 3) == one
    assert one["torch_seed"] == 3
    assert one["python"] != seeded(0, 2, 3)["python"]
    assert one["numpy"] != seeded(1, 0, 3)["numpy"]
    assert seeded(1, 2, 4)["torch_seed"] == 4
    seeded(1, 2, 3)
    torch.rand(1)
    assert describe_randomness()["torch"] != one["torch"]
    numpy.random.seed(2)
    numpy.random.normal()
    assert describe_randomness()["numpy"] != one["numpy"]


def test_settings_of_determinism(script: Script, tmp_path: Path):
    pytest.importorskip("torch")
    script(
        """
        import torch, autotrack
        with autotrack.start_run("plain"): pass
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = True
        with autotrack.start_run("strict"): pass
        """,
        env={"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"},
    )
    strict, plain = (run.facts["random"] for run in autotrack.runs(store=tmp_path / ".autotrack"))
    assert (plain["torch_deterministic"], strict["torch_deterministic"]) == (False, True)
    assert (plain["cudnn_benchmark"], strict["cudnn_benchmark"]) == (False, True)
    expected = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    assert expected.items() <= strict["settings"].items()


def test_what_is_not_imported_stays_so(script: Script, tmp_path: Path):
    script("""
        import sys, autotrack
        with autotrack.start_run(): pass
        assert not {"numpy", "torch"} & set(sys.modules)
    """)
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    assert "numpy" not in run.facts["random"]
    assert run.facts["random"]["python"]
