"""Fingerprints of training data, held against numpy's and pandas' own results."""

import warnings

import numpy
import pytest
import scipy.sparse
from sklearn.datasets import load_iris

from autotrack.capture.dataset import HASH_BYTES, describe_data
from autotrack.values import from_json
from tests.timing import least, seconds

X, y = load_iris(return_X_y=True)
pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")


def six(values):
    return [float(f"{value:.6g}") for value in numpy.asarray(values, dtype=float)]


# ---- summaries -------------------------------------------------------------------------------------------------------


def test_a_matrix():
    facts = describe_data(X)
    assert (facts["type"], facts["shape"], facts["dtype"]) == ("numpy.ndarray", [150, 4], "float64")
    assert facts["features"] == {
        "mean": six(X.mean(0)), "std": six(X.std(0)), "min": six(X.min(0)), "max": six(X.max(0)), "missing": [0] * 4,
    }  # fmt: skip
    assert "sampled" not in facts


def test_missing_and_infinite_values_are_counted_and_left_out():
    data = X.copy()
    data[3, 0], data[4, 0], data[5, 1], data[:, 2] = numpy.nan, numpy.nan, numpy.inf, numpy.nan
    features = from_json(describe_data(data)["features"])
    assert features["missing"] == [2, 0, 150, 0]
    finite = numpy.where(numpy.isfinite(data), data, numpy.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, deviation = numpy.nanmean(finite, 0), numpy.nanstd(finite, 0)
    assert features["mean"][0] == pytest.approx(expected[0], rel=1e-5)
    assert features["mean"][1] == pytest.approx(expected[1], rel=1e-5)
    assert features["std"][1] == pytest.approx(deviation[1], rel=1e-5)
    assert numpy.isnan(features["mean"][2])


def test_classes_of_a_target():
    facts = describe_data(y, target=True)
    labels, counts = numpy.unique(y, return_counts=True)
    assert facts["classes"] == [[int(label), int(count)] for label, count in zip(labels, counts, strict=True)]
    assert describe_data(numpy.array(["b", "a", "b"]), target=True)["classes"] == [["a", 1], ["b", 2]]
    assert describe_data(numpy.array([True, False, True]), target=True)["classes"] == [[False, 1], [True, 2]]
    objects = numpy.array(["b", "a", "b"], dtype=object)
    assert describe_data(objects, target=True)["classes"] == [["a", 1], ["b", 2]]
    assert "classes" not in describe_data(y)
    many = describe_data(numpy.arange(1000), target=True)
    assert "classes" not in many
    assert many["features"]["max"] == [999.0]


def test_a_frame():
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    facts = describe_data(frame)
    assert facts["type"].endswith("DataFrame")
    assert facts["shape"] == [150, 4]
    assert facts["columns"] == ["a", "b", "c", "d"]
    assert facts["features"]["mean"] == six(frame.mean())
    assert facts["features"]["std"] == six(frame.std(ddof=0))
    assert facts["hash"] != describe_data(frame.iloc[:, ::-1])["hash"]


def test_a_mixed_frame():
    frame = pandas.DataFrame(
        {
            "number": [1.0, numpy.nan, 3.0],
            "text": ["a", None, "c"],
            "kind": pandas.Categorical(["u", "v", "u"]),
            "when": pandas.to_datetime(["2020-01-01", None, "2021-01-01"]),
            "whole": pandas.array([1, None, 3], dtype="Int64"),
            "flag": [True, False, True],
            "thing": [{}, [], object()],
        }
    )
    facts = describe_data(frame)
    assert facts["shape"] == [3, 7]
    assert facts["columns"] == list(frame.columns)
    assert facts["dtypes"] == [str(dtype) for dtype in frame.dtypes]
    assert facts["partly_hashed"] is True
    changed = frame.copy()
    changed.loc[0, "text"] = "b"
    assert describe_data(changed)["hash"] != facts["hash"]
    changed = frame.copy()
    changed.loc[0, "kind"] = "v"
    assert describe_data(changed)["hash"] != facts["hash"]
    assert describe_data(frame.copy())["hash"] == facts["hash"]


def test_columns_with_odd_names():
    twice = pandas.DataFrame(X[:, :2], columns=["a", "a"])
    assert describe_data(twice)["columns"] == ["a", "a"]
    assert describe_data(twice)["features"]["mean"] == six(X[:, :2].mean(0))
    numbers = pandas.DataFrame(X)
    assert describe_data(numbers)["shape"] == [150, 4]
    levels = pandas.DataFrame(X[:, :2], columns=pandas.MultiIndex.from_tuples([("a", 1), ("b", 2)]))
    assert describe_data(levels)["shape"] == [150, 2]


def test_a_series():
    facts = describe_data(pandas.Series(y, name="species"), target=True)
    assert (facts["name"], facts["shape"], facts["dtype"]) == ("species", [150], "int64")
    assert facts["classes"] == [[0, 50], [1, 50], [2, 50]]
    texts = describe_data(pandas.Series(["b", "a", "b"], name=3), target=True)
    assert texts["name"] == 3
    assert texts["classes"] == [["a", 1], ["b", 2]]
    kinds = describe_data(pandas.Series(["b", "a", "b"], dtype="category"), target=True)
    assert kinds["classes"] == [["a", 1], ["b", 2]]


def test_polars():
    frame = polars.DataFrame({"a": X[:, 0], "b": X[:, 1], "t": ["x"] * 150})
    facts = describe_data(frame)
    assert facts["shape"] == [150, 3]
    assert facts["columns"] == ["a", "b", "t"]
    assert facts["dtypes"] == ["Float64", "Float64", "String"]
    other = describe_data(frame.with_columns(polars.col("a") + 1))
    assert other["hash"] != facts["hash"]
    texts = describe_data(frame.with_columns(t=polars.lit("y")))
    assert texts["hash"] != facts["hash"]
    assert describe_data(polars.DataFrame({"a": [1], "b": [[1]]}))["partly_hashed"] is True
    assert describe_data(polars.Series("s", [1, 2, 2]), target=True)["classes"] == [[1, 1], [2, 2]]


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
def test_sparse(form, kind):
    dense = numpy.where(numpy.random.default_rng(0).random((20, 10)) < 0.2, 1.5, 0.0)
    data = getattr(scipy.sparse, f"{form}_{kind}")(dense)
    facts = describe_data(data)
    assert facts["shape"] == [20, 10]
    assert facts["nonzero"] == data.nnz
    assert describe_data(data.copy())["hash"] == facts["hash"]
    other = data.copy()
    other.data[0] += 1
    assert describe_data(other)["hash"] != facts["hash"]


def test_lists():
    assert describe_data([[1.0, 2.0], [3.0, 4.0]])["features"]["mean"] == [2.0, 3.0]
    assert describe_data([0, 1, 1], target=True)["classes"] == [[0, 1], [1, 2]]
    assert describe_data(["a", "b"], target=True)["classes"] == [["a", 1], ["b", 1]]
    assert describe_data([])["type"] == "list"
    assert describe_data([[1], [2, 3]])["shape"] == [2]
    assert describe_data([2**70])["shape"] == [1]
    assert describe_data([{"a": 1}])["shape"] == [1]
    assert describe_data(None) is None
    assert describe_data((1.0, 2.0))["shape"] == [2]


ODD = [
    numpy.array([]),
    numpy.zeros((0, 3)),
    numpy.zeros((3, 0)),
    numpy.array(5.0),
    numpy.array(["2020-01-01", "NaT"], dtype="datetime64[D]"),
    numpy.array([1, 2], dtype="timedelta64[s]"),
    numpy.array([1 + 2j, 3]),
    numpy.array([b"a", b"bc"]),
    numpy.array(["a", "ü\ud800"]),
    numpy.array([(1, 2.0)], dtype=[("a", int), ("b", float)]),
    numpy.zeros((2, 3, 4)),
    numpy.array([object(), None], dtype=object),
    numpy.array(7, dtype=object),
    numpy.array([numpy.nan, numpy.inf, -numpy.inf]),
    numpy.array([1e308, 1e308, -1e308]),
    numpy.array([2**63], dtype="uint64"),
    numpy.array([1, 2], dtype="float16"),
    numpy.array([1.0, 2.0]).astype(">f8"),
    numpy.zeros(3, dtype="longdouble"),
    pandas.DataFrame(),
    pandas.DataFrame({"a": []}),
    pandas.DataFrame(index=range(3)),
    pandas.Series([], dtype=float),
    pandas.Series(pandas.period_range("2020", periods=2)),
    polars.DataFrame(),
    polars.Series("x", [], dtype=polars.Float64),
    polars.DataFrame({"a": [None, None], "b": [[1], [2]], "c": [1, None]}),
    scipy.sparse.csr_matrix((0, 3)),
]


@pytest.mark.parametrize("which", range(len(ODD)))
def test_odd_data_is_described_without_a_warning(which):
    data = ODD[which]
    facts = describe_data(data)  # warnings are errors here
    assert facts["type"]
    assert facts["shape"] == list(getattr(data, "shape", ()))
    describe_data(data, target=True)


def test_orders_and_strides_are_no_difference():
    assert describe_data(numpy.asfortranarray(X))["hash"] == describe_data(X)["hash"]
    assert describe_data(numpy.repeat(X, 2, axis=1)[:, ::2])["hash"] == describe_data(X)["hash"]
    assert describe_data(X[::-1][::-1])["hash"] == describe_data(X)["hash"]


@pytest.mark.parametrize(("row", "column"), [(0, 0), (75, 2), (149, 3)])
def test_one_cell_changes_the_hash(row, column):
    other = X.copy()
    other[row, column] = numpy.nextafter(other[row, column], 9)
    assert describe_data(other)["hash"] != describe_data(X)["hash"]
    assert describe_data(pandas.DataFrame(other))["hash"] != describe_data(pandas.DataFrame(X))["hash"]


def test_shape_and_dtype_change_the_hash():
    hashes = [describe_data(data)["hash"] for data in (X, X.reshape(75, 8), X.astype("float32"), X.T, X[:149])]
    assert len(set(hashes)) == 5
    assert describe_data(numpy.array(["a", "b"], dtype=object))["hash"] != describe_data(
        numpy.array(["a\0b"], dtype=object)
    ).get("hash")
    assert (
        describe_data(numpy.array(["a', 'b"], dtype=object))["hash"]
        != describe_data(numpy.array(["a", "b"], dtype=object))["hash"]
    )


def test_a_large_array_is_sampled_and_says_so():
    data = numpy.arange(HASH_BYTES // 8 + 1000, dtype=float)
    facts = describe_data(data)
    assert facts["sampled"] is True
    other = data.copy()
    other[0] += 1
    assert describe_data(other)["hash"] != facts["hash"]  # the first block is hashed
    other = data.copy()
    other[-1] += 1
    assert describe_data(other)["hash"] != facts["hash"]  # and the last
    assert describe_data(data.copy())["hash"] == facts["hash"]
    assert "sampled" not in describe_data(data[: HASH_BYTES // 8])


def test_what_is_summarised_or_hashed_in_part_says_so():
    texts = ["a", "b"] * 60_000
    for data in (pandas.Series(texts), polars.Series("t", texts)):
        facts = describe_data(data, target=True)
        assert facts["sampled"] is True
        assert facts["summary_rows"] < 120_000
        assert sum(count for _, count in facts["classes"]) == facts["summary_rows"]
    for data in (pandas.DataFrame({"t": texts}), polars.DataFrame({"t": texts})):
        assert describe_data(data)["sampled"] is True
    wide = pandas.DataFrame(numpy.zeros((2, 1500)))
    assert describe_data(wide)["partly_hashed"] is True
    assert len(describe_data(wide)["features"]["mean"]) == 100
    many = numpy.arange(25_000) % 5
    facts = describe_data(many, target=True)
    assert facts["summary_rows"] == len(many[::3]) == sum(count for _, count in facts["classes"])
    assert "summary_rows" not in describe_data(many[:10_000])


def test_foreign_and_lazy_types_are_named_only(tmp_path):
    class Mine(numpy.ndarray):
        pass

    class Lazy:
        shape = (3, 4)

        def __array__(self, *args, **kwargs):
            raise AssertionError("computed")

        def __len__(self):
            raise AssertionError("asked")

        def __iter__(self):
            raise AssertionError("read")

    assert describe_data(X.view(Mine))["type"].endswith("Mine")
    assert "hash" not in describe_data(X.view(Mine))
    assert describe_data(Lazy())["type"].endswith("Lazy")
    path = tmp_path / "x.npy"
    numpy.save(path, X)
    mapped = describe_data(numpy.load(path, mmap_mode="r"))
    assert mapped["type"] == "numpy.memmap"
    assert "hash" not in mapped
    frame = polars.DataFrame({"a": [1]}).lazy()
    assert describe_data(frame)["type"].endswith("LazyFrame")
    assert describe_data(x for x in [1])["type"] == "generator"
    assert describe_data(iter([1]))["type"] == "list_iterator"


def test_a_hash_is_of_what_is_in_the_data_not_of_where_it_lies():
    kinds = [numpy.dtype(object)]
    if hasattr(numpy.dtypes, "StringDType"):  # NumPy 2
        kinds.append(numpy.dtypes.StringDType())
    for kind in kinds:
        long, same, other = (numpy.array(["".join(["long text "] * 9 + [end])], dtype=kind) for end in "aab")
        assert describe_data(long)["hash"] == describe_data(same)["hash"] != describe_data(other)["hash"]
    fields = numpy.array([("a", 1.0)], dtype=[("thing", object), ("number", float)])
    assert "hash" not in describe_data(fields)  # what its things are is not looked at


def test_no_user_object_is_asked_for_anything():
    class Silent:
        def __repr__(self):
            raise AssertionError("asked")

        __str__ = __eq__ = __len__ = __float__ = __lt__ = __repr__

        def __hash__(self):
            raise AssertionError("asked")

    cells = numpy.empty(2, dtype=object)
    cells[:] = [Silent(), Silent()]
    for data in (cells, [Silent()], pandas.DataFrame({"a": cells}), pandas.Series(cells)):
        facts = describe_data(data, target=True)
        assert "hash" not in facts or facts["partly_hashed"]


def test_nothing_moves_and_nothing_changes():
    frame = pandas.DataFrame({"a": X[:, 0], "t": ["x"] * 150})
    before = X.tobytes(), numpy.random.get_state()[1].tobytes(), frame.copy(), numpy.geterr()
    for data in (X, y, frame, scipy.sparse.csr_matrix(X)):
        describe_data(data, target=True)
    assert (X.tobytes(), numpy.random.get_state()[1].tobytes(), numpy.geterr()) == (before[0], before[1], before[3])
    pandas.testing.assert_frame_equal(frame, before[2])
    frozen = X.copy()
    frozen.flags.writeable = False
    assert describe_data(frozen)["hash"] == describe_data(X)["hash"]


def quickest(data, bound):
    return least(lambda: seconds(lambda: describe_data(data)), bound)


def test_it_costs_little():
    """Twice what is promised: this machine is shared."""
    assert quickest(X, 0.002) < 0.002
    assert quickest(numpy.zeros((125_000, 100)), 0.040) < 0.040
    assert quickest(numpy.asfortranarray(numpy.zeros((125_000, 100))), 0.040) < 0.040
    assert quickest(pandas.DataFrame(numpy.zeros((125_000, 100))), 0.080) < 0.080
    half = numpy.zeros((100_000, 100))
    half[:, ::2] = 1.5
    assert quickest(scipy.sparse.csr_array(half), 0.040) < 0.040
