"""README and docs: their code runs, their links lead somewhere, their figures are measured, and the pages are built."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs_page import Block, blocks, check, claims, run_bash, run_python

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = [ROOT / "CHANGELOG.md", *sorted((ROOT / "plugins").rglob("*.md"))]
WITH_CODE = [page for page in PAGES if blocks(page)]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


# ---- code ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=named)
def test_the_code_of_a_page_runs_and_says_what_the_page_says(page: Path, tmp_path: Path):
    variables = {key: value for key, value in os.environ.items() if not key.startswith("AUTOTRACK_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", Path(__file__).with_name("docs_page.py"), page],
        cwd=tmp_path, env={**variables, "AUTOTRACK_STRICT": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_code_stands_in_fences_that_are_run():
    """A block without a language, or of another spelling, would never be tried."""
    assert {"README.md", "docs/index.md", "docs/run-rules.md", "docs/security.md"} <= {
        named(page) for page in WITH_CODE
    }
    for page in PAGES:
        languages = re.findall(r"^```(\w*)$", page.read_text(), re.MULTILINE)[::2]
        # What needs a cluster or a server of its own is sh, or text where it is Python.
        more = {"journal-format.md": {"", "jsonl"}, "remote.md": {"sh", "text"}}
        allowed = {"python", "bash"} | more.get(page.name, set())
        assert set(languages) <= allowed, named(page)


def test_what_a_page_claims_is_checked():
    block = Block("python", 10, "x = 2  # two\nx  # 2\nx  # 3\nx * 1.5  # 3.0\n[x]  # [2]\nx  # of all\n")
    assert claims(block) == {2: "2", 3: "3", 4: "3.0", 5: "[2]"}
    with pytest.raises(AssertionError, match="the page says 3, and it is 2"):
        run_python(block, ROOT / "README.md", {})
    check([1.23456, "a"], "[1.23…, 'a']")
    for value, claim in ((1.24, "1.23…"), ("1", "1"), (True, "False"), ({"a": 1}, "{'a': 2}")):
        with pytest.raises(AssertionError):
            check(value, claim)


def test_a_command_that_fails_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run_bash(Block("bash", 1, "pip install nothing-of-the-kind\nautotrack ls --json  # no run\n"))
    run_bash(Block("bash", 1, "AUTOTRACK_MODE=off python -c 'import os; assert os.environ[\"AUTOTRACK_MODE\"]'\n"))
    with pytest.raises(AssertionError, match="no run matches"):
        run_bash(Block("bash", 1, "autotrack show 1234\n"))


# ---- links ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=named)
def test_links_lead_somewhere(page: Path):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith("https://"):
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            assert file.exists(), target
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE) if anchor else []
            assert not anchor or anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


def build(config: Path, site: Path) -> "subprocess.CompletedProcess[str]":
    pytest.importorskip("mkdocs")
    return subprocess.run(  # not --quiet: that hides warnings from --strict as well
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config, "--site-dir", site],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_the_pages_are_built_without_a_warning_and_load_nothing_from_elsewhere(tmp_path: Path):
    done = build(ROOT / "mkdocs.yml", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stderr.splitlines()} == {"INFO"}, done.stderr
    pages = list(tmp_path.glob("*.html"))
    assert {path.stem for path in pages} == {page.stem for page in (ROOT / "docs").glob("*.md")} | {"404"}
    for page in pages:
        html = page.read_text()
        assert re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//", html) == []
    assert "@import" not in "".join(path.read_text() for path in tmp_path.rglob("*.css"))


@pytest.mark.parametrize("link", ["nowhere.md", "#nowhere", "page.md#nowhere", "/docs/settings.md"])
def test_a_dead_link_stops_the_build(link: str, tmp_path: Path):
    settings = (ROOT / "mkdocs.yml").read_text()
    (tmp_path / "mkdocs.yml").write_text(re.sub(r"^nav:\n(  .*\n)+", "", settings, flags=re.MULTILINE))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Index\n\n[page](page.md)\n")
    (tmp_path / "docs" / "page.md").write_text(f"# Page\n\n[x]({link})\n")
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1
    assert link.partition("#")[0] in done.stderr


# ---- figures -------------------------------------------------------------------------------------------------------

UNITS = {"ns": 1e-3, "us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6, "bytes": 1.0}


def measured() -> dict[str, tuple[float, str]]:
    """Median and unit of each case."""
    lines = (ROOT / "benchmarks" / "RESULTS.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    column = rows[0].index("median")
    return {row[0]: (float(row[column]), row[1]) for row in rows[1:] if row[column].strip("-")}


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "performance.md"], ids=named)
def test_the_figures_are_those_of_the_benchmarks(page: Path):
    """Rounded up by at most a fifth, and never better than what was measured."""
    rows = re.findall(r"^\| (.*) \| ([\d.]+) (\S+) \| `(.*)` \|$", page.read_text(), re.MULTILINE)
    assert len(rows) >= 6
    results = measured()
    for what, figure, unit, case in rows:
        assert case in results, f"{what}: benchmarks/RESULTS.md has no case {case!r}"
        median, its_unit = results[case]
        ratio = float(figure) * UNITS[unit] / (median * UNITS[its_unit])
        assert 1 <= ratio <= 1.2, f"{what}: {figure} {unit}, measured {median} {its_unit}"
