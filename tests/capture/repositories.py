"""Git repositories as tests need them."""

import os
import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str, **options) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@invalid", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=120, **options
    )
    return done.stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "--allow-empty", "-m", "a commit")
    return git(folder, "rev-parse", "HEAD")


def tree(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Content and executable bit of every file, by path."""
    return {
        os.fsdecode(path.relative_to(folder)): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def applied(repository: Path, patch: str) -> dict[str, tuple[bytes, bool]]:
    """The work tree that ``git apply`` makes of the commit and the patch."""
    clone = repository.parent / f"clone-{os.urandom(3).hex()}"
    git(repository.parent, "clone", "--quiet", str(repository), str(clone))
    (clone.parent / "changes.patch").write_bytes(patch.encode("utf-8", "surrogateescape"))
    git(clone, "apply", "--whitespace=nowarn", str(clone.parent / "changes.patch"))
    return tree(clone)


def trap(folder: Path) -> Path:
    """``folder/trap.sh``, a program that leaves a mark; the mark."""
    program = folder / "trap.sh"
    program.write_text(f"#!/bin/sh\ntouch '{folder}/sprung'\n")
    program.chmod(0o755)
    return folder / "sprung"


def fake_git(folder: Path, body: str) -> str:
    """A PATH whose first ``git`` is a shell script."""
    folder.mkdir()
    program = folder / "git"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
