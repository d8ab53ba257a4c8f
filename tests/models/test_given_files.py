"""Models that a person has as files: the suffix says what they are, and no pickle is opened unasked."""

import pickle
from pathlib import Path

import pytest

import autotrack


class Bomb:
    """A pickle of this makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def logged(path: object, **more: object) -> autotrack.StoredModel:
    with autotrack.start_run() as run:
        run.log_model(path, **more)
    return autotrack.get_model(run.id)


def test_a_pickle_is_kept_as_it_is_and_opened_by_ones_word(tracked, tmp_path):
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps({"a": 1}))
    stored = logged(path)
    assert (stored.format, stored.needs(), stored.file_name) == ("pickle", ["pickle"], "model.pickle")
    assert stored.read() == path.read_bytes()
    with pytest.raises(autotrack.ModelNotTrusted, match="is a pickle"):
        stored.load()
    assert stored.load(trusted=True) == {"a": 1}


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".joblib"])
def test_nothing_of_a_bomb_runs_when_it_is_logged_shown_and_registered(tracked, tmp_path, suffix):
    pytest.importorskip("joblib")
    target = tmp_path / "exploded"
    path = tmp_path / f"m{suffix}"
    path.write_bytes(pickle.dumps(Bomb(target)))
    stored = logged(str(path))
    autotrack.register_model(stored.ref, "bombs")
    for ref in (stored.ref, "models:/bombs/1"):
        assert autotrack.get_model(ref).needs() == ["pickle"]
        for trusted in (None, False, [], ["pickle"], ["joblib"], ["builtins.open", "_io.open"]):
            with pytest.raises(autotrack.ModelNotTrusted, match=r"pass trusted=True"):
                autotrack.load_model(ref, trusted=trusted)
            with pytest.raises(autotrack.ModelNotTrusted):
                autotrack.get_model(ref).export(tmp_path / "out", trusted)
    assert not target.exists()
    autotrack.load_model("models:/bombs/1", trusted=True).close()
    assert target.exists()  # it was live


@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps(list(range(1000)))[:50]], ids=["empty", "junk", "torn"])
@pytest.mark.parametrize("suffix", [".pkl", ".joblib"])
def test_what_is_no_pickle_says_so(tracked, tmp_path, suffix, content):
    pytest.importorskip("joblib")
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    stored = logged(path)
    with pytest.raises(autotrack.ModelError, match=r"no pickle|joblib cannot load"):
        stored.load(trusted=True)


def test_files_that_are_no_models_say_what_is_taken(tracked, tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(autotrack.ModelError, match=r"'.*notes\.txt' is no file .* it takes .*\.pickle"):
        logged(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError):
        logged(tmp_path / "absent.pkl")


def test_a_class_of_a_script_that_is_not_there_is_named(tracked, tmp_path, script):
    """Pickled by reference: what is missing is said. By value, with cloudpickle: it loads."""
    pytest.importorskip("cloudpickle")
    script(
        """
        import pickle, cloudpickle
        class Mine:
            slope = 2.5
        with open("by_reference.pkl", "wb") as file:
            pickle.dump(Mine(), file)
        with open("by_value.pkl", "wb") as file:
            cloudpickle.dump(Mine(), file)
        """
    )
    with pytest.raises(autotrack.ModelError, match=r"Mine.*define or import it there first"):
        logged(tmp_path / "by_reference.pkl").load(trusted=True)
    assert logged(tmp_path / "by_value.pkl").load(trusted=True).slope == 2.5


def test_an_example_makes_the_signature(tracked, tmp_path):
    numpy = pytest.importorskip("numpy")
    pandas = pytest.importorskip("pandas")
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(1))
    stored = logged(tmp_path / "m.pkl", example=pandas.DataFrame({"a": [1.0] * 9, "b": range(9)}))
    assert stored.signature["inputs"] == {"shape": [None, 2], "columns": ["a", "b"], "dtypes": ["float64", "int64"]}
    assert stored.input_example == {"columns": ["a", "b"], "rows": [[1.0, float(row)] for row in range(5)]}
    assert stored.check(numpy.zeros((2, 3))) == ["the data has 3 columns, the model was trained on 2"]
    autotrack.register_model(stored.ref, "mine")
    assert autotrack.get_model("models:/mine/1").input_example == stored.input_example
