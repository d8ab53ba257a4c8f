"""What somebody wrote into a store is not believed: signatures, descriptions, paths, names, files beside a model."""

import json
import logging
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import autotrack
from autotrack.cli.main import group
from tests.models.toy import log_toy

DEEP: object = []
for _ in range(200):
    DEEP = [DEEP]


def rewrite(path: Path, **fields: object) -> None:
    """Other fields in the version.json of a registered version; ``model__x`` is the field x of its model."""
    content = json.loads(path.read_bytes())
    for name, value in fields.items():
        target, _, inner = name.partition("__")
        if inner:
            content[target][inner] = value
        else:
            content[name] = value
    path.write_text(json.dumps(content) + "\n")


@pytest.fixture
def version(tracked) -> Path:
    """The version.json of models:/slopes/1."""
    autotrack.register_model(log_toy(1.0, rate=0.5), "slopes", "champion", description="fine")
    return tracked / "registry/slopes/versions/1/version.json"


def call(store: Path, *arguments: str):
    return CliRunner().invoke(group, ["models", *arguments, "--store", str(store)], prog_name="autotrack")


@pytest.mark.parametrize(
    "signature",
    [
        {"inputs": 5}, {"inputs": []}, {"inputs": {"shape": 5}}, {"inputs": {"shape": "abc"}}, {"inputs": DEEP},
        {"inputs": {"shape": [None, "x"]}}, {"inputs": {"shape": [None, -5]}}, {"inputs": {"shape": [None, 10**30]}},
        {"inputs": {"columns": 5, "shape": [None, 1]}}, {"inputs": {"columns": [DEEP], "shape": [None, 1]}},
        {"inputs": {"columns": ["a"], "dtypes": 3, "shape": [None, 1]}},
        {"inputs": {"shape": [None], "dtype": {"a": 1}}},
        {"inputs": {"tensors": 5}}, {"inputs": {"tensors": {"a": 5}}}, {"inputs": {"tensors": {"a": {"shape": 5}}}},
        {"inputs": {"tensors": {"a": {"tensors": {"b": {"tensors": {}}}}}}}, {"inputs": {"shape": [None] * 100_000}},
        {"inputs": {"columns": list(range(200_000)), "shape": [None, 200_000]}},
    ],
    ids=lambda signature: f"{str(signature['inputs'])[:40]}-{len(str(signature))}",
)  # fmt: skip
def test_a_signature_that_is_none(version, tracked, tmp_path, signature):
    rewrite(version, model__signature=signature)
    stored = autotrack.get_model("models:/slopes/1")
    if stored.signature:
        assert all(isinstance(text, str) for text in stored.check([[1.0]]))
    else:
        with pytest.raises(autotrack.ModelError, match="it has no signature"):
            stored.check([[1.0]])
    stored.export(tmp_path / "out")
    assert autotrack.load_model("models:/slopes/1").slope == 1.0
    for arguments in (["show", "models:/slopes/1"], ["diff", "models:/slopes/1", "models:/slopes/1"], ["ls", "slopes"]):
        done = call(tracked, *arguments)
        assert done.exit_code == 0, done.exception
        assert len(done.stdout) < 10_000


@pytest.mark.parametrize(
    "lineage",
    [{"git": "x", "data": 5, "params": [1], "metrics": "y"}, {"git": DEEP}, {"data": {"X": 3}}],
    ids=["wrong types", "deep", "data"],
)
def test_a_lineage_that_is_none(version, tracked, tmp_path, lineage):
    rewrite(version, lineage=lineage)
    for arguments in (["show", "models:/slopes/1"], ["ls", "slopes"], ["diff", "models:/slopes/1", "models:/slopes/1"]):
        done = call(tracked, *arguments)
        assert done.exit_code == 0, done.exception
    autotrack.get_model("models:/slopes/1").export(tmp_path / "out")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"k":"note","text":"x"}', b"[" * 100_000, b'{"k":"version","n":1}', None],
    ids=["empty", "torn", "list", "null", "another record", "deep", "half", "absent"],
)
def test_a_description_that_is_none_costs_its_version_alone(version, tracked, content):
    autotrack.register_model(log_toy(2.0), "slopes")
    version.unlink()
    if content is not None:
        version.write_bytes(content)
    model = autotrack.get_registered_model("slopes")
    assert list(model.versions) == [2]
    assert any("version 1 cannot be read" in problem for problem in model.problems)
    assert autotrack.load_model("models:/slopes/2").slope == 2.0
    with pytest.raises(autotrack.ModelNotFound):
        autotrack.load_model("models:/slopes/1")
    assert call(tracked, "ls").exit_code == 0


@pytest.mark.parametrize(
    "path",
    ["../1/model.toy", "/etc/passwd", "../../../../../../etc/passwd", "a/../../x", "", ".", "version.json\0", "code/x"],
)
def test_a_path_that_leads_elsewhere_is_refused(version, path):
    rewrite(version, model__path=path)
    for act in ("read", "needs", "load"):
        with pytest.raises(autotrack.AutotrackError):
            getattr(autotrack.get_model("models:/slopes/1"), act)()
    with pytest.raises(autotrack.AutotrackError):
        autotrack.register_model("models:/slopes/1", "again")
    assert [model.name for model in autotrack.registered_models()] == ["slopes"]


@pytest.mark.parametrize("size", [0, -5, 10**15], ids=str)
def test_a_size_that_is_another_takes_no_memory(version, size):
    """A file is no longer than it is, and its hash says whether it is the one."""
    rewrite(version, model__size=size)
    if size > 0:
        assert autotrack.load_model("models:/slopes/1").slope == 1.0
        return
    with pytest.raises(autotrack.ModelError, match="sha256 differs"):
        autotrack.load_model("models:/slopes/1")


