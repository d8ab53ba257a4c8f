"""Real Jupyter kernels; the fixture ``kernel`` starts them."""

import os
from pathlib import Path

import pytest

manager = pytest.importorskip("jupyter_client.manager")
pytest.importorskip("ipykernel")

WAIT = "from autotrack.backends.housekeeping import housekeeper; assert housekeeper.wait_idle(100)"


class Kernel:
    """A kernel in a folder; ``run`` gives what a cell printed, showed, and raised."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.manager = manager.KernelManager(kernel_name="python3")
        settings = folder.parent / "ipython"  # neither the settings nor the history of who runs the tests
        settings.mkdir(exist_ok=True)
        self.manager.start_kernel(
            cwd=str(folder), env={**os.environ, "IPYTHONDIR": str(settings), "AUTOTRACK_STRICT": "1", **environment}
        )
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=300)

    def run(self, code: str) -> dict[str, str]:
        found = {"stdout": "", "stderr": "", "error": "", "html": "", "text": ""}

        def see(message: dict) -> None:
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                found[content["name"]] += content["text"]
            elif kind == "error":
                found["error"] = content["ename"]
            elif kind in ("execute_result", "display_data"):
                found["html"] += content["data"].get("text/html", "")
                found["text"] += content["data"].get("text/plain", "")

        self.client.execute_interactive(code, timeout=300, output_hook=see, stop_on_error=False)
        return found

    def ok(self, code: str) -> dict[str, str]:
        found = self.run(code)
        assert not found["error"], found
        return found

    def restart(self, now: bool = False) -> None:
        self.manager.restart_kernel(now=now)
        self.client.wait_for_ready(timeout=300)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()
