"""Estimators of other libraries, trained through scikit-learn's interface: recorded as scikit-learn's own."""

import warnings

import numpy
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.naive_bayes import GaussianNB

import autotrack

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X.astype("float32"), y, random_state=0)


def only():
    (run,) = autotrack.runs()
    return run


def values(key):
    return [point.value for point in only().history(key)]


def kept(trusted):
    """The recorded model, with the types that its library needs trusted."""
    with pytest.raises(autotrack.ModelNotTrusted, match=trusted[0]):
        autotrack.load_model("@last")
    return autotrack.load_model("@last", trusted=trusted)


def test_xgboost(tracked):
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=5, eval_metric=["logloss", "auc"], n_jobs=1)
    model.fit(X_train, y_train, eval_set=[(X_train, y_train), (X_test, y_test)], verbose=False)
    score = model.score(X_test, y_test)
    area = roc_auc_score(y_test, model.predict_proba(X_test)[:, 1])
    for data, curves in model.evals_result().items():
        for metric, points in curves.items():
            assert values(f"{data}/{metric}") == points
    run = only()
    assert sorted(run.changed) == ["eval_metric", "n_estimators", "n_jobs"]
    assert (values("score_on_X_test"), values("roc_auc_on_X_test")) == ([score], [area])
    assert run.facts["estimator"]["xgboost"] == xgboost.__version__
    loaded = kept(["xgboost.core.Booster", "xgboost.sklearn.XGBClassifier"])
    assert numpy.array_equal(loaded.predict_proba(X_test), model.predict_proba(X_test))


def test_lightgbm(tracked):
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=6, n_jobs=1, verbose=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer ones prefer other names for it
        model.fit(X_train, y_train, eval_set=[(X_test, y_test)], eval_metric="auc")
    predicted = model.predict(X_test)
    score = accuracy_score(y_test, predicted)
    for data, curves in model.evals_result_.items():
        for metric, points in curves.items():
            assert values(f"{data}/{metric}") == points
            assert len(points) == 6
    assert values("accuracy_on_X_test") == [score]
    assert sorted(only().changed) == ["n_estimators", "n_jobs"]
    loaded = kept(["lightgbm.sklearn.LGBMClassifier", "lightgbm.basic.Booster", "collections.OrderedDict"])
    assert numpy.array_equal(loaded.predict(X_test), predicted)


def test_boosting_in_a_search(tracked):
    xgboost = pytest.importorskip("xgboost")
    search = GridSearchCV(xgboost.XGBClassifier(n_estimators=3, n_jobs=1), {"max_depth": [1, 2]}, cv=2)
    search.fit(X_train, y_train, eval_set=[(X_test, y_test)], verbose=False)
    best = search.best_estimator_
    assert values("validation_0/logloss") == best.evals_result()["validation_0"]["logloss"]
    assert values("best_score") == [search.best_score_]
    score = best.score(X_test, y_test)
    assert values("score_on_X_test") == [score]


def test_a_search_of_scikit_optimize(tracked):
    """It asks for a few candidates at a time, and looks at their results in between."""
    skopt = pytest.importorskip("skopt")
    space = {"var_smoothing": (1e-9, 1.0, "log-uniform")}
    search = skopt.BayesSearchCV(GaussianNB(), space, n_iter=6, cv=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X_train, y_train)
    children = sorted(only().children, key=lambda child: int(child.id.rpartition(".")[2]))
    assert [child.params for child in children] == [dict(params) for params in search.cv_results_["params"]]
    for name in ("mean_test_score", "std_test_score", "rank_test_score"):
        assert [child.metrics[name] for child in children] == search.cv_results_[name].tolist()
    for split in range(3):
        expected = search.cv_results_[f"split{split}_test_score"].tolist()
        assert [child.history("test_score")[split].value for child in children] == expected
    assert values("best_score") == [search.best_score_]


def test_imbalanced_learn(tracked):
    pytest.importorskip("imblearn")
    from imblearn.ensemble import BalancedRandomForestClassifier
    from imblearn.over_sampling import SMOTE
    from imblearn.pipeline import make_pipeline

    model = make_pipeline(SMOTE(random_state=0), BalancedRandomForestClassifier(4, random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X_train, y_train)
    score = model.score(X_test, y_test)
    run = only()
    assert run.name.startswith("Pipeline-")
    assert run.params["smote__random_state"] == 0
    assert values("score_on_X_test") == [score]
    loaded = autotrack.load_model("@last", trusted=True)
    assert numpy.array_equal(loaded.predict(X_test), model.predict(X_test))


def test_skorch(tracked):
    """Its training loop is torch's: one run, and it is scikit-learn's."""
    skorch = pytest.importorskip("skorch")
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(30, 2)

        def forward(self, data):
            assert autotrack.in_training() or not self.training
            return torch.softmax(self.layer(data), -1)

    torch.manual_seed(0)
    model = skorch.NeuralNetClassifier(Net, max_epochs=4, lr=1e-4, verbose=0)
    model.fit(X_train, y_train)
    score = model.score(X_test, y_test)
    for key in ("train_loss", "valid_loss", "valid_acc"):
        assert values(key) == [float(row[key]) for row in model.history]
        assert [point.step for point in only().history(key)] == [0, 1, 2, 3]
    run = only()
    assert run.params["max_epochs"] == 4
    assert {"max_epochs", "lr", "verbose"} <= set(run.changed)
    assert values("score_on_X_test") == [score]
    (reason,) = {text for _, text in run.notes} | {model.stays for model in run.models.values()} - {""}
    assert "model" in reason or "__main__" in reason or "pickle" in reason
