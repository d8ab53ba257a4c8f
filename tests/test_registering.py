"""Registered models as a person uses them: numbers, aliases, references, lineage, and what is refused."""

import logging
import shutil
from importlib.metadata import version

import pytest

import autotrack
from autotrack import models
from autotrack.backends.housekeeping import housekeeper
from tests.capture.repositories import commit, git
from tests.models.toy import Toy, ToyFormat, log_toy


def test_versions_aliases_and_references(tracked):
    first, second = log_toy(1.0), log_toy(2.0)
    assert autotrack.register_model(first, "slopes", alias="champion") == 1
    assert autotrack.register_model(second, "slopes", tags={"checked": "yes"}, description="steeper") == 2
    for ref, slope in {"@champion": 1.0, "/1": 1.0, "/2": 2.0, "/latest": 2.0}.items():
        assert autotrack.load_model(f"models:/slopes{ref}").slope == slope
    autotrack.update_model("slopes", aliases={"champion": 2})
    assert autotrack.load_model("models:/slopes@champion").slope == 2.0
    model = autotrack.get_registered_model("slopes")
    assert [known.name for known in autotrack.registered_models()] == ["slopes"]
    assert model.aliases == {"champion": 2}
    assert (model.versions[2].tags, model.versions[2].description) == ({"checked": "yes"}, "steeper")
    assert [entry.change.aliases for entry in model.history] == [{"champion": 1}, {}, {"champion": 2}]
    assert all("@" in entry.change.by for entry in model.history)
    autotrack.update_model("slopes", aliases={"champion": None}, description="of a line")
    model = autotrack.get_registered_model("slopes")
    assert (model.aliases, model.description) == ({}, "of a line")


def test_a_version_tells_where_it_came_from_and_outlives_its_run(tracked):
    run_id = log_toy(3.0, rate=0.1, floor=float("-inf"))
    autotrack.register_model(run_id, "slopes")
    stored = autotrack.get_model("models:/slopes/1")
    assert (stored.run, stored.ref, stored.cls.rpartition(".")[2]) == (run_id, "models:/slopes/1", "Toy")
    assert stored.lineage["params"] == {"rate": 0.1, "floor": float("-inf")}
    assert stored.lineage == autotrack.get_model(run_id).lineage
    assert stored.lineage["experiment"] == "test"
    run = autotrack.get_run(run_id)
    assert stored.lineage["run_name"] == run.name
    assert stored.lineage.get("git") == run.facts.get("git")
    path = tracked / "runs" / run_id / run.models["model"].path
    assert path.stat().st_nlink == 2  # no second copy on the disk
    assert housekeeper.wait_idle(60)  # nobody writes into what is deleted
    shutil.rmtree(tracked / "runs" / run_id)
    assert autotrack.load_model("models:/slopes/1").slope == 3.0


def test_a_registered_model_can_be_registered_under_another_name(tracked):
    autotrack.register_model(log_toy(4.0), "tried")
    assert autotrack.register_model("models:/tried/1", "used") == 1
    assert autotrack.load_model("models:/used/1").slope == 4.0
    assert autotrack.get_model("models:/used/1").lineage == autotrack.get_model("models:/tried/1").lineage


def test_one_of_several_models_of_a_run(tracked):
    models.register_format(ToyFormat())
    with autotrack.start_run() as run:
        run.log_model(Toy(1.0), "small")
        run.log_model(Toy(2.0), "large")
    with pytest.raises(autotrack.ModelError, match=f"{run.id}/small, {run.id}/large"):
        autotrack.register_model(run.id, "slopes")
    autotrack.register_model(f"{run.id}/large", "slopes")
    assert autotrack.load_model("models:/slopes/1").slope == 2.0


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("models:/other/1", "there are: slopes"),
        ("models:/slopes/7", "versions: 1; aliases: champion → 1"),
        ("models:/slopes@challenger", "aliases: champion → 1"),
        ("models:/slopes", "models:/slopes@champion, models:/slopes/1"),
        ("models:/../runs/1", "no registered model"),
    ],
)
def test_what_is_not_there_says_what_is(tracked, ref, words):
    autotrack.register_model(log_toy(1.0), "slopes", "champion")
    with pytest.raises(autotrack.ModelNotFound) as caught:
        autotrack.load_model(ref)
    assert words in str(caught.value)


def test_a_wrong_name_or_alias_makes_no_version(tracked):
    run_id = log_toy(1.0)
    for name, alias in (("a/b", None), ("a@b", None), ("slopes", "3"), ("slopes", "latest"), ("slopes", "a b")):
        with pytest.raises(autotrack.ModelError, match="cannot be"):
            autotrack.register_model(run_id, name, alias)
    assert autotrack.registered_models() == []


