"""Which line started a training, and whether a library did."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

import autotrack
from autotrack.callsite import find_call_site

X, y = load_iris(return_X_y=True)

LIBRARY = """
import threading
from concurrent.futures import ThreadPoolExecutor
from sklearn.naive_bayes import GaussianNB

def train(X, y):
    return GaussianNB().fit(X, y)

def train_in_a_pool(X, y):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(train, X, y).result()

def call(function, *args):
    return function(*args)

class Mine(GaussianNB):
    def fit(self, X, y):
        return super().fit(X, y)
"""


@pytest.fixture
def library(tmp_path, monkeypatch, tracked):
    """A library that trains, installed where libraries are."""
    for folder in ("site-packages", "dist-packages"):
        (tmp_path / folder / "trainlib").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    (tmp_path / "site-packages" / "trainlib" / "__init__.py").write_text(LIBRARY)
    monkeypatch.delitem(sys.modules, "trainlib", raising=False)
    import trainlib

    yield trainlib
    sys.modules.pop("trainlib")


def via():
    """The tag of each run, oldest first."""
    return [run.tags.get("via") for run in list(autotrack.runs())[::-1]]


def test_what_a_library_starts_is_tagged(library):
    library.train(X, y)
    library.train_in_a_pool(X, y)
    library.call(GaussianNB().fit, X, y)  # the library calls it, not this line
    assert via() == ["trainlib"] * 3


def test_what_the_user_starts_is_not(library):
    GaussianNB().fit(X, y)
    library.Mine().fit(X, y)
    library.call(lambda: GaussianNB().fit(X, y))
    GridSearchCV(GaussianNB(), {}, cv=2).fit(X, y)
    assert via() == [None] * 4


def test_machinery_is_no_library(tracked):
    joblib.Parallel(2, backend="threading")(joblib.delayed(GaussianNB().fit)(X, y) for _ in range(2))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(GaussianNB().fit, X, y).result()
    thread = threading.Thread(target=GaussianNB().fit, args=(X, y))
    thread.start()
    thread.join()
    assert via() == [None] * 4


def test_a_run_opened_by_hand_and_its_children_are_tagged_too(library):
    with autotrack.start_run("mine", tags={"via": "me"}):
        library.train(X, y)
        library.train(X, y)
    (run,) = autotrack.runs()
    assert run.tags == {"via": "me"}
    assert [child.tags for child in run.children] == [{"via": "trainlib"}]


def test_code_that_runs_as_a_module_is_the_users_wherever_it_lies(script, tmp_path):
    package = tmp_path / "site-packages" / "mytrain"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(LIBRARY)
    (package / "__main__.py").write_text(
        "import autotrack, sys\n"
        "autotrack.enable(store=sys.argv[1], models='never')\n"
        "import mytrain\n"
        "from sklearn.datasets import load_iris\n"
        "mytrain.train(*load_iris(return_X_y=True))\n"
        "print([run.tags for run in autotrack.runs()])\n"
    )
    done = script(
        """
        import runpy, subprocess, sys
        subprocess.run([sys.executable, "-m", "mytrain", "store"], check=True)
        """,
        env={"PYTHONPATH": str(tmp_path / "site-packages")},
    )
    assert done.stdout == "[{}]\n"


def test_the_line_is_the_users(library):
    def here():
        return find_call_site(frozenset({"sklearn"}))

    site = here()
    again = library.call(here)
    assert (site.file, site.library, site.cell) == (__file__, "", 0)
    assert site.line == again.line
    assert str(site) == f"test_callsite.py:{site.line}"

    def in_library():
        return library.call(find_call_site, frozenset())

    site = in_library()
    assert (site.file, site.library) == (__file__, "trainlib")
    assert site.line == in_library.__code__.co_firstlineno + 1


def test_without_any_code_of_the_users_there_is_a_line_all_the_same(library):
    with ThreadPoolExecutor(1) as pool:
        sites = {pool.submit(find_call_site, frozenset()).result() for _ in range(3)}
        (inside,) = {pool.submit(library.call, find_call_site, frozenset()).result() for _ in range(3)}
    (site,) = sites
    assert site.library == ""
    assert inside.library == "trainlib"
    assert inside.file.endswith("trainlib/__init__.py")


@pytest.mark.parametrize("name", ["<string>", "<stdin>", "<ipython-input-1-0>", "relative.py", "/a/app.pyz/main.py"])
def test_code_without_a_file_is_the_users(name):
    source = "def call(find): return find(frozenset())"
    names = {}
    exec(compile(source, name, "exec"), names)
    site = names["call"](find_call_site)
    assert (site.file, site.line, site.library) == (name, 1, "")
