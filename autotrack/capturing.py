"""What integrations capture of a run: the middle of ``Run``, between what people log and how it is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from autotrack import models
from autotrack.backends.base import safe_path
from autotrack.backends.housekeeping import housekeeper
from autotrack.errors import ModelError
from autotrack.guard import guarded
from autotrack.records import Facts, Params, Record
from autotrack.storing import Storing

__all__ = ["Capturing"]

_COPIED_PER_SECOND = 500e6  # bytes, with their checksum


class Capturing(Storing):
    """What was seen of a training, and its model. What a person logged under the same name stands. See ``run.Run``."""

    @guarded("capture")
    def capture(
        self,
        *,
        params: Mapping[str, Any] | None = None,
        changed: Iterable[str] = (),
        metrics: Mapping[str, float] | None = None,
        curves: Mapping[str, Sequence[float]] | None = None,
        facts: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        step: int | None = None,
        epoch: int | None = None,
        _by_hand: bool = False,
    ) -> None:
        """Record what an integration saw, in one write. What a person logged under the same name stands.

        Args:
            params: Parameters by name.
            changed: Names of those that differ from their default.
            metrics: Metrics by name.
            curves: Whole histories of metrics by name, one value per step; these are not in ``metrics``.
            facts: Sections of facts, in JSON types.
            tags: Tags by name.
            step: Step of the metrics, and first step of the curves; None: the next one of each metric, and 0.
            epoch: Epoch of the metrics.
        """
        records: list[Record] = []
        now = self._writer.elapsed()
        if params:
            fields = {
                key: self._param(key, value, _by_hand or self._allowance.files)
                for key, value in ((str(key), value) for key, value in params.items())
                if _by_hand or f"params.{key}" not in self._by_hand
            }
            self._params.update(fields)
            changed = [key for key in changed if key in fields]
            self._changed = [key for key in self._changed if key not in fields] + changed
            records.append(Params(t=now, p=fields, changed=changed))
        if facts:
            records.append(Facts(t=now, f=dict(facts)))
        self._write(records)
        if tags:
            self._write_tags({key: text for key, text in tags.items() if f"tags.{key}" not in self._by_hand})
        if metrics:
            self._log_metrics({k: v for k, v in metrics.items() if k not in self._metrics_by_hand}, step, epoch, False)
        for key, points in (curves or {}).items():
            if key not in self._metrics_by_hand:
                self._log_points(key, points, step or 0)

    @guarded("saving the model")
    def capture_model(
        self,
        model: Any,
        name: str,
        duration: float,
        *,
        signature: Mapping[str, Any] | None = None,
        sample: Any = None,
        interim: bool = False,
    ) -> None:
        """Save a trained model, if that costs little beside its training.

        Args:
            model: The model.
            name: Its name in the run.
            duration: Seconds that its training took.
            signature: ``inputs`` and ``outputs``, as ``describe_data`` describes them.
            sample: The training data; its first rows are kept where ``input_example`` is set.
            interim: Its training goes on, and the next one of this name takes its place.
        """
        if self._allowance.policy == "never" or not self._allowance.files:
            return
        form = models.format_for(model)
        why_not = self._allowance.refuses(model, form, duration)
        if why_not:
            self.note(f"model {name!r} was not saved: {why_not}. To save it: autotrack.log_model(model)", "warning")
            return
        try:
            saved = models.save(model, form)
        except ModelError as error:  # a lambda in it, say: no failure of ours
            self.note(f"model {name!r} was not saved: {error}", "warning")
            return
        example = sample if self._allowance.input_example else None
        self._write_model(saved, name, signature or {}, example, interim)

    @guarded("storing a file")
    def capture_file(self, name: str, content: bytes) -> None:
        """Keep a small file that an integration made, under ``artifacts/<name>``; in a series there are no files."""
        if self._allowance.files and not self._off:
            self._store(safe_path(name), content)

    @guarded("storing a checkpoint")
    def capture_checkpoint(self, path: Path, name: str, duration: float) -> str:
        """Copy a file with a model's state into the run, under ``artifacts/<name>``, if models may be saved.

        Args:
            path: The file.
            name: Its path below the run's artifacts.
            duration: Seconds that the training took.

        Returns:
            Why it was not copied, in words; empty where it was.
        """
        size = path.stat().st_size
        why_not = self._allowance.refuses_cost(size / _COPIED_PER_SECOND, size, duration)
        if why_not or self._off or not self._allowance.files:
            return why_not
        self._store(safe_path(name), path)
        if self._allowance.spend(size):
            housekeeper.submit(self._allowance.measure_store)
        return ""

    @guarded("storing a figure")
    def capture_figure(self, name: str, content: bytes) -> None:
        """Keep a figure as data, under ``artifacts/figures/<name>``; it is written soon, off this thread."""
        if self._allowance.files and not self._off:
            path = safe_path(PurePosixPath("figures", name))
            housekeeper.submit(partial(self._keep_figure, path, content))

    @guarded("storing a figure")
    def _keep_figure(self, path: PurePosixPath, content: bytes) -> None:
        self._store(path, content)

    def refuses_model(self, model: Any, duration: float) -> str:
        """Why ``capture_model`` would not save a model, in words; empty where it would.

        Args:
            model: The model.
            duration: Seconds that its training took; infinite where its time does not matter.
        """
        return self._allowance.refuses(model, models.format_for(model), duration)

    @guarded("storing the code")
    def capture_code(self, name: str, content: bytes) -> None:
        """Keep source or a patch beside the run, under ``artifacts/code/``."""
        self._store(PurePosixPath("code", name), content)
