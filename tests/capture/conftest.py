"""A repository, without the settings of who runs the tests."""

import os
from pathlib import Path

import pytest

from tests.capture.repositories import commit, git


@pytest.fixture
def plain_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings of who runs the tests nor a repository around them."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


@pytest.fixture
def repository(plain_git: None, tmp_path: Path) -> Path:
    """One commit of one file."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init")
    (folder / "train.py").write_text("print(1)\nprint(2)\nprint(3)\n")
    commit(folder)
    return folder
