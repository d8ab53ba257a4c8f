"""The page by which scikit-learn shows an estimator that is made of others: the helper makes it, beside the model."""

import pickle
import re
from pathlib import Path

import pytest
from autotrack_sklearn.formats import SkopsFormat
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.gaussian_process import GaussianProcessClassifier, kernels
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

import autotrack
from tests.plugins.sklearn.kept import X, wait_for_helper, wait_until, y
from tests.test_cli import call

PLAIN = LogisticRegression(max_iter=500)
PAIR = [("one", PLAIN), ("two", PLAIN)]
MADE_OF_OTHERS = [
    make_pipeline(StandardScaler(), PLAIN),
    make_union(StandardScaler()),
    make_column_transformer((StandardScaler(), [0, 1])),
    GridSearchCV(PLAIN, {"C": [1.0]}),
    VotingClassifier(PAIR),
    StackingClassifier(PAIR),
    BaggingClassifier(PLAIN),
    CalibratedClassifierCV(PLAIN),
    OneVsRestClassifier(PLAIN),
]
WITHOUT = [
    PLAIN,
    RandomForestClassifier(),
    BaggingClassifier(),
    GaussianProcessClassifier(kernels.RBF() + kernels.WhiteKernel()),
    VotingClassifier([(str(number), PLAIN) for number in range(201)]),
]


def pipeline():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))


def numberless(page: str | bytes) -> str:
    """A page without the numbers by which scikit-learn counts the diagrams of a process."""
    text = page if isinstance(page, str) else page.decode()
    return re.sub(r"-id-\d+", "-id", text)


def page(record, name: str = "estimator.html") -> bytes:
    with record.open(name) as file:
        return file.read()


def named(model) -> str:
    return type(model).__name__


@pytest.mark.parametrize("model", MADE_OF_OTHERS, ids=named)
def test_it_is_the_one_that_scikit_learn_makes(model):
    pages = SkopsFormat().convert(pickle.dumps(model)).pages
    assert list(pages) == ["estimator.html"]
    assert numberless(pages["estimator.html"]) == numberless(estimator_html_repr(model))


@pytest.mark.parametrize("model", WITHOUT, ids=named)
def test_one_that_would_show_no_more_than_params_or_too_much_has_none(model):
    assert SkopsFormat().convert(pickle.dumps(model)).pages == {}


def test_one_that_cannot_be_drawn_is_kept(monkeypatch):
    data = pickle.dumps(pipeline())
    asked = []

    def hostile(self):
        asked.append(self)
        raise RuntimeError("no words for it")

    monkeypatch.setattr(StandardScaler, "__repr__", hostile)
    saved = SkopsFormat().convert(data)
    assert asked
    assert (saved.format, saved.pages) == ("skops", {})
    assert type(SkopsFormat().load(saved.data, [])) is type(pipeline())


def test_it_shows_the_fitted_model_and_is_an_artifact(tracked):
    PLAIN.fit(X, y)
    autotrack.enable(models="never")
    pipeline().fit(X, y)
    autotrack.enable(models="auto")
    pipeline().fit(X, y)
    record = wait_for_helper()  # jobs are done one after the other
    plain, never = (autotrack.runs()[number] for number in (2, 1))
    assert [plain.artifacts, never.artifacts] == [{}, {}]
    assert list(record.artifacts) == ["estimator.html"]
    assert numberless(page(record)) == numberless(estimator_html_repr(autotrack.load_model(record.id)))
    assert "fitted" in page(record).decode()
    assert "estimator.html" in call("show", record.id, store=tracked).stdout
    assert call("verify", store=tracked).exit_code == 0


def test_names_are_those_of_the_models(tracked):
    with autotrack.start_run() as run:
        run.log_model(pipeline(), "best")
        run.log_model(pipeline())
        run.log_model(pipeline().set_params(logisticregression__C=0.123456))
        with autotrack.start_run() as child:
            child.log_model(pipeline())
    wait_until(lambda: autotrack.get_run(child.id).models["model"].format == "skops")  # the last one
    record, inner = autotrack.get_run(run.id), autotrack.get_run(child.id)
    names = {"best/estimator.html", "estimator.html", "estimator-2.html"}
    assert record.artifacts.keys() == names
    assert list(inner.artifacts) == ["estimator.html"]
    assert b"0.123456" in page(record, "estimator-2.html")
    assert b"0.123456" not in page(record)


def test_the_users_own_page_of_that_name_stays(tracked):
    Path("estimator.html").write_text("mine")
    with autotrack.start_run() as run:
        run.log_artifact("estimator.html")
        run.log_model(pipeline())
    record = wait_for_helper()
    assert record.models["model"].format == "skops"
    assert page(record) == b"mine"


def test_it_goes_with_its_run(tracked):
    pipeline().fit(X, y)
    record = wait_for_helper()
    assert len(list(tracked.rglob("estimator.html"))) == 1
    autotrack.last_run()._writer._backend.close()  # as at exit: nothing of it waits for the disk
    call("rm", record.id, store=tracked)
    call("gc", "--keep", "0", store=tracked)
    assert not list(tracked.rglob("estimator.html"))
