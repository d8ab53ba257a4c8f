"""Commands that find and compare: the columns of ls, diff, best, export."""

import csv
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import autotrack
from autotrack.columns import chosen_columns, usual_columns
from autotrack.comparison import compare_runs
from tests.test_cli import call, on_a_terminal, process, strict_json

ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "AUTOTRACK_STORE"}
TRAINING = """
import autotrack, autotrack.facts
autotrack.facts.EXIT_WAIT = 60.0  # the machine may be slow
autotrack.enable()
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV

X, y = load_iris(return_X_y=True)
for C in (0.1, 1.0, 10.0):
    model = LogisticRegression(C=C, max_iter=500).fit(X, y)
    autotrack.log_metrics({"accuracy": model.score(X, y)})
    autotrack.set_tags({"team": f"t{C:g}"})
GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=2).fit(X, y)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real trainings, read by several tests: three of one class, a search with two candidates."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "train.py").write_text(TRAINING)
    subprocess.run([sys.executable, "train.py"], cwd=folder, check=True, timeout=300, env=ENVIRONMENT)
    return folder / ".autotrack"


@pytest.fixture
def runs(trained: Path) -> Callable[..., autotrack.RunList]:
    """``autotrack.runs`` of those trainings."""
    return partial(autotrack.runs, store=trained)


def header(text: str) -> list[str]:
    return text.splitlines()[0].split()


# ---- ls ------------------------------------------------------------------------------------------------------------


def test_what_matters_most_stays_at_80_columns(trained: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    narrow = call("ls", store=trained).stdout
    assert header(narrow)[:2] == ["run", "status"]
    assert {"accuracy", "C"} <= set(header(narrow))
    assert max(map(len, narrow.splitlines())) <= 80
    monkeypatch.setenv("COLUMNS", "200")
    wide = call("ls", store=trained).stdout
    assert set(header(narrow)) < set(header(wide))
    assert header(wide)[2:5] == ["started", "took", "children"]


def test_piped_nothing_is_cut(tracked: Path):
    with autotrack.start_run("n" * 40) as run:
        run.log_metrics({"m" * 30: 1.0, "k" * 30: 1.0})
    done = process("ls", cwd=tracked.parent, COLUMNS="")
    assert "n" * 40 in done.stdout
    assert "…" not in done.stdout


def test_chosen_columns(trained: Path, runs):
    done = call("ls", "-c", "params.C,metrics.accuracy,tags.team,by,duration", store=trained)
    assert header(done.stdout) == ["run", "C", "accuracy", "team", "by", "duration"]
    columns = {
        column.name: column.cells for column in chosen_columns(runs("params.C > 0"), "params.C,tags.team,metrics.none")
    }
    assert columns["C"] == ["10.0", "1.0", "0.1"]
    assert columns["team"] == ["t10", "t1", "t0.1"]
    assert columns["none"] == ["", "", ""]


def test_odd_columns(tracked: Path):
    with autotrack.start_run("a") as run:
        run.log_metrics({"a,b": 0.5, "val loss": 0.25})
    runs = autotrack.runs()
    assert [column.cells for column in chosen_columns(runs, "metrics.`a,b`,metrics.`val loss`")][1:] == [
        ["0.5"],
        ["0.25"],
    ]
    for odd in ("accuracy", "", "params.C,", "metrics.x DESC", "metrics.`a"):
        with pytest.raises(autotrack.FilterError):
            chosen_columns(runs, odd)


def test_children_stand_below_their_parent(trained: Path):
    lines = call("ls", "--children", "-c", "params.alpha", store=trained).stdout.splitlines()
    assert lines[1].startswith("GridSearchCV")
    assert [line.split() for line in lines[2:4]] == [["alpha=1", "1.0"], ["alpha=2", "2.0"]]
    assert lines[2].startswith("  alpha")
    assert lines[4].startswith("LogisticRegression")


def test_child_runs_are_found_and_ranked(trained: Path, runs):
    search = runs("name LIKE 'GridSearchCV%'")[0]
    found = runs(parent=search.id)
    assert [child.id for child in found] == [child.id for child in search.children]
    assert [child.params["alpha"] for child in runs("params.alpha > 1", parent=search.id)] == [2.0]
    assert [child.params["alpha"] for child in runs(order_by="params.alpha DESC", parent=search.id)] == [2.0, 1.0]
    assert [child.params["alpha"] for child in runs(order_by="params.alpha DESC", limit=1, parent=search.id)] == [2.0]
    assert set(found.to_pandas()["params.alpha"]) == {1.0, 2.0}
    (key,) = {key for child in found for key in child.metrics} & {"mean_test_score", "score"}
    best = max(found, key=lambda child: child.metrics[key])
    ranked = strict_json(call("best", key, "--parent", search.id, "--json", store=trained).stdout)
    assert (ranked[0]["id"], len(ranked)) == (best.id, 2)
    shown = call("ls", "params.alpha > 1", "-p", search.id, "-c", "params.alpha", store=trained).stdout
    assert [line.split()[-1] for line in shown.splitlines()] == ["alpha", "2.0"]
    exported = call("export", "--parent", search.id, store=trained).stdout
    assert [row["params.alpha"] for row in csv.DictReader(io.StringIO(exported))] == ["1.0", "2.0"]


def test_a_run_without_children_says_so(trained: Path, runs):
    plain = runs("params.C = 1.0")[0]
    done = call("ls", "--parent", plain.id, store=trained)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"{plain.id} has no child runs.\n"
    with pytest.raises(autotrack.ConfigError, match="an experiment or a parent, not both"):
        runs(experiment="train", parent=plain.id)
    with pytest.raises(autotrack.RunNotFound):
        runs(parent="nothing")


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 140, None], ids=str)
def test_a_table_is_as_wide_as_its_screen(runs, width: int | None):
    columns = usual_columns(runs(), width)
    assert len(columns) == 2 or sum(column.width for column in columns) - 2 <= (width or 10_000)
    assert [column.name for column in columns][:2] == ["run", "status"]


# ---- diff ----------------------------------------------------------------------------------------------------------


def test_diff_of_two_trainings(trained: Path, runs):
    one, other = runs("params.C IN (0.1, 1)", order_by="params.C")
    done = strict_json(call("diff", one.id, other.id, "--json", store=trained).stdout)
    assert done["runs"] == [one.id, other.id]
    assert done["sections"]["params"] == {"C": {"one": 0.1, "other": 1.0}}
    assert done["sections"]["tags"] == {"team": {"one": "t0.1", "other": "t1"}}
    accuracies = {"one": one.metrics["accuracy"], "other": other.metrics["accuracy"]}
    assert done["sections"]["metrics"]["accuracy"] == accuracies
    assert not {"packages", "data", "git", "environment", "estimator"} & set(done["sections"])
    assert done["code"] == {}
    shown = call("diff", one.id, other.id, store=trained).stdout
    assert ["C", "0.1", "1.0"] in [line.split() for line in shown.splitlines()]


def test_diff_shows_code_and_what_one_has_not(script, tmp_path: Path):
    code = """
        import autotrack, autotrack.facts
        autotrack.facts.EXIT_WAIT = 60.0  # the machine may be slow
        with autotrack.start_run() as run:
            run.log_params({{"a": {a}}})
        autotrack.set_tags({tags})
    """
    script(code.format(a=1, tags={"only": "here"}))
    script(code.format(a=2, tags={}))
    other, one = autotrack.runs(store=tmp_path / ".autotrack")
    done = strict_json(call("diff", one.id, "--json", store=tmp_path / ".autotrack").stdout)
    assert done["sections"]["tags"] == {"only": {"one": "here"}}
    changed = [line for line in done["code"]["code/train.py"].splitlines() if line[0] in "+-"]
    assert changed[2:] == [
        '-    run.log_params({"a": 1})',
        "-autotrack.set_tags({'only': 'here'})",
        '+    run.log_params({"a": 2})',
        "+autotrack.set_tags({})",
    ]
    shown = call("diff", one.id, other.id, store=tmp_path / ".autotrack").stdout
    assert "+autotrack.set_tags({})" in shown.splitlines()


def test_diff_of_data_and_packages(runs):
    one, other = runs("params.C IN (0.1, 1)", order_by="params.C")
    assert set(compare_runs(one, other).sections) <= {"params", "tags", "metrics", "fitted", "random"}
    other.facts["packages"]["scikit-learn"] = "0.1"
    other.facts["data"]["X"] = {**other.facts["data"]["X"], "hash": "other"}
    found = compare_runs(one, other).sections
    assert found["data"] == {"X.hash": (one.facts["data"]["X"]["hash"], "other")}
    assert found["packages"] == {"scikit-learn": (one.facts["packages"]["scikit-learn"], "0.1")}


def test_diff_tells_types_apart_and_none_from_nothing(tracked: Path):
    with autotrack.start_run("a") as run:
        run.log_params({"flag": 1, "nan": math.nan, "none": None, "same": [1, {"x": 2}]})
    with autotrack.start_run("b") as run:
        run.log_params({"flag": True, "nan": math.nan, "same": [1, {"x": 2}]})
    done = strict_json(call("diff", "a", "b", "--json", store=tracked).stdout)
    assert done["sections"]["params"] == {"flag": {"one": 1, "other": True}, "none": {"one": None}}
    same = call("diff", "a", "a", store=tracked)
    assert (same.exit_code, same.stdout) == (0, "")
    assert "nothing that was recorded" in same.stderr


def test_diff_of_hostile_runs(tracked: Path):
    hostile = "\x1b[2J\u202e"
    with autotrack.start_run("a" + hostile) as run:
        run.log_params({hostile: hostile})
        (tracked / "file").write_text(f"print('{hostile}')\n")
        run.log_artifact(tracked / "file", "code/x.py")
    with autotrack.start_run("b"):
        pass
    shown = call("diff", autotrack.runs()[1].id, "b", store=tracked).stdout
    assert "code/x.py" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


# ---- best ----------------------------------------------------------------------------------------------------------


def test_best(tracked: Path):
    for name, value in (("low", 0.1), ("nan", math.nan), ("high", 0.9), ("middle", 0.5)):
        with autotrack.start_run(name) as run:
            run.log_metrics({"accuracy": value, "val_loss": value, "neg_log_loss": -value})
    with autotrack.start_run("none"):
        pass

    def best(*arguments: str) -> list[str]:
        return [run["name"] for run in strict_json(call("best", *arguments, "--json", store=tracked).stdout)]

    assert best("accuracy") == ["high", "middle", "low"]
    assert best("accuracy", "--min", "-n", "1") == ["low"]
    assert best("val_loss") == ["low", "middle", "high"]
    assert best("neg_log_loss") == ["low", "middle", "high"]  # the highest: -0.1
    assert best("val_loss", "--max") == ["high", "middle", "low"]
    assert best("accuracy", "metrics.accuracy < 0.8") == ["middle", "low"]
    shown = call("best", "accuracy", store=tracked)
    assert shown.stdout.splitlines()[1].split()[0] == "high"
    assert "The highest accuracy of 3 runs" in shown.stderr
    assert f"autotrack show {autotrack.get_run('high').id.partition('-')[2]}" in shown.stderr
    done = process("best", "acc", cwd=tracked.parent)
    assert done.returncode == 1
    assert "there are: accuracy" in done.stderr


# ---- export --------------------------------------------------------------------------------------------------------


def test_export_csv(trained: Path, runs):
    rows = list(csv.DictReader(io.StringIO(call("export", "params.C > 0", store=trained).stdout)))
    found = runs("params.C > 0")
    assert [row["id"] for row in rows] == [run.id for run in found]
    assert [float(row["metrics.accuracy"]) for row in rows] == [run.metrics["accuracy"] for run in found]
    assert [float(row["params.C"]) for row in rows] == [10.0, 1.0, 0.1]
    assert [row["tags.team"] for row in rows] == ["t10", "t1", "t0.1"]


def test_export_history_and_children(trained: Path, runs):
    rows = list(csv.DictReader(io.StringIO(call("export", "--history", "--children", store=trained).stdout)))
    search = runs("params.cv = 2")[0]
    wanted = [point.value for point in search.children[0].history("test_score")]
    found = [row for row in rows if row["id"] == f"{search.id}.1" and row["metric"] == "test_score"]
    assert [float(row["value"]) for row in found] == wanted
    assert [row["step"] for row in found] == ["0", "1"]


def test_export_json_is_strict(tracked: Path, tmp_path: Path):
    with autotrack.start_run("a") as run:
        run.log_metrics({"loss": math.nan}, step=3)
    assert strict_json(call("export", "-f", "json", store=tracked).stdout)[0]["metrics"] == {"loss": {"$float": "nan"}}
    target = tmp_path / "points.json"
    assert "1 runs written" in call("export", "--history", "-o", str(target), store=tracked).stderr
    assert json.loads(target.read_text())[0]["value"] == {"$float": "nan"}


def test_export_parquet(tracked: Path, tmp_path: Path):
    polars = pytest.importorskip("polars")
    for C in (0.5, 2, "text"):
        with autotrack.start_run() as run:
            run.log_params({"C": C, "n": 2**70 if C == 2 else 7, "list": [1, "a"], "\ud800": "\ud800"})
            run.log_metrics({"accuracy": 0.5}, step=1)
            run.log_metrics({"accuracy": math.nan}, step=2)
    target = tmp_path / "runs.parquet"
    call("export", "-o", str(target), store=tracked)
    frame = polars.read_parquet(target)
    assert frame["name"].to_list() == [run.name for run in autotrack.runs()]
    assert frame["params.C"].to_list() == ["text", "2", "0.5"]
    assert frame["params.n"].to_list() == [7.0, float(2**70), 7.0]
    assert all(math.isnan(value) for value in frame["metrics.accuracy"])
    call("export", "--history", "-o", str(target), store=tracked)
    points = polars.read_parquet(target)
    assert points["step"].to_list() == [1, 2] * 3
    assert points["value"].to_list()[0] == 0.5


def test_export_to_where_nothing_can_be_written(tracked: Path, tmp_path: Path):
    done = call("export", "--output", str(tmp_path / "nowhere" / "x.csv"))
    assert done.exit_code == 1
    assert "nowhere/x.csv" in done.stderr
    assert "No such file or directory" in done.stderr


def test_export_of_nothing_and_usage(tmp_path: Path):
    assert process("export", cwd=tmp_path).stdout == "id\n"
    assert process("export", "-f", "json", cwd=tmp_path).stdout == "[]\n"
    assert call("export", "-o", "runs.txt").exit_code == 2


def test_on_a_terminal_an_export_is_not_obeyed(tracked: Path):
    with autotrack.start_run("a\x1b[2J\u202e"):
        pass
    shown = on_a_terminal("export", cwd=tracked.parent)
    assert "a\\x1b[2J\\u202e" in shown
    assert "\x1b" not in shown
