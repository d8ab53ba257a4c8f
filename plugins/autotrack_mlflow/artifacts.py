"""Files through the server's artifact proxy: sent piece by piece, and their size there compared."""

from __future__ import annotations

import io
import os
import tempfile
import urllib.parse
from collections.abc import Callable
from typing import BinaryIO

from autotrack.errors import ArtifactPathError, RemoteError
from autotrack_mlflow.answers import Files
from autotrack_mlflow.client import Client, Rejected

__all__ = ["FILE_LIMIT", "PROXY", "Artifacts", "fetch", "folder_of"]

PROXY = "mlflow-artifacts/artifacts"

FILE_LIMIT = 50 << 30
"""Bytes of a file beyond which it is not fetched."""


def folder_of(root: str) -> str | None:
    """Where a run's artifacts are behind the proxy; None where they are elsewhere."""
    parts = urllib.parse.urlsplit(root)
    folder = parts.path.strip("/")
    return folder if parts.scheme == "mlflow-artifacts" and ".." not in folder.split("/") else None


def fetch(client: Client, root: str, path: str) -> BinaryIO:
    """A file below a folder of artifacts, as a temporary file.

    Raises:
        FileNotFoundError: It is not there, or the server keeps its files elsewhere.
        RemoteError: It cannot be had now.
    """
    folder = folder_of(root)
    if folder is None:
        raise FileNotFoundError(f"the server keeps its files at {root[:200]}")
    file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
    try:
        client.fetch(f"{PROXY}/{urllib.parse.quote(f'{folder}/{path}')}", file, FILE_LIMIT)
    except Rejected as error:
        file.close()
        raise FileNotFoundError(f"{path}: {error}") from None
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


class Artifacts:
    """Sends files.

    Attributes:
        problems: What could not be sent, in words.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.problems: list[str] = []

    def put_bytes(self, root: str, target: str, content: bytes) -> bool:
        """``put`` for content that is at hand."""
        return self.put(root, target, lambda: io.BytesIO(content))

    def put(self, root: str, target: str, source: Callable[[], BinaryIO]) -> bool:
        """Send a file to the path ``target`` below a run's artifacts; False where it could not be.

        A file that is not there any more is left out: a pickle that was turned into its safe form.
        """
        folder = folder_of(root)
        if folder is None:
            self.problem(f"files are not copied: the server keeps them at {root[:200]}, not behind its own address")
            return False
        try:
            file = source()
        except FileNotFoundError:
            return False
        except (OSError, ArtifactPathError) as error:
            self.problem(f"file {target}: {error}")
            return False
        with file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            path = f"{folder}/{target}"
            try:
                self._client.put_file(f"{PROXY}/{urllib.parse.quote(path)}", file, size)
                found = self._size(path)
            except Rejected as error:
                self.problem(f"file {target}: {error}")
                return False
        if found != size:
            raise RemoteError(f"file {target} arrived with {found} of its {size} bytes")
        return True

    def _size(self, path: str) -> int:
        folder, _, name = path.rpartition("/")
        listed = self._client.get(PROXY, {"path": folder}, Files).files
        return next((file.file_size for file in listed if file.path == name and not file.is_dir), -1)

    def problem(self, text: str) -> None:
        """What could not be sent; said once."""
        if text not in self.problems:
            self.problems.append(text)
