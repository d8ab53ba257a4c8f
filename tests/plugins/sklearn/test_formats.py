"""What the helper process may import to turn a model into skops, and what a model requires."""

import importlib
import importlib.metadata
import pickle
import zipfile
from pathlib import Path

import pytest
from autotrack_sklearn.formats import SkopsFormat
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

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


def test_a_skops_file_of_ones_own(tracked: Path, tmp_path: Path):
    skops_io = importlib.import_module("skops.io")
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    skops_io.dump(model, tmp_path / "mine.skops")
    skops_io.dump(make_pipeline(SelectKBest(k=1), model), tmp_path / "selected.skops")
    with autotrack.start_run() as run:
        run.log_model(tmp_path / "mine.skops", "mine", example=[[0.5]])
        run.log_model(tmp_path / "selected.skops", "selected")
    stored = autotrack.get_model(f"{run.id}/mine")
    assert (stored.format, stored.needs()) == ("skops", [])
    assert stored.requires == {"scikit-learn": importlib.metadata.version("scikit-learn")}
    assert stored.load().predict_proba([[0.5]]).tolist() == model.predict_proba([[0.5]]).tolist()
    assert stored.check([[1.0, 2.0]]) == ["the data has 2 columns, the model was trained on 1"]
    with pytest.raises(autotrack.ModelNotTrusted, match="f_classif"):
        autotrack.load_model(f"{run.id}/selected")


@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps(1), None], ids=["empty", "junk", "pickle", "bomb"])
def test_what_is_no_skops_file_is_not_taken(tracked: Path, tmp_path: Path, content: bytes | None):
    path = tmp_path / "m.skops"
    if content is None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("schema.json", bytes(1_000_000))
            file.infolist()[0].file_size = 2_000_000_000
    else:
        path.write_bytes(content)
    with autotrack.start_run() as run:
        with pytest.raises(autotrack.ModelError, match=r"no file of skops|as a zip bomb does"):
            run.log_model(path)
    assert autotrack.get_run(run.id).models == {}
