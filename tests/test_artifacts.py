"""Files and figures that people store with a run."""

import pytest

import autotrack


def own(run: autotrack.RunRecord) -> list[str]:
    """Names of files, without what is captured of the work tree that these tests run in."""
    return sorted(name for name in run.artifacts if not name.startswith("code/"))


def test_a_folder_is_stored_with_all_that_is_in_it(tracked, tmp_path):
    folder = tmp_path / "plots"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.txt").write_text("b")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "odd\\name\n").write_text("odd")
    with autotrack.start_run() as run:
        run.log_artifact(folder)
        run.log_artifact(folder, "again/my artifacts")
    found = autotrack.get_run(run.id)
    assert own(found) == [
        "again/my artifacts/a.txt", "again/my artifacts/deep/b.txt", "plots/a.txt", "plots/deep/b.txt",
    ]  # fmt: skip
    assert ["odd" in text for _, text in found.notes] == [True, True]
    with found.open("plots/deep/b.txt") as file:
        assert file.read() == b"b"


def test_a_folder_is_stored_without_the_store_in_it(tracked, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "notes.txt").write_text("n")
    autotrack.enable(store=project / ".autotrack")
    with autotrack.start_run() as run:
        run.log_params({"C": 1})
        run.log_artifact(project)
    found = autotrack.get_run(run.id)
    assert [name for name in found.artifacts if not name.startswith("code/")] == ["project/notes.txt"]


def test_an_artifact_that_cannot_be_stored_is_noted(tracked, tmp_path, caplog):
    (tmp_path / "f.txt").write_text("x")
    with autotrack.start_run() as run:
        run.log_artifact(tmp_path / "f.txt", "a")
        run.log_artifact(tmp_path / "f.txt", "a/b")  # a is a file
    found = autotrack.get_run(run.id)
    assert own(found) == ["a"]
    assert "'a/b' was not stored" in found.notes[-1][1]


def test_figures(tracked):
    class Figure:
        def savefig(self, file, **options):
            file.write(b"png")

    class Page:
        def to_html(self):
            return "<html>"

    with autotrack.start_run() as run:
        run.log_figure(Figure(), "loss")
        run.log_figure(Page(), "page.html")
        with pytest.raises(TypeError, match="log_artifact"):
            run.log_figure(object(), "x")
        with pytest.raises(autotrack.ArtifactPathError):
            run.log_figure(Figure(), "../x")
    found = autotrack.get_run(run.id)
    assert own(found) == ["loss.png", "page.html"]
    with found.open("loss.png") as file:
        assert file.read() == b"png"
