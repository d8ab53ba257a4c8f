"""The processes in which ``IntegrationSuite`` runs its checks: ``python -m`` this module ``MODE SPEC OUT``.

The framework is imported once and each check runs in a fork of that process, so that no check sees what
another left, and a whole suite takes seconds. The outcome is written as JSON: by check, the failure or "".
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import autotrack
from autotrack.testing import contract, contract_calls, contract_checks, contract_owners
from autotrack.testing.contract import Spec, check

CHECK_LIMIT = 100
"""Seconds that one check may take."""

FRAMEWORK_FIRST = {**contract_checks.FRAMEWORK_FIRST, **contract_calls.CHECKS, **contract_owners.CHECKS}

ABSENT = """
import sys
class _Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith("autotrack"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, _Absent())
"""

LOAD = """
import json, pickle, sys
with open("by_value.pickle", "rb") as file:
    use, expected = pickle.load(file)
got = json.loads(json.dumps(use()))
assert got == expected, f"it gives {got} there, {expected} where it was made"
loaded = [name for name in sys.modules if name.startswith("autotrack")]
assert not loaded, f"loading and training imported {loaded}"
"""


def framework_first(spec: Spec) -> dict[str, str]:
    """Import the framework, then run each check in a fork."""
    spec.load()
    return {name: in_fork(name, function, spec) for name, function in FRAMEWORK_FIRST.items()}


def in_fork(name: str, function: Callable[[Spec], None], spec: Spec) -> str:
    """Run one check in a fork, in a folder of its own below this one: the failure, or empty."""
    folder = Path(name).absolute()
    folder.mkdir()
    child = os.fork()
    if child == 0:
        try:
            _prepare(folder, models="auto" if name in ("globals", "kept") else "never")
            (folder / "failure").write_text(_outcome(function, spec))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    failure = folder / "failure"
    return failure.read_text() if failure.exists() else "the process of this check died:\n" + _last_words(folder)


def _prepare(folder: Path, models: str) -> None:
    import signal

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(CHECK_LIMIT)
    os.chdir(folder)
    os.environ.update(AUTOTRACK_STORE=str(folder / "store"), AUTOTRACK_MODELS=models)
    for number, file in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / file, os.O_CREAT | os.O_WRONLY, 0o600), number)


def _last_words(folder: Path) -> str:
    return (folder / "stderr").read_text()[-2000:] if (folder / "stderr").exists() else ""


def _outcome(function: Callable[[Spec], None], spec: Spec) -> str:
    try:
        function(spec)
    except AssertionError as failure:
        return str(failure)
    except BaseException:  # noqa: BLE001  told, not swallowed
        return f"patch contract 2: an error came out (as it should with AUTOTRACK_STRICT=1):\n{traceback.format_exc()}"
    return ""


def autotrack_first(spec: Spec) -> dict[str, str]:
    """Enable first, then import the framework; checks go on from one another."""
    _prepare(Path.cwd(), models="never")
    finders = list(sys.meta_path)
    steps: dict[str, Callable[[Spec], None]] = {
        "light": _enabled_light,
        "late_import": _patched_late,
        "late_disable": lambda spec: _disabled_late(spec, finders),
    }
    return {name: _outcome(function, spec) for name, function in steps.items()}


def _enabled_light(spec: Spec) -> None:
    spec.enable()
    heavy = [name for name in (*contract.HEAVY, *spec.modules) if name in sys.modules]
    check("8", not heavy, f"enable() imported {heavy}")


def _patched_late(spec: Spec) -> None:
    spec.load()
    for path, (owner, name) in spec.owners().items():
        check("8", contract.is_patched(owner, name), f"{path} is not patched when imported after enable()")
    spec.train()
    check("8", contract.runs() > 0, "the framework was imported after enable(); the training made no run")


def _disabled_late(spec: Spec, finders: list[Any]) -> None:
    autotrack.disable()
    expected = json.loads(Path("fingerprint.json").read_text())
    for path, layers in fingerprint(spec).items():
        text = f"{path}: after enable(), import, disable() it is {layers}, without autotrack {expected.get(path)}"
        check("5", layers == expected.get(path), text)
    left = [finder for finder in sys.meta_path if finder not in finders and "autotrack" in repr(finder)]
    gone = [finder for finder in finders if finder not in sys.meta_path]
    check("9", not left and not gone, f"sys.meta_path is {sys.meta_path} after disable(), was {finders}")


def fingerprint(spec: Spec) -> dict[str, Any]:
    """By path, what an attribute is made of, layer by layer: to be compared between processes."""
    result = {}
    for path, (value, _) in spec.snapshot().items():
        function: Any = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        layers = [type(value).__name__]
        while function is not None:
            code = getattr(function, "__code__", None)
            layers.append(f"{code.co_qualname} {code.co_filename}:{code.co_firstlineno}" if code else "")
            function = getattr(function, "__wrapped__", None)
        result[path] = layers
    return result


def by_value(spec: Spec) -> dict[str, str]:
    """Pickle what ``by_value`` of the source gives, as joblib sends it to its workers: enabled, and by value."""
    import cloudpickle  # type: ignore[import-untyped]

    main: Any = sys.modules["__main__"]
    spec.names = vars(main)
    _prepare(Path.cwd(), models="never")
    spec.load()
    spec.enable()
    exec(spec.names["BY_VALUE"], spec.names)
    use = spec.names["use"]
    expected = json.loads(json.dumps(use()))
    Path("by_value.pickle").write_bytes(cloudpickle.dumps((use, expected)))
    count = contract.runs()
    return {"made": "" if count else "patch contract 8: training the class of __main__ made no run"}


def main() -> None:
    """Run one mode."""
    mode, given, out = sys.argv[1:]
    spec = Spec(json.loads(Path(given).read_text()))
    target = Path(out).absolute()
    if mode == "fingerprint":
        spec.load()
        result: Any = fingerprint(spec)
    else:
        result = {"framework_first": framework_first, "autotrack_first": autotrack_first, "by_value": by_value}[mode](
            spec
        )
    target.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
