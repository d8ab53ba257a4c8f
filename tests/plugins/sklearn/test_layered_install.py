"""Packages that lie in other folders than this environment's own are installed all the same."""

import pickle
import sys

import pytest
from autotrack_sklearn.formats import SkopsFormat

import autotrack

MODULE = """
from sklearn.naive_bayes import GaussianNB

class Mine(GaussianNB):
    pass
"""


@pytest.mark.parametrize(
    ("folder", "converted"), [("lib/site-packages", True), ("lib/dist-packages", True), ("project", False)]
)
def test_what_is_installed_is_told_by_its_folder(folder, converted, tmp_path, monkeypatch):
    place = tmp_path / folder
    place.mkdir(parents=True)
    (place / "layered.py").write_text(MODULE)
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "layered", raising=False)
    import layered

    data = pickle.dumps(layered.Mine().fit([[0.0], [1.0]], [0, 1]))
    try:
        if converted:
            assert SkopsFormat().convert(data).format == "skops"
        else:
            with pytest.raises(autotrack.ModelError, match="no installed package"):
                SkopsFormat().convert(data)
    finally:
        sys.modules.pop("layered")