def test_a_pipe_in_a_files_place_is_none(version):
    for name in ("model.toy", "requirements.txt", "input_example.json"):
        (version.parent / name).unlink(missing_ok=True)
        os.mkfifo(version.parent / name)
    stored = autotrack.get_model("models:/slopes/1")
    assert (stored.input_example, stored.beside("requirements.txt")) == (None, None)
    with pytest.raises(autotrack.AutotrackError):
        stored.load()


@pytest.mark.parametrize("ref", [
    "models:/../runs/1", "models:/slopes/../1", "models:/slopes/1/../2", "models:/slopes@../../x", "models:/",
    "models:/@", "models:/slopes/\n", "models:/slopes/٣", "models:/slopes/-1", "models:/slopes/1e0",
    "@last/../..", "../../etc", "", "models:/slopes/" + "9" * 5000,
], ids=lambda ref: repr(ref)[:30])  # fmt: skip
def test_a_reference_that_leads_elsewhere_is_refused(version, ref):
    with pytest.raises(autotrack.AutotrackError):
        autotrack.load_model(ref)


def test_words_of_a_store_give_a_terminal_no_orders(version, tracked, tmp_path, caplog):
    rewrite(version, model__cls="a\x1b[2J\nb", by="\x1b]0;x\x07", model__requires={"\x1b[1m": "\n1"}, run="\x1b[3m")
    rewrite(version, model__signature={"inputs": {"shape": [None, 1], "columns": ["\x1b[31m"], "dtypes": ["\x1b"]}})
    rewrite(version, lineage={"run_name": "\x1b[5m", "git": {"commit": "\x1b[7m"}, "data": {"\x1b": {"shape": "\x1b"}}})
    autotrack.update_model("slopes", 1, tags={"\x1b": "\x1b[2J"}, description="\x1b[2J\nx")
    ref = "models:/slopes/1"
    for arguments in (["show", ref], ["ls"], ["ls", "slopes"], ["export", ref, str(tmp_path / "o")]):
        done = call(tracked, *arguments)
        assert done.exit_code == 0, done.exception
        assert not {"\x1b", "\x07"} & set(done.output), arguments
    assert "\x1b" not in repr(autotrack.get_model(ref))
    with caplog.at_level(logging.WARNING, "autotrack"):
        autotrack.load_model(ref)
    assert "not installed here" in caplog.text
    assert "\x1b" not in caplog.records[-1].getMessage()


def test_what_stands_in_requirements_is_nothing_that_pip_would_obey(version, tmp_path):
    names = {"good": "1.0", "x\n--index-url=http://evil": "1", "evil @ http://x": "1", "y": "1\n-r z"}
    rewrite(version, model__requires=names)
    (version.parent / "requirements.txt").unlink()
    (version.parent / "requirements.txt").write_text("good==1.0\n--extra-index-url http://evil\n")
    autotrack.get_model("models:/slopes/1").export(tmp_path / "out")
    assert (tmp_path / "out/requirements.txt").read_text() == "good==1.0\n"


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"\xff"], ids=["torn", "deep", "bytes"])
def test_an_input_example_that_is_none(version, tracked, tmp_path, content):
    (version.parent / "input_example.json").write_bytes(content)
    stored = autotrack.get_model("models:/slopes/1")
    with pytest.raises(autotrack.ModelError, match="input example"):
        _ = stored.input_example
    assert stored.load().slope == 1.0


@pytest.mark.parametrize("kind", ["full", "file", "link", "dangling", "full link"])
def test_an_export_goes_nowhere_but_into_a_new_or_empty_folder(version, tmp_path, kind):
    target, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    if kind == "full":
        target.mkdir()
        (target / "mine").write_text("x")
    elif kind == "file":
        target.write_text("x")
    else:
        target.symlink_to(tmp_path / "nowhere" if kind == "dangling" else other)
        if kind == "full link":
            (other / "mine").write_text("x")
    before = {path: path.read_bytes() for path in tmp_path.glob("o*/**/*") if path.is_file()}
    with pytest.raises(autotrack.AutotrackError):
        autotrack.get_model("models:/slopes/1").export(target)
    assert {path: path.read_bytes() for path in tmp_path.glob("o*/**/*") if path.is_file()} == before
    assert not list(tmp_path.glob(".*tmp"))


@pytest.mark.parametrize("name", ["load.py", "MLmodel", "model.json", "requirements.txt", "code"])
def test_a_model_file_takes_no_other_files_place_in_a_folder(version, tmp_path, name):
    content = (version.parent / "model.toy").read_bytes()
    (version.parent / name).unlink(missing_ok=True)
    (version.parent / name).write_bytes(content)
    rewrite(version, model__path=name)
    with pytest.raises(autotrack.ModelError, match="cannot be exported"):
        autotrack.get_model("models:/slopes/1").export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_of_types_in_a_message_give_a_terminal_no_orders():
    """A file names the types that nobody vouched for."""
    from autotrack.models import register_format, vouched
    from tests.models.toy import ToyFormat

    class Hostile(ToyFormat):
        name = "hostile"

        def untrusted(self, data):
            return ["a\x1b[2J\nb"]

    register_format(Hostile())
    with pytest.raises(autotrack.ModelNotTrusted) as caught:
        vouched(b"", "hostile", None, "x")
    assert "\x1b" not in str(caught.value)
    assert caught.value.untrusted == ("a\x1b[2J\nb",)
