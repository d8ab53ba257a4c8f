"""Called back when a module has been imported, and nothing about its import is different."""

import importlib
import importlib.util
import sys
import threading
import traceback
import zipfile

import pytest

from autotrack import importing


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write modules that can be imported: ``modules(name="source")``; all traces go at the end."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names = []

    def write(**sources):
        for name, source in sources.items():
            names.append(name)
            (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()

    write.names = names
    yield write
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def heard():
    """A callback that remembers what it was told; ``sys.meta_path`` is as it was at the end."""
    finders, seen = list(sys.meta_path), []
    yield seen
    importing.cancel(seen.append)
    assert sys.meta_path == finders


def test_called_when_the_module_is_whole(modules, heard):
    modules(tests_whole="first = 1\nlast = 2")
    whole = []
    importing.when_imported("tests_whole", heard.append)
    importing.when_imported("tests_whole", callback := lambda module: whole.append(module.last))
    assert heard == []
    assert "tests_whole" not in sys.modules
    module = importlib.import_module("tests_whole")
    importing.cancel(callback)
    assert heard == [module]
    assert whole == [2]


def test_called_at_once_for_a_module_that_is_there(heard):
    importing.when_imported("json", heard.append)
    assert heard == [sys.modules["json"]]


def test_loader_and_spec_are_as_without_us(modules, heard):
    modules(tests_plain="", tests_heard="import sys\nat_start = dict(vars(__spec__.loader))")
    plain = importlib.import_module("tests_plain")
    importing.when_imported("tests_heard", heard.append)
    module = importlib.import_module("tests_heard")
    assert type(module.__loader__) is type(plain.__loader__)
    assert module.__spec__.loader is module.__loader__
    assert vars(module.__loader__).keys() == vars(plain.__loader__).keys()
    assert module.at_start.keys() == vars(plain.__loader__).keys()  # gone before the first line ran


def test_called_again_after_a_reload(modules, heard):
    modules(tests_reload="")
    importing.when_imported("tests_reload", heard.append)
    module = importlib.import_module("tests_reload")
    importlib.reload(module)
    assert heard == [module, module]
    del sys.modules["tests_reload"]
    again = importlib.import_module("tests_reload")
    assert heard == [module, module, again]


def test_a_failing_import_leaves_nothing_and_raises_its_own_error(modules, heard):
    modules(tests_failing="raise ImportWarning('not today')")
    importing.when_imported("tests_failing", heard.append)
    with pytest.raises(ImportWarning, match="not today") as caught:
        importlib.import_module("tests_failing")
    assert "tests_failing" not in sys.modules
    assert heard == []
    ours = [frame for frame in traceback.extract_tb(caught.value.__traceback__) if frame.filename == importing.__file__]
    assert len(ours) == 1
    modules(tests_failing="fine = 1  # longer than before")
    assert importlib.import_module("tests_failing").fine == 1
    assert len(heard) == 1


def test_a_module_that_is_not_there(heard):
    importing.when_imported("tests_nowhere", heard.append)
    with pytest.raises(ModuleNotFoundError, match="No module named 'tests_nowhere'") as caught:
        importlib.import_module("tests_nowhere")
    assert caught.value.name == "tests_nowhere"
    assert importlib.util.find_spec("tests_nowhere") is None


def test_several_hooks_of_one_module_in_their_order(modules, heard):
    modules(tests_several="")
    order = []
    hooks = [lambda module, number=number: order.append(number) for number in range(3)]
    for hook in hooks:
        importing.when_imported("tests_several", hook)
    importlib.import_module("tests_several")
    assert order == [0, 1, 2]
    for hook in hooks:
        importing.cancel(hook)


def test_cancelled_is_not_called(modules, heard):
    modules(tests_cancelled="")
    finders = list(sys.meta_path)
    importing.when_imported("tests_cancelled", heard.append)
    importing.when_imported("tests_other", heard.append)
    assert sys.meta_path != finders
    importing.cancel(heard.append)
    assert sys.meta_path == finders
    importing.cancel(heard.append)
    importlib.import_module("tests_cancelled")
    assert heard == []


def test_an_error_in_a_callback_does_not_stop_the_import_nor_the_next(modules, heard, monkeypatch):
    monkeypatch.setenv("AUTOTRACK_STRICT", "0")
    modules(tests_error="fine = 1")

    def fail(module):
        raise ValueError("ours")

    importing.when_imported("tests_error", fail)
    importing.when_imported("tests_error", heard.append)
    module = importlib.import_module("tests_error")
    importing.cancel(fail)
    assert heard == [module]


def test_find_spec_alone_calls_nobody(modules, heard):
    modules(tests_found="")
    importing.when_imported("tests_found", heard.append)
    spec = importlib.util.find_spec("tests_found")
    assert spec.name == "tests_found"
    assert heard == []
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert heard == [module]


def test_one_loader_for_several_modules(tmp_path, monkeypatch, heard):
    """zipimport's loader serves all modules of an archive."""
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        archive.writestr("tests_zip_one.py", "number = 1")
        archive.writestr("tests_zip_two.py", "number = 2")
    monkeypatch.syspath_prepend(str(tmp_path / "both.zip"))
    importing.when_imported("tests_zip_one", heard.append)
    importlib.util.find_spec("tests_zip_one")  # found, not loaded
    two = importlib.import_module("tests_zip_two")
    assert (two.number, heard) == (2, [])
    one = importlib.import_module("tests_zip_one")
    assert heard == [one]
    for name in ("tests_zip_one", "tests_zip_two"):
        del sys.modules[name]


def test_finders_that_ask_for_the_same_module_again(modules, heard, monkeypatch):
    """As distutils' replacement in setuptools does."""
    modules(tests_asked="", tests_between="")

    class Asking:
        busy = False

        def find_spec(self, name, path=None, target=None):
            if name == "tests_asked" and not self.busy:
                self.busy = True
                importlib.import_module("tests_between")
                return importlib.util.find_spec(name)
            return None

    with monkeypatch.context() as patch:
        patch.setattr(sys, "meta_path", [Asking(), *sys.meta_path])
        for name in ("tests_asked", "tests_between"):
            importing.when_imported(name, heard.append)
        importlib.import_module("tests_asked")
        importing.cancel(heard.append)
    assert [module.__name__ for module in heard] == ["tests_between", "tests_asked"]


def test_imports_in_many_threads(modules, heard):
    names = [f"tests_thread_{number}" for number in range(8)]
    modules(**{name: f"import time\ntime.sleep(0.01)\nname = {name!r}" for name in names})
    for name in names:
        importing.when_imported(name, heard.append)
    barrier, errors = threading.Barrier(16), []

    def work(name):
        barrier.wait(10)
        try:
            assert importlib.import_module(name).name == name
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in names * 2]
    [thread.start() for thread in threads]
    [thread.join(30) for thread in threads]
    assert errors == []
    assert sorted(module.__name__ for module in heard) == names


def test_a_module_half_imported_calls_back_when_it_is_whole(modules, heard):
    """enable() while another thread is importing the framework."""
    modules(
        tests_half="import threading\nstarted = threading.started_event\nstarted.set()\n"
        "threading.go_on_event.wait(10)\nlast = 1"
    )
    threading.started_event, threading.go_on_event = threading.Event(), threading.Event()
    try:
        thread = threading.Thread(target=importlib.import_module, args=("tests_half",))
        thread.start()
        assert threading.started_event.wait(10)
        importing.when_imported("tests_half", heard.append)
        assert heard == []
        threading.go_on_event.set()
        thread.join(10)
    finally:
        del threading.started_event, threading.go_on_event
    modules(tests_next="")
    importlib.import_module("tests_next")  # the next import of anything is when it is noticed
    assert [module.last for module in heard] == [1]
