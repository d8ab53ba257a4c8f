"""A transformer makes no run; it is lineage of the model that is trained on its output."""

import gc

import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import LabelEncoder, StandardScaler

import autotrack
from tests.plugins.sklearn.made import X, few, only, recorded, y

TRANSFORMERS = {
    "scaler": StandardScaler,
    "pca": PCA,
    "columns": lambda: ColumnTransformer([("a", StandardScaler(), [0])]),
    "union": lambda: FeatureUnion([("a", StandardScaler()), ("b", PCA(1))]),
    "pipeline": lambda: make_pipeline(StandardScaler(), PCA(2)),
    "embedding": lambda: TSNE(perplexity=5, max_iter=250),
}


@pytest.mark.parametrize("what", TRANSFORMERS)
def test_a_transformer_makes_no_run(what, tracked):
    TRANSFORMERS[what]().fit_transform(X[few], y[few])
    if what != "embedding":
        TRANSFORMERS[what]().fit(X[few], y[few]).transform(X[few])
    assert recorded() == []


def test_a_label_encoder_makes_no_run(tracked):
    LabelEncoder().fit_transform(["a", "b"])
    assert recorded() == []


@pytest.mark.parametrize("what", ["scaler", "pca", "columns", "union", "pipeline"])
def test_a_transformer_is_lineage_of_the_model_trained_on_its_output(what, tracked):
    transformer = TRANSFORMERS[what]()
    GaussianNB().fit(transformer.fit_transform(X), y)
    origin = only().facts["lineage"]["X"]
    assert origin["class"].endswith("." + type(transformer).__name__)
    assert origin["data"]["shape"] == [150, 4]
    assert origin["data"]["hash"] == autotrack.describe_data(X)["hash"]


def test_lineage_by_fit_and_transform_apart(tracked):
    scaler = StandardScaler(with_mean=False).fit(X[:100])
    train, test = scaler.transform(X[:100]), scaler.transform(X[100:])
    GaussianNB().fit(train, y[:100])
    GaussianNB().fit(test, y[100:])
    first, second = (run.facts["lineage"]["X"] for run in recorded())
    assert first == second
    assert first["changed"] == {"with_mean": False}
    assert first["data"]["shape"] == [100, 4]


def test_lineage_through_views_and_chains(tracked):
    scaled = StandardScaler().fit_transform(X)
    reduced = PCA(3).fit_transform(scaled)
    GaussianNB().fit(reduced[::2, :2], y[::2])
    origin = only().facts["lineage"]["X"]
    assert origin["class"].endswith(".PCA")
    assert origin["changed"] == {"n_components": 3}
    assert origin["from"]["X"]["class"].endswith(".StandardScaler")


def test_lineage_of_the_target(tracked):
    encoder = LabelEncoder()
    GaussianNB().fit(X, encoder.fit_transform([str(label) for label in y]))
    lineage = only().facts["lineage"]
    assert set(lineage) == {"y"}
    assert lineage["y"]["class"].endswith(".LabelEncoder")


def test_no_lineage_where_the_data_is_somebody_elses(tracked):
    StandardScaler().fit_transform(X)
    GaussianNB().fit(X, y)
    GaussianNB().fit(StandardScaler().fit_transform(X) + 0.0, y)  # another array: nothing is guessed
    assert ["lineage" in run.facts for run in recorded()] == [False, False]


def test_lineage_of_a_frame(tracked):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    scaler = StandardScaler().set_output(transform="pandas")
    GaussianNB().fit(scaler.fit_transform(frame), y)
    run = only()
    assert run.facts["lineage"]["X"]["class"].endswith(".StandardScaler")
    assert run.facts["data"]["X"]["columns"] == list("abcd")


def test_lineage_keeps_no_data_alive(tracked):
    import weakref

    scaler = StandardScaler()
    output = scaler.fit_transform(X)
    watch, watched = weakref.ref(output), weakref.ref(scaler)
    del output, scaler
    gc.collect()
    assert (watch(), watched()) == (None, None)