def test_a_changed_file_is_not_registered_and_not_loaded(tracked):
    run_id = log_toy(1.0)
    autotrack.register_model(run_id, "slopes")
    path = tracked / "registry/slopes/versions/1/model.toy"
    path.unlink()
    path.write_text("9.0")
    for call in (autotrack.load_model, lambda ref: autotrack.get_model(ref).needs()):
        with pytest.raises(autotrack.ModelError, match=r"sha256 differs.*train anew, or bring the file back"):
            call("models:/slopes/1")
    (tracked / "runs" / run_id / "models/model/model.toy").write_text("9.0")
    with pytest.raises(autotrack.ModelError, match="sha256 differs"):
        autotrack.register_model(run_id, "slopes")
    assert list(autotrack.get_registered_model("slopes").versions) == [1]


@pytest.mark.parametrize("where", ["registry/slopes/versions/1/model.toy", "runs/{run}/models/model/model.toy"])
def test_a_link_is_not_followed(tracked, tmp_path, where):
    run_id = log_toy(1.0)
    autotrack.register_model(run_id, "slopes")
    path = tracked / where.format(run=run_id)
    content = path.read_bytes()
    path.unlink()
    (tmp_path / "elsewhere").write_bytes(content)  # of the right hash even
    path.symlink_to(tmp_path / "elsewhere")
    ref = "models:/slopes/1" if where.startswith("registry") else run_id
    with pytest.raises(autotrack.ModelError, match="cannot be read"):
        autotrack.load_model(ref)
    with pytest.raises(autotrack.AutotrackError):
        autotrack.register_model(ref, "again")


def test_folders_of_the_registry_that_are_links_are_not_followed(tracked, tmp_path):
    autotrack.register_model(log_toy(1.0), "slopes")
    (tracked / "registry/slopes").rename(tmp_path / "slopes")
    (tracked / "registry/slopes").symlink_to(tmp_path / "slopes")
    with pytest.raises(autotrack.ArtifactPathError, match="leads out of the registry"):
        autotrack.load_model("models:/slopes/1")


def test_packages_that_differ_are_one_warning(tracked, caplog):
    run_id = log_toy(1.0)
    with caplog.at_level(logging.WARNING, "autotrack"):
        autotrack.load_model(run_id)
    (record,) = [one for one in caplog.records if one.name == "autotrack"]
    assert f"msgspec 0.1.0 (here {version('msgspec')})" in record.getMessage()
    assert f"autotrack models export {run_id}/model DIR" in record.getMessage()


def test_what_needs_a_word_is_known_before_anything_is_loaded(tracked):
    run_id = log_toy(-1.0)
    assert autotrack.get_model(run_id).needs() == ["toy.Strange"]
    with pytest.raises(autotrack.ModelNotTrusted, match=r"trusted=\['toy.Strange'\]"):
        autotrack.load_model(run_id)
    assert autotrack.load_model(run_id, trusted=["toy.Strange"]).slope == -1.0


def test_a_store_that_cannot_be_written_says_so(tracked):
    run_id = log_toy(1.0)
    (tracked / "registry").write_text("in the way")
    with pytest.raises(autotrack.StoreError, match="cannot be registered as 'slopes'"):
        autotrack.register_model(run_id, "slopes")


def test_the_store_in_memory_registers_too(tracked):
    autotrack.enable(store="memory://", models="auto")
    run_id = log_toy(5.0)
    assert autotrack.register_model(run_id, "slopes", "champion") == 1
    assert autotrack.load_model("models:/slopes@champion").slope == 5.0


@pytest.mark.slow
def test_a_version_tells_the_commit_and_the_data_at_once_and_for_good(script, tmp_path):
    """Registered in the very script that trains, while its code may still be being captured; then the run goes."""
    pytest.importorskip("sklearn")
    (tmp_path / ".gitignore").write_text("store\n")
    (tmp_path / "train.py").write_text("")
    git(tmp_path, "init")
    head = commit(tmp_path)
    script(
        """
        import autotrack
        autotrack.enable(store="store")
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        LogisticRegression(C=0.5, max_iter=500).fit(*load_iris(return_X_y=True))
        autotrack.register_model("@last", "iris")
        """
    )
    run = autotrack.get_run("@last", store=tmp_path / "store")
    data = run.facts["data"]  # read now
    shutil.rmtree(tmp_path / "store/runs" / run.id)
    lineage = autotrack.get_model("models:/iris/1", store=tmp_path / "store").lineage
    assert (lineage["git"]["commit"], lineage["git"]["dirty"]) == (head, True)
    assert lineage["data"]["X"]["hash"] == data["X"]["hash"]
    assert len(data["X"]["hash"]) == 32
    assert (lineage["params"]["C"], lineage["run_name"]) == (0.5, run.name)
