"""``autotrack models``: what each command prints, refuses, and gives as JSON."""

import json
import pickle

import pytest
from click.testing import CliRunner

import autotrack
from autotrack.cli.main import group
from tests.models.toy import log_toy


@pytest.fixture
def call(tracked, monkeypatch):
    """``call("ls")`` is the Result of ``autotrack models ls`` on the store of this test."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str):
        return CliRunner().invoke(group, ["models", *arguments, "--store", str(tracked)], prog_name="autotrack")

    return run


def lines(result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_register_alias_and_ls(call):
    one, two = log_toy(1.0), log_toy(2.0)
    assert lines(call("register", one, "slopes", "--alias", "champion", "--tag", "a=b")) == ["models:/slopes/1"]
    assert lines(call("register", two, "slopes", "--description", "steeper")) == ["models:/slopes/2"]
    assert lines(call("alias", "slopes", "champion", "2")) == []
    assert lines(call("ls"))[1:] == ["slopes 2 champion → 2 Toy, now"]
    told = lines(call("ls", "slopes"))
    names = [autotrack.get_run(run).name for run in (one, two)]
    assert told[1].startswith("2 champion now ")
    assert told[1].endswith(f"{names[1]} steeper")
    assert told[2].endswith(f"{names[0]} a=b")
    assert [line.split("  ")[0].split(" ", 3)[3] for line in told[3:]] == [
        "champion → 1; version 1: a=b", "version 2: 'steeper'", "champion → 2",
    ]  # fmt: skip
    assert lines(call("alias", "slopes", "champion", "--remove")) == []
    assert lines(call("ls"))[1:] == ["slopes 2 Toy, now"]


def test_json(call):
    run = log_toy(1.0, rate=0.5, top=float("inf"))
    call("register", run, "slopes", "--alias", "champion")
    (model,) = json.loads(call("ls", "--json").stdout)
    assert model == json.loads(call("ls", "slopes", "--json").stdout)
    assert (model["name"], model["aliases"]) == ("slopes", {"champion": 1})
    (version,) = model["versions"]
    params = {"rate": 0.5, "top": {"$float": "inf"}}
    assert (version["version"], version["run"], version["lineage"]["params"]) == (1, run, params)
    (change,) = model["history"]
    assert (change["version"], change["aliases"]) == (1, {"champion": 1})
    shown = json.loads(call("show", "models:/slopes@champion", "--json").stdout)
    assert shown["lineage"]["params"] == params
    assert (shown["ref"], shown["needs"], shown["sha256"]) == ("models:/slopes/1", [], version["sha256"])


def test_show_says_what_has_to_be_trusted_before_anything_is_loaded(call):
    run = log_toy(-1.0)
    told = dict(line.split(" ", 1) for line in lines(call("show", run)))
    assert (told["model"], told["format"], told["size"]) == (f"{run}/model", "toy", "4 bytes")
    assert told["to"] == "load it toy.Strange"
    assert told["sha256"] == autotrack.get_model(run).sha256


def test_show_says_of_a_pickle_that_it_runs_code(call, tmp_path):
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(1))
    with autotrack.start_run() as run:
        run.log_model(tmp_path / "m.pkl")
    (told,) = [line for line in lines(call("show", run.id)) if line.startswith("to load it")]
    assert told == "to load it trusted=True: it is a pickle, and opening it runs whatever code is in it"
    refused = call("export", run.id, str(tmp_path / "out"))
    assert "Here: --trust-all" in str(refused.exception)
    assert call("export", run.id, str(tmp_path / "out"), "--trust-all").exit_code == 0


def test_diff_names_what_differs_alone(call):
    one, two = log_toy(1.0, rate=0.5, depth=3), log_toy(25.0, rate=0.7, depth=3)
    keys = json.loads(call("diff", one, two, "--json").stdout)
    assert keys["params.rate"] == [0.5, 0.7]
    assert keys["size"] == [3, 4]
    assert not {"params.depth", "class", "format"} & keys.keys()
    assert "params.rate 0.5 0.7" in lines(call("diff", one, two))
    assert call("diff", one, one).stderr == "They do not differ.\n"


def test_export_says_what_has_to_be_vouched_for(call, tmp_path):
    run = log_toy(-1.0)
    refused = call("export", run, str(tmp_path / "out"))
    assert isinstance(refused.exception, autotrack.ModelNotTrusted)
    assert "Here: --trust toy.Strange" in str(refused.exception)
    assert not (tmp_path / "out").exists()
    for number, more in enumerate((["--trust", "toy.Strange"], ["--trust-all"])):
        done = call("export", run, str(tmp_path / f"out{number}"), *more)
        assert (done.exit_code, done.stdout) == (0, "")
        assert (tmp_path / f"out{number}/load.py").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["alias", "slopes", "champion"], "or --remove"),
        (["alias", "slopes", "champion", "1", "--remove"], "or --remove"),
        (["register", "@last", "slopes", "--tag", "x"], "KEY=VALUE"),
    ],
    ids=["no version", "version and remove", "tag"],
)
def test_wrong_use_is_said(call, arguments, words):
    result = call(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize(
    ("ref", "uri"), [("slopes", "slopes/latest"), ("slopes/1", "slopes/1"), ("slopes@best", "slopes@best")]
)
def test_the_name_of_a_registered_model_alone_is_answered_with_its_reference(call, ref: str, uri: str):
    autotrack.register_model(log_toy(1.0), "slopes", alias="best")
    with pytest.raises(autotrack.RunNotFound, match=rf"no run matches .*; the registered model is models:/{uri}$"):
        autotrack.get_model(ref)
    assert autotrack.get_model(f"models:/{uri}").ref == "models:/slopes/1"
    with pytest.raises(autotrack.RunNotFound, match=r"lists them$"):
        autotrack.get_model("other")


def test_an_empty_registry_says_what_to_do(call):
    autotrack.start_run().end()
    result = call("ls")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "autotrack models register @last NAME" in result.stderr


def test_edit_changes_what_is_said_of_a_version_and_of_the_whole(call):
    for slope in (1.0, 2.0):
        call("register", log_toy(slope), "slopes", "--alias", "champion", "--tag", "a=b")
    assert lines(call("edit", "slopes/1", "--tag", "checked=yes", "-t", "x=1=2", "--untag", "a")) == []
    assert lines(call("edit", "models:/slopes@champion", "--description", "steeper")) == []
    assert lines(call("edit", "slopes", "--tag", "team=sales", "--description", "of lines")) == []
    (model,) = json.loads(call("ls", "--json").stdout)
    assert [(version["tags"], version["description"]) for version in model["versions"]] == [
        ({"checked": "yes", "x": "1=2"}, ""), ({"a": "b"}, "steeper"),
    ]  # fmt: skip
    assert (model["tags"], model["description"]) == ({"team": "sales"}, "of lines")
    told = [line.split(" ", 3)[3] for line in lines(call("ls", "slopes"))[-3:]]
    assert told == [
        "version 1: a taken away; version 1: checked=yes; version 1: x=1=2", "version 2: 'steeper'",
        "team=sales; 'of lines'",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["edit", "slopes/1"], "say what is to change"),
        (["edit", "slopes/1", "--tag", "x"], "KEY=VALUE"),
        (["edit", "slopes/9", "--tag", "x=1"], "no version or alias '9'; versions: 1"),
        (["edit", "other", "--tag", "x=1"], "no registered model 'other'"),
        (["edit", "../slopes", "--tag", "x=1"], "no registered model"),
    ],
    ids=["nothing", "tag", "version", "model", "path"],
)
def test_edit_says_what_it_cannot_do(call, arguments, words):
    call("register", log_toy(1.0), "slopes")
    result = call(*arguments)
    assert result.exit_code != 0
    assert words in result.stderr + str(result.exception)
