"""Loading a model that another process saved."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack import model_lookup

pytestmark = [pytest.mark.slow, pytest.mark.every_python]  # processes whose helper is waited for

TRAIN = """
import autotrack
autotrack.enable(models="always")
from sklearn.linear_model import LinearRegression
LinearRegression().fit([[0.0], [1.0]], [5.5, 6.5])
"""

BROKEN = """
from autotrack.models import conversion
conversion._start = lambda: 1 / 0
"""


def test_a_model_of_a_process_that_just_ended_gets_its_safe_form(
    script: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The script is over, and its helper is still turning the pickle into skops."""
    monkeypatch.setattr(model_lookup, "YOUNG", 300.0)  # the machine may be slow
    monkeypatch.setattr(model_lookup, "CONVERSION_WAIT", 300.0)
    script(TRAIN)
    assert autotrack.load_model("@last", store=tmp_path / ".autotrack").intercept_ == pytest.approx(5.5)


def test_an_old_pickle_is_refused_at_once(script: Callable, tmp_path: Path):
    """Its helper was killed with the machine, say: nobody will turn it any more."""
    script(BROKEN + TRAIN, env={"AUTOTRACK_STRICT": "0"})
    store = tmp_path / ".autotrack"
    (run,) = autotrack.runs(store=store)
    assert (run.models["model"].format, run.models["model"].becomes) == ("pickle", "skops")
    os.utime(store / "runs" / run.id / run.models["model"].path, (0, 0))
    started = time.monotonic()
    with pytest.raises(autotrack.ModelNotTrusted):
        autotrack.load_model("@last", store=store)
    assert time.monotonic() - started < 15


def test_a_class_that_is_not_here_is_named(script: Callable, tmp_path: Path):
    """A pickle of a class of the training script opens where that class is, and nowhere else."""
    mine = "from sklearn.linear_model import LinearRegression\nclass Mine(LinearRegression): pass\n"
    script("import autotrack\nautotrack.enable()\n" + mine + "Mine().fit([[0.0], [1.0]], [5.5, 6.5])\n")
    store = tmp_path / ".autotrack"
    with pytest.raises(autotrack.ModelError, match=r"Mine.*define or import it there first"):
        autotrack.load_model("@last", trusted=True, store=store)
    load = f"import autotrack\nprint(autotrack.load_model('@last', trusted=True, store={str(store)!r}).intercept_)\n"
    assert float(script(mine + load).stdout) == pytest.approx(5.5)
