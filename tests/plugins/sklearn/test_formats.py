"""What the helper process may import to turn a model into skops, and what a model requires."""

import importlib.metadata
import pickle
from pathlib import Path

import pytest
from autotrack_sklearn.formats import SkopsFormat

import autotrack

SOURCE = """
from sklearn.linear_model import LinearRegression

class Mine(LinearRegression):
    pass
"""


@pytest.mark.parametrize("folder", ["lib/python3/site-packages", "lib/python3/dist-packages", "project"])
def test_classes_of_installed_packages_only(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``pip install --user``, Debian, and an environment upon another have their packages outside ``sys.prefix``."""
    place = tmp_path / folder
    place.mkdir(parents=True)
    name = "place_of_" + place.name.replace("-", "_")
    (place / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(place))
    data = pickle.dumps(importlib.import_module(name).Mine().fit([[0.0], [1.0]], [0.0, 1.0]))
    if place.name == "project":  # importing it would run the user's script a second time
        with pytest.raises(autotrack.ModelError, match=f"{name}.Mine, which is no installed package's"):
            SkopsFormat().convert(data)
    else:
        assert SkopsFormat().convert(data).format == "skops"


@pytest.mark.parametrize("name", ["imblearn.under_sampling.RandomUnderSampler", "lightgbm.LGBMClassifier"])
def test_what_a_model_requires_are_distributions(name: str):
    """Named as pip knows them, which is not always how they are imported."""
    module, _, cls = name.rpartition(".")
    model = getattr(pytest.importorskip(module), cls)()
    requires = SkopsFormat().save(model).requires
    assert len(requires) == 2
    assert requires == {distribution: importlib.metadata.version(distribution) for distribution in requires}
