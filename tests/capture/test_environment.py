"""Each field against its own source of truth, seen from the process that it is about."""

import importlib.metadata
import json
import os
import platform
import pwd
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack.capture.environment import ALLOWED, allowed_variables, describe_environment
from autotrack.capture.hardware import describe_hardware
from autotrack.capture.packages import installed_packages
from autotrack.capture.redact import MARK, Redactor

Script = Callable[..., "subprocess.CompletedProcess[str]"]


def test_environment_of_a_script(script: Script, tmp_path: Path):
    known = {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_ID": "42", "LANG": "C.UTF-8", "MY_OWN": "never", "RANK": ""}
    code = "import autotrack, autotrack.facts\nautotrack.facts.EXIT_WAIT = 60.0\nwith autotrack.start_run(): pass\n"
    script(code, "--lr", "0.1", env=known)
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    environment = run.facts["environment"]
    path = str(tmp_path / "train.py")
    assert environment["python"] == platform.python_version()
    assert environment["implementation"] == "CPython"
    assert os.uname().release in environment["platform"]
    assert environment["host"] == socket.gethostname()
    user = os.environ.get("LOGNAME") or os.environ.get("USER") or pwd.getpwuid(os.getuid()).pw_name
    assert environment["user"] == user
    assert environment["script"] == path
    assert environment["command"] == [sys.executable, path, "--lr", "0.1"]
    assert environment["folder"] == str(tmp_path)
    variables = environment["variables"]
    assert "MY_OWN" not in variables
    assert {name: variables[name] for name in known if name in ALLOWED} == {
        name: value for name, value in known.items() if name != "MY_OWN"
    }
    assert run.start > 0
    assert run.duration > 0


def test_variables_only_by_the_list():
    everything = {**dict.fromkeys(ALLOWED, "x"), "PATH": "/bin", "SECRET": "y", "SLURM_JOB_KEY": "z", "": ""}
    assert allowed_variables(everything, Redactor()) == dict.fromkeys(ALLOWED, "x")


def test_a_user_without_a_name_is_a_number(script: Script):
    """As in containers that run under a number of nobody; the password database has no such user."""
    code = """
        import os, pwd
        for number in range(54321, 60000):
            try:
                pwd.getpwuid(number)
            except KeyError:
                break
        if os.getuid() == 0:
            os.setuid(number)
            from pathlib import Path
            from autotrack.capture.environment import _user
            assert _user() == str(number), _user()
    """
    if os.getuid() != 0:
        pytest.skip("only root becomes somebody else")
    code = code.replace("        if os.getuid", "        import autotrack.capture.environment\n        if os.getuid")
    env = {"PYTHONDONTWRITEBYTECODE": "1"}
    script(code, env={**env, "LOGNAME": "", "USER": "", "LNAME": "", "USERNAME": ""})


def test_packages_are_what_pip_lists():
    done = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip("no pip here")
    listed = {package["name"].lower().replace("_", "-"): package for package in json.loads(done.stdout)}
    found = {name.lower().replace("_", "-"): version for name, version in installed_packages().items()}
    assert {name: version.partition(" @ ")[0] for name, version in found.items()} == {
        name: package["version"] for name, package in listed.items()
    }
    editable = {name for name, package in listed.items() if "editable_project_location" in package}
    for name in editable:
        assert found[name].endswith(f"@ editable file://{listed[name]['editable_project_location']}")
    assert {name for name, version in found.items() if "@ editable" in version} == editable
    assert found["autotrack-ml"].startswith(autotrack.__version__)


def test_odd_distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Real metadata on the path: from a commit, with a broken origin, without a name; the first of a name counts."""

    def distribution(folder: str, metadata: str, direct: str | None = None) -> None:
        place = tmp_path / folder
        place.mkdir(parents=True)
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\n{metadata}\n")
        if direct is not None:
            (place / "direct_url.json").write_text(direct)

    origin = {"url": "https://git.invalid/a.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}
    distribution("odd_vcs-1.0.dist-info", "Name: odd-vcs\nVersion: 1.0", json.dumps(origin))
    distribution("odd_broken-2.0.dist-info", "Name: odd-broken\nVersion: 2.0", "{")
    distribution("odd_list-2.1.dist-info", "Name: odd-list\nVersion: 2.1", "[1]")
    distribution("odd_nameless-3.0.dist-info", "Version: 3.0")
    distribution("odd_versionless.dist-info", "Name: odd-versionless")
    distribution("second/odd_vcs-9.0.dist-info", "Name: Odd_VCS\nVersion: 9.0")
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "second"), *sys.path])
    found = installed_packages()
    odd = {name: version for name, version in found.items() if name.lower().startswith("odd")}
    assert odd == {
        "odd-vcs": "1.0 @ https://git.invalid/a.git@abc123", "odd-broken": "2.0", "odd-list": "2.1",
        "odd-versionless": "",
    }  # fmt: skip
    assert importlib.metadata.version("odd-vcs") == "1.0"


def test_hardware():
    found = describe_hardware()
    assert found["machine"] == os.uname().machine
    assert found["cpus"] == os.cpu_count()
    if sys.platform == "linux":
        assert found["cpus_usable"] == len(os.sched_getaffinity(0))
        total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
        assert found["memory"] == pytest.approx(int(total.split()[1]) * 1024, rel=0.05)
        names = {line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                 if line.startswith("model name")}  # fmt: skip
        assert found["cpu"] in names or not names


@pytest.mark.parametrize(
    ("body", "gpus"),
    [
        ('echo "NVIDIA H100, 81559, 550.54"; echo "NVIDIA H100, 81559, 550.54"', 2),
        ("echo broken; exit 9", 0),
        ("echo no commas", 0),
        ("printf '\\377\\376, 1, 2\\n'", 1),
        ("exec sleep 300", 0),
    ],
    ids=["two", "fails", "talks", "bytes", "hangs"],
)
def test_gpus_are_what_the_drivers_tool_lists(body: str, gpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{body}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("autotrack.capture.hardware._GPU_TIMEOUT", 0.5 if "sleep" in body else 60.0)
    found = describe_hardware().get("gpus", [])
    assert len(found) == gpus
    if gpus == 2:
        assert found[0] == {"name": "NVIDIA H100", "memory_mib": "81559", "driver": "550.54"}


def test_no_program_of_the_working_folder_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With ``.`` in PATH, what lies in a hostile repository would be found."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\ntouch was-run\n")
    tool.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.environ['PATH']}")
    describe_hardware()
    assert [path.name for path in tmp_path.iterdir()] == ["nvidia-smi"]


def test_nothing_of_the_process_moves(script: Script):
    """Filters of warnings above all: what starts a process may touch them, on another thread than the training's."""
    script("""
        import os, random, signal, sys, warnings
        before = (list(warnings.filters), warnings.showwarning, os.getcwd(), dict(os.environ), sys.excepthook,
                  signal.getsignal(signal.SIGINT), random.getstate())
        version = warnings._filters_version if hasattr(warnings, "_filters_version") else None
        import autotrack
        from autotrack.backends.housekeeping import housekeeper
        with autotrack.start_run():
            assert housekeeper.wait_idle(60)
        assert before == (list(warnings.filters), warnings.showwarning, os.getcwd(), dict(os.environ),
            sys.excepthook, signal.getsignal(signal.SIGINT), random.getstate())
        assert not {"torch", "numpy", "sklearn", "pandas"} & set(sys.modules)
    """)


def test_describe_environment_takes_secrets_out(tmp_path: Path):
    found = describe_environment(
        tmp_path / "token=abcdef", "x/password=hunter2/a.py", ["x", "--token", "zyxwvu"], Redactor()
    )
    assert "abcdef" not in found["folder"]
    assert "hunter2" not in found["script"]
    assert found["command"] == ["x", "--token", MARK]
