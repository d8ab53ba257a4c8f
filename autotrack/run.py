"""The handle of a run: calls become records.

What a person logs wrongly by structure (no mapping, a path that leaves the folder) raises at once. One
odd value among others never costs the others: it is left out, with a note in the run and one warning.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from autotrack import context, models
from autotrack.backends.base import safe_path
from autotrack.capturing import Capturing
from autotrack.config import STORE_FOLDER
from autotrack.errors import ArtifactPathError
from autotrack.guard import guarded
from autotrack.records import Begin, Record

if TYPE_CHECKING:
    from autotrack.children import ChildRun

__all__ = ["Run", "status_of"]

_AT_ONCE = 100  # children in one write: some 100 KB


def status_of(error: BaseException | None) -> str:
    """The status of a run that ended with this exception, or without one."""
    if error is None:
        return "finished"
    if isinstance(error, SystemExit):
        return "finished" if error.code in (None, 0) else "failed"
    # A task that was cancelled, a generator that was not run to its end: stopped, and nothing went wrong.
    stopped = isinstance(error, (KeyboardInterrupt, GeneratorExit)) or type(error).__name__ == "CancelledError"
    return "interrupted" if stopped else "failed"


class Run(Capturing):
    """An open run, or one that has ended in this process. Usable from several threads and in forked children.

    Attributes:
        id: Its id; of a child without files of its own ``<id of the parent>.<number>``.
        name: Its name.
        experiment: Name of its experiment.
        status: ``running`` until it ends; then ``finished``, ``failed`` or ``interrupted``.
        incomplete: Whether something of autotrack's own failed while it was recorded.
    """

    @property
    def elsewhere(self) -> bool:
        """Whether another process opened the run; this one, a child or a worker of it, adds to it."""
        return os.getpid() != self._pid

    # ---- what people log ---------------------------------------------------------------------------------------

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters. JSON types are kept; anything else is kept as text or as the name of its type.

        Raises:
            TypeError: ``params`` is no mapping.
        """
        _must_map(params, "log_params", '{"C": 1.0}')
        self._by_hand.update(f"params.{key}" for key in params)
        self.capture(params=params, _by_hand=True)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None, *, epoch: int | None = None) -> None:
        """Record one value of each metric.

        Args:
            metrics: Values by name: numbers, or arrays and tensors of one element.
            step: Step of all of them; steps may repeat and go backwards, every point is kept. None: the next
                integer for each metric.
            epoch: Epoch of all of them.

        Raises:
            TypeError: ``metrics`` is no mapping.
        """
        if type(metrics) is not dict:
            _must_map(metrics, "log_metrics", '{"loss": 0.3}')
        self._log_metrics(metrics, step, epoch)

    def log_points(self, key: str, points: Sequence[float], first_step: int = 0) -> None:
        """Record the whole history of a metric at once: one value per step, from ``first_step`` on."""
        self._metrics_by_hand.add(key)
        self._log_points(key, points, first_step)

    def set_tags(self, tags: Mapping[str, str | None]) -> None:
        """Set tags; None removes one. Values that are not text are made text.

        Raises:
            TypeError: ``tags`` is no mapping.
        """
        _must_map(tags, "set_tags", '{"team": "vision"}')
        self._by_hand.update(f"tags.{key}" for key in tags)
        self._write_tags(tags)

    def log_artifact(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        """Copy a file, or a folder with all that is in it but links and stores of autotrack's, into the run.

        Args:
            path: The file or folder.
            name: Path below the run's artifacts; by default the file's own name.

        Raises:
            FileNotFoundError: There is no such file.
            ArtifactPathError: ``name`` is no path below the run's artifacts.
        """
        if self._off:
            return
        source = Path(path)
        target = safe_path(source.resolve().name if name is None else name)
        if not source.exists():
            raise FileNotFoundError(f"log_artifact: there is no file {str(source)!r}")
        if source.is_dir():
            for file in sorted(source.rglob("*")):
                inner = file.relative_to(source)
                if file.is_file() and not file.is_symlink() and STORE_FOLDER not in inner.parts:
                    try:
                        self._store(target / inner.as_posix(), file)
                    except ArtifactPathError as error:  # one odd name among many
                        self.note(f"a file was not stored: {error}", "warning")
        else:
            self._store(target, source)

    def log_figure(self, figure: Any, name: str) -> None:
        """Keep a figure: matplotlib's as PNG, plotly's as HTML.

        Raises:
            TypeError: The object can be saved as neither.
            ArtifactPathError: ``name`` is no path below the run's artifacts.
        """
        if self._off:
            return
        if hasattr(figure, "savefig"):
            import io  # noqa: PLC0415

            buffer = io.BytesIO()
            figure.savefig(buffer, format="png")
            data, suffix = buffer.getvalue(), ".png"
        elif hasattr(figure, "to_html"):
            data, suffix = figure.to_html().encode(), ".html"
        else:
            raise TypeError(
                f"log_figure takes a matplotlib or plotly figure, not {type(figure).__name__}; "
                "save it to a file and use log_artifact"
            )
        self._store(safe_path(name if name.endswith(suffix) else name + suffix), data)

    def log_model(self, model: Any, name: str = "model", *, example: Any = None) -> None:
        """Save a model under a name.

        Args:
            model: The model; or the path of a file with one, whose suffix says what it is (``.joblib``, ``.pkl``,
                ``.pt``, ``.onnx``, ``.skops``, ``.safetensors``). It is kept as it is, and no pickle is opened.
            name: Its name in the run.
            example: Data as its ``predict`` takes it: columns, dtypes and shape become the model's signature, and the
                first five rows are kept beside it.

        Raises:
            ModelError: No installed plugin can save an object of this kind, or reads such a file.
            FileNotFoundError: There is no such file.
            ArtifactPathError: The name cannot be the name of a folder.
        """
        if self._off:
            return
        models.check_name(name)
        if isinstance(model, (str, os.PathLike)):
            saved = models.format_of_file(os.fspath(model)).of_file(Path(model).read_bytes())
        else:
            saved = models.save(model, models.format_for(model))
        signature = {}
        if example is not None:
            from autotrack.capture.shapes import describe_inputs  # noqa: PLC0415  seldom asked for

            inputs = describe_inputs(example)
            signature = {"inputs": inputs} if inputs else {}
        self._write_model(saved, name, signature, example)

    def child(self, name: str) -> Run:
        """A child run. It lives in this run's journal until it has files of its own."""
        with self._lock:
            self._children += 1
            self._begun += 1
            number = str(self._children)
        if self.elsewhere:  # numbers are the parent's; a forked child makes its own
            number = f"{number}-{os.urandom(3).hex()}"
        key = f"{self._child}.{number}" if self._child else number
        child = Run(self._writer, name, self.experiment, key, self._allowance, self._clean)
        child._top = self._top
        child._write([Begin(t=self._writer.elapsed(), name=name, experiment=self.experiment)])
        return child

    def reserve_children(self, count: int) -> range:
        """So many numbers of child runs that nothing else will have; for ``capture_children``."""
        with self._lock:
            first = self._children + 1
            self._children += count
        return range(first, first + count)

    @guarded("recording child runs")
    def capture_children(self, children: Sequence[ChildRun]) -> None:
        """Record what is new about many child runs, in few writes. They have no files, and no handles."""
        if self._off:
            return
        for first in range(0, len(children), _AT_ONCE):
            now = self._writer.elapsed()
            records: list[Record] = []
            for child in children[first : first + _AT_ONCE]:
                key = f"{self._child}.{child.number}" if self._child else str(child.number)
                records += child.records(key, now, partial(self._param, files=self._allowance.files), self._clean)
                self._begun += bool(child.name)
            if records:
                self._writer.write(records)

    def end(self, status: str | None = None, error: BaseException | None = None) -> None:
        """End the run; a second time nothing happens.

        Args:
            status: ``finished``, ``failed`` or ``interrupted``; by default what ``error`` says.
            error: The exception that ended it.
        """
        with self._lock:
            if self.ended or self.elsewhere:  # a forked child does not end its parent's run
                return
        self._call_before_end(error)
        with self._lock:
            if self.ended:
                return
            self._flush(final=True)
            self.status = status or status_of(error)
        context.close_run(self)
        context.finished_run(self)
        self._end(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error=error)

    # ---- what integrations do with it --------------------------------------------------------------------------

    def elapsed(self) -> int:
        """Whole microseconds since the run's start."""
        return self._writer.elapsed()

    def gather(self, key: str, value: float, step: int, epoch: int | None = None, at: int | None = None) -> None:
        """Record one point of a metric that comes at every step. What a person logged under this name stands.

        Points are gathered for at most 100 ms into one line. Each of the first 100,000 is kept, then each point
        stands for 50 ms with mean, lowest and highest value; the last one is always kept.

        Args:
            key: Name of the metric.
            value: Its value.
            step: Its step.
            epoch: Its epoch, if there is one.
            at: When it was, in microseconds since the run's start; default: now.
        """
        self._gather(key, value, step, epoch, at)

    def gather_points(
        self, key: str, values: Sequence[float], steps: Sequence[int], times: Sequence[int], epoch: int | None = None
    ) -> None:
        """As ``gather``, for one or more points of one epoch that were noted before; ``times`` as its ``at``."""
        self._gather_points(key, values, steps, times, epoch)

    def flush(self) -> None:
        """Write the points that ``gather`` still holds back, but for those of 50 ms, which wait for a second."""
        self._flush()

    def before_end(self, callback: Callable[[BaseException | None], None]) -> None:
        """Call ``callback`` once when the run ends, with the exception that ends it, before its last record."""
        self._before_end.append(callback)

    def idle(self) -> None:
        """Say that the training is at rest and may go on, as between the cells of a notebook."""
        with self._lock:
            if self.status != "running" or os.getpid() != self._pid:
                return
            self._flush()
            self.status = "idle"
        self._end(None)

    def discard(self) -> None:
        """What looked like a training of its own was a part of another one: leave it out of all lists."""
        self.end("finished")
        self._discard()

    def resume(self) -> None:
        """The training goes on, after it was idle or had ended."""
        with self._lock:
            if self.status == "running" or os.getpid() != self._pid:
                return
            self.status = "running"
        context.ongoing(self)
        self._resume()

    def joined(self) -> None:
        """This process adds to a run of another one: it does not end it, and every training here is a child."""
        self._pid = 0
        self._adopted = True

    def adopt(self) -> bool:
        """Whether this run, opened by hand, takes the training that begins now; the first one only."""
        with self._lock:
            first, self._adopted = not self._adopted, True
            return first


def _must_map(given: Any, call: str, example: str) -> None:
    if not isinstance(given, Mapping):
        raise TypeError(f"{call} takes a mapping such as {example}, not {type(given).__name__}")
