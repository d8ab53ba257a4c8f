"""Settings and where they come from; where the store is; what the experiment is called."""

import os
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest

from autotrack.config import Settings, default_experiment, find_store, resolve
from autotrack.errors import ConfigError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with no settings in the environment."""
    for name in list(os.environ):
        if name.startswith("AUTOTRACK_") and name != "AUTOTRACK_STRICT":
            monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def configure(folder: Path, text: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(f"[project]\nname = 'x'\n\n[tool.autotrack]\n{text}\n")
    return path


# ---- precedence -----------------------------------------------------------------------------------------------------


def test_defaults(project: Path):
    assert resolve() == Settings(
        store="", experiment="", integrations=None, mode="on", models="auto", training_metrics=False
    )


def test_argument_over_environment_over_pyproject_over_default(project: Path, monkeypatch: pytest.MonkeyPatch):
    assert resolve().models == "auto"
    configure(project, 'models = "never"\nexperiment = "from-file"\nmode = "off"')
    assert resolve() == Settings(models="never", experiment="from-file", mode="off")
    monkeypatch.setenv("AUTOTRACK_MODELS", "always")
    monkeypatch.setenv("AUTOTRACK_EXPERIMENT", "from-environment")
    assert resolve() == Settings(models="always", experiment="from-environment", mode="off")
    assert resolve(models="auto", mode=None) == Settings(models="auto", experiment="from-environment", mode="off")


def test_an_empty_variable_is_no_setting(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AUTOTRACK_MODE", "")
    monkeypatch.setenv("AUTOTRACK_STORE", "")
    assert resolve() == Settings()


def test_the_nearest_pyproject_counts(project: Path, monkeypatch: pytest.MonkeyPatch):
    configure(project, 'experiment = "outer"')
    inner = project / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert resolve().experiment == "outer"
    configure(inner.parent, 'experiment = "inner"')
    assert resolve().experiment == "inner"


def test_a_pyproject_without_our_table_is_none_of_ours(project: Path):
    (project / "pyproject.toml").write_text("[tool.other]\nmode = 'off'\nthis is not = = toml")
    assert resolve() == Settings()


def test_a_relative_store_of_pyproject_lies_beside_it(project: Path, monkeypatch: pytest.MonkeyPatch):
    configure(project, 'store = "runs/here"')
    inner = project / "src"
    inner.mkdir()
    monkeypatch.chdir(inner)
    assert resolve().store == str(project / "runs/here")
    configure(project, 'store = "memory://"')
    assert resolve().store == "memory://"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", True), ("true", True), ("YES", True), ("on", True), ("0", False), ("False", False), ("no", False)],
)
def test_booleans_of_the_environment(project: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: bool):
    monkeypatch.setenv("AUTOTRACK_TRAINING_METRICS", text)
    assert resolve().training_metrics is expected


def test_integrations_by_list_and_by_text(project: Path, monkeypatch: pytest.MonkeyPatch):
    configure(project, 'integrations = ["sklearn", "torch"]')
    assert resolve().integrations == ("sklearn", "torch")
    monkeypatch.setenv("AUTOTRACK_INTEGRATIONS", " sklearn , torch,")
    assert resolve().integrations == ("sklearn", "torch")
    assert resolve(integrations=[]).integrations == ()


# ---- mistakes -------------------------------------------------------------------------------------------------------


def test_an_unknown_name_suggests_the_near_one(project: Path):
    path = configure(project, 'experimnt = "x"')
    with pytest.raises(ConfigError, match="did you mean 'experiment'") as caught:
        resolve()
    assert str(path) in str(caught.value)


def test_an_unknown_name_like_none_lists_all(project: Path):
    configure(project, "zzz = 1")
    with pytest.raises(ConfigError, match="known settings: store, experiment, integrations, mode, models"):
        resolve()


@pytest.mark.parametrize(
    "line",
    [
        'mode = "maybe"',
        "mode = 1",
        "mode = []",
        'models = "all"',
        "store = 3",
        "store = []",
        "experiment = 3",
        "integrations = 5",
        "integrations = true",
        "integrations = [1]",
        'training_metrics = "perhaps"',
        "training_metrics = 2",
        "store = ",
    ],
)
def test_a_value_that_cannot_be_used_names_its_place(project: Path, line: str):
    path = configure(project, line)
    with pytest.raises(ConfigError) as caught:
        resolve()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["[tool]\nautotrack = 'on'", "[[tool.autotrack]]"], ids=["text", "list"])
def test_what_is_no_table_is_refused(project: Path, text: str):
    path = project / "pyproject.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="must be a table") as caught:
        resolve()
    assert str(path) in str(caught.value)


def test_a_pyproject_of_other_kinds_is_none_of_ours(project: Path):
    (project / "pyproject.toml").write_text("tool = 'autotrack'")
    assert resolve() == Settings()


def test_a_pyproject_that_cannot_be_read_is_named(project: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    path = configure(project, "")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        resolve()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["AUTOTRACK_MODE", "AUTOTRACK_MODELS", "AUTOTRACK_TRAINING_METRICS"])
def test_a_bad_variable_names_the_environment(project: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "bogus")
    with pytest.raises(ConfigError, match=r"in the environment must be .*'bogus'"):
        resolve()


# ---- the store ------------------------------------------------------------------------------------------------------


def test_store_given(project: Path, monkeypatch: pytest.MonkeyPatch):
    assert find_store("there") == project / "there"
    assert find_store("/abs/there") == Path("/abs/there")
    monkeypatch.setenv("HOME", str(project))
    assert find_store("~/s") == project / "s"


def test_the_home_of_nobody_is_no_place_for_a_store():
    with pytest.raises(ConfigError, match="'~nobody-of-this-name/store'"):
        find_store("~nobody-of-this-name/store")


def test_store_upward_then_git_root_then_here(project: Path, monkeypatch: pytest.MonkeyPatch):
    inner = project / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert find_store() == inner / ".autotrack"
    (project / ".git").mkdir()
    assert find_store() == project / ".autotrack"
    (project / "a" / ".autotrack").mkdir()
    assert find_store() == project / "a" / ".autotrack"
    (inner / ".autotrack").mkdir()
    assert find_store() == inner / ".autotrack"


def test_a_file_called_autotrack_is_no_store(project: Path, monkeypatch: pytest.MonkeyPatch):
    (project / ".autotrack").write_text("")
    inner = project / "a"
    inner.mkdir()
    monkeypatch.chdir(inner)
    assert find_store() == inner / ".autotrack"


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give folders away")
def test_a_store_of_somebody_else_is_passed_over_unless_shared(project: Path, monkeypatch: pytest.MonkeyPatch):
    foreign = project / ".autotrack"
    foreign.mkdir()
    inner = project / "mine"
    inner.mkdir()
    monkeypatch.chdir(inner)
    os.chown(foreign, 12345, 12345)
    foreign.chmod(0o777)
    assert find_store() == inner / ".autotrack"
    foreign.chmod(0o2770)
    assert find_store() == foreign


def test_a_working_folder_that_was_deleted(project: Path):
    gone = project / "gone"
    code = (
        "import os, sys\n"
        "os.rmdir(os.getcwd())\n"
        "from autotrack.config import resolve, find_store, default_experiment\n"
        "print(resolve() is not None, find_store().name, bool(default_experiment()))\n"
    )
    gone.mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=gone, capture_output=True, text=True, timeout=300)
    assert done.stdout == "True .autotrack True\n", done.stderr


# ---- the experiment -------------------------------------------------------------------------------------------------

SAY = "from autotrack.config import default_experiment\nprint(default_experiment())\n"


def say(folder: Path, *command: str, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=300, input=stdin
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().splitlines()[0]


def test_experiment_of_a_script(project: Path):
    (project / "train_it.v2.py").write_text(SAY)
    assert say(project, "train_it.v2.py") == "train_it.v2"


def test_experiment_of_a_module(project: Path):
    package = project / "pack"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "train.py").write_text(SAY)
    (package / "__main__.py").write_text(SAY)
    assert say(project, "-m", "pack.train") == "pack.train"
    assert say(project, "-m", "pack") == "pack"


def test_experiment_of_a_zip_or_a_folder_that_is_run_is_its_name(project: Path):
    (project / "app").mkdir()
    (project / "app" / "__main__.py").write_text(SAY)
    zipapp.create_archive(project / "app", project / "packed.pyz")
    assert say(project, "app") == "app"
    assert say(project, "packed.pyz") == "packed"


def test_experiment_without_a_script_is_the_folder_or_the_git_root(project: Path):
    inner = project / "inner"
    inner.mkdir()
    assert say(inner, "-c", SAY) == "inner"
    assert say(inner, "-", stdin=SAY) == "inner"
    (project / ".git").mkdir()
    assert say(inner, "-c", SAY) == "project"


def test_experiment_under_pytest_is_the_folder(project: Path):
    (project / "test_it.py").write_text(
        "from autotrack.config import default_experiment\ndef test_it(): assert default_experiment() == 'project'\n"
    )
    say(project, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "test_it.py")


def test_experiment_in_a_notebook_kernel_is_the_folder(project: Path):
    """A kernel's entry script is a launcher of site-packages."""
    code = (
        "import sys, types, sysconfig\n"
        "main = sys.modules['__main__']\n"
        "main.__file__ = sysconfig.get_path('purelib') + '/ipykernel_launcher.py'\n" + SAY
    )
    assert say(project, "-c", code) == "project"


def test_experiment_in_a_child_process_of_multiprocessing_is_the_scripts(project: Path):
    (project / "sweep.py").write_text(
        "import multiprocessing\n"
        "from autotrack.config import default_experiment\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.apply(default_experiment))\n"
    )
    assert say(project, "sweep.py") == "sweep"


def test_a_script_below_the_interpreters_prefix_is_still_the_users(project: Path, monkeypatch: pytest.MonkeyPatch):
    """With the system's Python the prefix is /usr, and projects lie in /usr/src and /usr/local/share."""
    script = project / "share" / "app" / "train.py"
    main = type(sys)("__main__")
    main.__file__ = str(script)
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "prefix", str(project))
    monkeypatch.setattr(sys, "base_prefix", str(project))
    assert default_experiment() == "train"
    main.__file__ = str(project / "bin" / "pytest")
    assert default_experiment() == "project"
