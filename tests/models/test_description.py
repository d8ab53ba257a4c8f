"""What MLflow needs beside a model's file, from the record and the file's beginning; nothing is loaded for it."""

import io
import json
import pickle

import pytest

from autotrack import plugins
from autotrack.records import Model

pytest.importorskip("sklearn")
from autotrack_sklearn.formats import SkopsFormat
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression


def record(name: str, content: bytes, **fields: object) -> Model:
    digest = "ab" * 32
    return Model(name="m", format=name, path=f"models/m/m.{name}", size=len(content), sha256=digest, **fields)


def described(model: Model, content: bytes = b"") -> dict[str, bytes]:
    return plugins.describe_model(model, lambda: io.BytesIO(content))


@pytest.mark.parametrize(
    ("model", "opens"),
    [
        (LogisticRegression(max_iter=500), True),
        (HistGradientBoostingClassifier(max_iter=2), True),
        (SelectKBest(k=2), False),
    ],
    ids=["trusted by skops", "trusted by us", "a function in it"],
)
def test_estimators_by_the_types_that_were_recorded(model: object, opens: bool):
    import skops.io

    form = SkopsFormat()
    fitted = model.fit(*load_iris(return_X_y=True))  # type: ignore[attr-defined]
    saved = form.convert(pickle.dumps(fitted))
    assert saved.types == sorted(skops.io.get_untrusted_types(data=saved.data))
    files = described(record("skops", saved.data, types=saved.types, requires=saved.requires))
    assert bool(files) is opens
    if opens:
        exported = form.export(saved.data, "m.skops").flavors["sklearn"]
        assert json.loads(files["MLmodel"])["flavors"]["sklearn"] == exported


@pytest.mark.parametrize("types", [None, ["os.system"], ["sklearn.tree._tree.Tree", "os.system"]])
def test_what_nobody_looked_at_or_vouched_for_is_not_described(types: list[str] | None):
    assert described(record("skops", b"", types=types)) == {}


def test_modules_by_the_head_of_their_file():
    torch = pytest.importorskip("torch")
    from autotrack_torch.formats import SafetensorsFormat

    class Mine(torch.nn.Linear):
        pass

    form = SafetensorsFormat()
    data = form.save(torch.nn.Sequential(torch.nn.Linear(2, 1))).data
    files = described(record("safetensors", data), data)
    assert {path.partition("/")[0] for path in files} == {"MLmodel", "code"}
    assert described(record("safetensors", data), form.save(Mine(2, 1)).data) == {}


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 8, b"\x02" + bytes(7) + b"{}", bytes(100)])
def test_a_file_that_is_none_is_not_described(content: bytes):
    assert described(record("safetensors", content), content) == {}


def test_a_pickle_and_an_unknown_format_are_not_described():
    assert described(record("pickle", b"", types=[])) == {}
    assert described(record("nobody's", b"", types=[])) == {}
