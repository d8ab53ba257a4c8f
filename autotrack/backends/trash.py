"""Runs that were removed: a tombstone in the journal, then the folder goes to ``trash``; both steps can be taken back.

Whoever is stopped between two steps leaves something that reads: a run with a tombstone that still lies in ``runs``
is not listed, and ``gc`` takes it to the trash; a run on its way back out has its tombstone until all of it is there.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from autotrack.backends.edits import is_folder

__all__ = ["TRASH", "delete", "half_deleted", "take_back", "throw_away"]

TRASH = "trash"

_GOING = ".gone-"  # a folder that is being deleted: no longer a run for anybody


def throw_away(root: Path, run_id: str, folder_mode: int = 0o700) -> None:
    """Move a run's folder to the trash. One that another process has moved meanwhile is left there.

    Raises:
        OSError: It cannot be moved.
    """
    trash = root / TRASH
    if not is_folder(trash):
        try:
            trash.mkdir(folder_mode & 0o777)
            if folder_mode != 0o700:
                trash.chmod(folder_mode)
        except FileExistsError:
            if not is_folder(trash):
                raise NotADirectoryError(errno.ENOTDIR, "is no folder", str(trash)) from None
    try:
        os.rename(root / "runs" / run_id, trash / run_id)
    except FileNotFoundError:
        if not is_folder(trash / run_id):
            raise
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # a copy of it came back: both are removed
            raise


def take_back(root: Path, run_id: str) -> None:
    """Move a run's folder out of the trash; nothing where it does not lie there.

    Raises:
        FileExistsError: A copy of it lies in ``runs``.
        OSError: It cannot be moved.
    """
    if is_folder(root / TRASH / run_id):
        try:
            os.rename(root / TRASH / run_id, root / "runs" / run_id)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(root / "runs" / run_id)) from None
            raise


def delete(root: Path, run_id: str) -> None:
    """Delete a run that lies in the trash for good, and copies of it that came back.

    It is given another name first, so that nobody meets, or takes back, half of it.
    """
    if _delete(root, root / TRASH / run_id):  # else it was taken back, or deleted by somebody else
        _delete(root, root / "runs" / run_id)


def _delete(root: Path, folder: Path) -> bool:
    if not is_folder(folder):
        return False
    going = root / TRASH / f"{_GOING}{folder.name}-{os.urandom(4).hex()}"
    try:
        os.rename(folder, going)
    except FileNotFoundError:
        return False
    shutil.rmtree(going, ignore_errors=True)  # what stays is found again by half_deleted
    return True


def half_deleted(root: Path) -> Iterator[Path]:
    """Folders that somebody was stopped at deleting."""
    if is_folder(root / TRASH):
        with os.scandir(root / TRASH) as found:
            for entry in found:
                if entry.name.startswith(_GOING) and entry.is_dir(follow_symlinks=False):
                    yield root / TRASH / entry.name
