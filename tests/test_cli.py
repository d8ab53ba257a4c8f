"""The command line: tables for people, JSON for programs, words and errors on stderr, exit codes."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import autotrack
from autotrack.cli.main import group


@pytest.fixture
def store(tracked: Path) -> Path:
    """Three runs: one with everything, one that failed, one with odd numbers."""
    with autotrack.start_run("everything", tags={"team": "vision"}) as run:
        run.log_params({"C": 10.0, "layers": [1, 2], "none": None})
        for step in range(3):
            run.log_metrics({"accuracy": 0.5 + step / 10}, step=step)
        run.log_artifact(__file__, "code/test.py")
        with autotrack.start_run("child"):
            autotrack.log_metrics({"accuracy": 0.1})
    with pytest.raises(ValueError, match="bad data"):
        with autotrack.start_run("broken"):
            raise ValueError("bad data")
    with autotrack.start_run("odd", experiment="other") as run:
        run.log_metrics({"loss": float("nan"), "top": float("inf")})
        run.log_params({"x": float("-inf")})
    return tracked


def call(*arguments: str, store: Path | None = None) -> Result:
    more = ["--store", str(store)] if store else []
    return CliRunner().invoke(group, [*arguments, *more], prog_name="autotrack", catch_exceptions=False)


def process(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "autotrack", *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "120", **env},
        capture_output=True,
        text=True,
        timeout=300,
    )


def strict_json(text: str):
    """JSON as the standard has it: no NaN, no Infinity."""

    def refuse(word: str):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


# ---- ls -------------------------------------------------------------------------------------------------------------


def test_ls(store: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "120")
    result = call("ls", store=store)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["run", "status"], ["odd", "finished"], ["broken", "failed"], ["everything", "finished"],
    ]  # fmt: skip
    assert "0.7" in lines[3]
    assert lines[0].split()[4] == "children"
    assert lines[3].split()[-2:] == ["1", "0.7"]  # its child is counted, and is no line of its own


def test_ls_filters_and_sorts(store: Path):
    assert call("ls", "status = 'failed'", "--json", store=store).stdout.count('"id"') == 1
    names = [run["name"] for run in json.loads(call("ls", "--sort", "name", "--json", store=store).stdout)]
    assert names == sorted(names)
    nothing = call("ls", "name = 'none such'", store=store)
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "No run meets that" in nothing.stderr


def test_an_error_in_a_filter_shows_the_place(tmp_path: Path):
    done = process("ls", "staus = 'x'", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[1:] == ["  staus = 'x'", "  ^^^^^"]


def test_ls_options(store: Path):
    assert call("ls", "-e", "other", store=store).stdout.count("\n") == 2
    assert call("ls", "-n", "1", store=store).stdout.count("\n") == 2
    assert call("ls", "-n", "0", store=store).exit_code == 2


def test_ls_json(store: Path):
    listed = strict_json(call("ls", "--json", store=store).stdout)
    assert [run["name"] for run in listed] == ["odd", "broken", "everything"]
    odd, broken, everything = listed
    assert odd["metrics"] == {"loss": {"$float": "nan"}, "top": {"$float": "inf"}}
    assert odd["params"] == {"x": {"$float": "-inf"}}
    assert broken["error"]["type"] == "ValueError"
    assert broken["error"]["message"] == "bad data"
    assert everything["params"] == {"C": 10.0, "layers": [1, 2], "none": None}
    assert everything["metrics"] == {"accuracy": 0.7}
    assert everything["tags"] == {"team": "vision"}
    assert everything["artifacts"]["code/test.py"]["size"] == Path(__file__).stat().st_size
    assert [child["name"] for child in everything["children"]] == ["child"]


def test_nothing_is_cut_in_json(tracked: Path):
    with autotrack.start_run("large") as run:
        run.log_params({f"p{index}": index for index in range(1500)})
        run.log_metrics({f"m{index}": float(index) for index in range(1500)})
    shown = strict_json(call("show", "large", "--json", store=tracked).stdout)
    assert len(shown["metrics"]) == 1500
    assert len(shown["params"]) == 1500


def test_ls_of_an_empty_folder(tmp_path: Path):
    done = process("ls", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "No runs here yet" in done.stderr
    done = process("ls", "--json", cwd=tmp_path)
    assert (done.returncode, strict_json(done.stdout)) == (0, [])
    assert list(tmp_path.iterdir()) == []


def test_what_the_system_refuses_is_said_in_one_line(tmp_path: Path):
    done = process("ls", "--store", "x" * 300, cwd=tmp_path)  # a longer name than file systems have
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("autotrack: ")
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_store_is_said(store: Path, tmp_path: Path):
    for command in (["ls"], ["show"], ["models", "ls"], ["gc"], ["experiments", "ls"]):
        done = process(*command, "--store", "typo", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, ""), command
        assert done.stderr == f"autotrack: there is no store at {tmp_path / 'typo'}\n"
    done = process("ls", "--store", ".", cwd=store.parent)
    assert done.returncode == 1
    assert f"did you mean {store}?" in done.stderr


# ---- show -----------------------------------------------------------------------------------------------------------


def test_show(store: Path):
    shown = call("show", "everything", store=store).stdout
    for part in ("everything", "finished", "accuracy", "0.7", "C", "10.0", "vision", "code/test.py", "child"):
        assert part in shown, part
    assert "bad data" in call("show", "broken", store=store).stdout
    assert call("show", store=store).stdout.startswith("odd")
    assert call("show", "@max:accuracy", store=store).stdout.startswith("everything")


def test_show_json(store: Path):
    run = autotrack.get_run("everything", store=store)
    shown = strict_json(call("show", "everything", "--json", store=store).stdout)
    assert (shown["id"], shown["status"], shown["experiment"]) == (run.id, "finished", "test")
    assert shown["duration"] == run.duration
    assert shown["start"] == run.start
    child = strict_json(call("show", f"{run.id}.1", "--json", store=store).stdout)
    assert (child["name"], child["parent"]) == ("child", run.id)


def test_errors_go_to_stderr_with_exit_code_1(store: Path):
    with autotrack.start_run("broken"):
        pass
    for ref, words in (
        ("nothing", "no run matches 'nothing'"),
        ("broken", "means 2 runs"),
        ("@max:nothing", "there are: accuracy"),
    ):
        done = process("show", ref, cwd=store.parent)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("autotrack: ")
        assert done.stderr.count("\n") == 1
        assert words in done.stderr


def test_a_hostile_reference_is_not_obeyed_by_the_terminal(store: Path):
    with autotrack.start_run("two\x1b[31m"):
        pass
    done = process("show", "\x1b[2J\x1b[31mnothing", cwd=store.parent)
    assert done.returncode == 1
    assert "\x1b" not in done.stderr


def test_a_hostile_metric_name_in_an_error(tracked: Path):
    with autotrack.start_run("a") as run:
        run.log_metrics({"\x1b[2Jloss\u202e": 1.0})
    done = process("show", "@max:x", cwd=tracked.parent)
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr


# ---- the whole ------------------------------------------------------------------------------------------------------


def test_usage_errors_have_exit_code_2(tmp_path: Path):
    for arguments in (["lss"], ["ls", "--nothing"], ["ls", "-n", "many"], ["show", "a", "b"]):
        result = call(*arguments)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert "Usage: autotrack" in result.stderr


def test_help_and_version():
    for arguments in (["-h"], ["--help"], ["ls", "-h"], ["show", "-h"], ["demo", "-h"]):
        result = call(*arguments)
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage: autotrack")
    assert call("--version").stdout == f"autotrack, version {autotrack.__version__}\n"
    help_text = call("-h").stdout
    for command in group.commands.values():
        assert command.help, f"{command.name} has no help"
        assert f"  {command.name} " in help_text


def test_the_installed_command(tmp_path: Path):
    """The console script, not the module."""
    command = Path(sys.executable).with_name("autotrack")
    if not command.exists():
        pytest.skip("autotrack is not installed with its script")
    done = subprocess.run([command, "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, f"autotrack, version {autotrack.__version__}\n")


def test_a_bad_setting_is_an_error_in_words(tmp_path: Path):
    done = process("ls", cwd=tmp_path, AUTOTRACK_MODELS="all")
    assert done.returncode == 1
    assert done.stderr.startswith("autotrack: models in the environment must be one of")


def test_reading_works_with_mode_off(store: Path):
    done = process("ls", cwd=store.parent, AUTOTRACK_MODE="off")
    assert done.stdout.count("\n") == 4


def test_piped_output_has_no_escape_codes(store: Path):
    for arguments in (["ls"], ["show", "everything"], ["show", "broken"], ["ls", "--json"]):
        done = process(*arguments, cwd=store.parent, TERM="xterm-256color")
        assert done.returncode == 0
        assert "\x1b" not in done.stdout
        assert done.stderr == ""


def on_a_terminal(*arguments: str, cwd: Path, **env: str) -> str:
    """What a terminal gets to see."""
    main, other = pty.openpty()
    variables = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI", "FORCE_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-m", "autotrack", *arguments],
        cwd=cwd,
        env={**variables, "TERM": "xterm-256color", "COLUMNS": "120", **env},
        stdin=other,
        stdout=other,
        stderr=subprocess.DEVNULL,
    ) as child:
        os.close(other)
        seen = b""
        try:
            while block := os.read(main, 65536):
                seen += block
        except OSError:  # Linux: the other side was closed
            pass
        os.close(main)
        assert child.wait(60) == 0
    return seen.decode()


def test_colour_on_a_terminal_and_none_with_no_color(store: Path):
    green = "\x1b[32mfinished"
    assert green in on_a_terminal("ls", cwd=store.parent)
    assert green not in on_a_terminal("ls", cwd=store.parent, NO_COLOR="1")


@pytest.mark.parametrize("command", ["ls", "show"])
def test_output_that_cannot_be_encoded(tracked: Path, command: str):
    with autotrack.start_run("naïve 漢 " + "x" * 60) as run:
        run.log_params({"ä": "ö" * 300})
    done = process(command, cwd=tracked.parent, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="POSIX")
    assert done.returncode == 0, done.stderr
    assert "na" in done.stdout


@pytest.mark.parametrize("arguments", [["ls"], ["ls", "--json"], ["show"]])
def test_a_reader_that_leaves_early(store: Path, arguments: list[str]):
    """``autotrack ls | head -0`` ends without a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "autotrack", *arguments],
        cwd=store.parent, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=300,
    )  # fmt: skip
    os.close(writing)
    assert "Traceback" not in done.stderr


def test_a_narrow_terminal(store: Path):
    done = process("ls", cwd=store.parent, COLUMNS="30")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 30


@pytest.mark.slow
def test_demo(tmp_path: Path):
    done = process("demo", cwd=tmp_path, COLUMNS="160")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    runs = autotrack.runs(store=tmp_path / "autotrack-demo" / ".autotrack")
    assert len(runs) == 12
    assert {run.status for run in runs} == {"finished"}
    assert all(run.models and 0.5 < run.metrics["accuracy"] <= 1 for run in runs)
    shown = [
        line.split(":")[1].strip() for line in done.stdout.splitlines() if line.startswith(("  first", "  the lab"))
    ]
    assert len(shown) == 2
    assert shown[0] == shown[1]
    assert "autotrack ls  " in done.stdout
    assert os.listdir(tmp_path) == ["autotrack-demo"]
