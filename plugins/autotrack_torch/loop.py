"""One training loop that is recorded: its run, its optimizers, and what becomes of their losses."""

from __future__ import annotations

import time
import weakref
from collections import deque
from typing import Any

import autotrack
from autotrack_torch import describe
from autotrack_torch.keeping import Keeper
from autotrack_torch.passes import Mean, Pass, Passes, Value
from autotrack_torch.series import Losses, Series, parameter_ids

__all__ = ["Loop"]

_UNSEEN = (
    "no loss was seen: what computes gradients inside a compiled graph, in a CUDA graph captured by hand or by "
    "torch.autograd.grad passes by; steps, learning rates and evaluations are recorded. autotrack.log_metrics "
    "records a loss"
)
_NO_EVALUATION = (
    "no loss was seen in an evaluation over {loader}: seen are those of torch.nn and torch.nn.functional, computed "
    "with gradients off and not inside a compiled function. autotrack.log_metrics records any other value"
)
_HELD = 100
_PERIOD = 80_000_000  # nanoseconds for which points wait; what ``gather`` makes a line of is a little more
_EARLY = 1000
_MAX_SAVED = 100


class Loop:
    """From the first optimizer step to the end of the run.

    Attributes:
        training: The training that autotrack began for it.
        scope: The scope that was current then.
        born: How many optimizers had been made by then.
        ended: Whether its run has ended.
        resting: Whether its run is idle.
    """

    def __init__(
        self,
        training: autotrack.Training,
        scope: autotrack.Scope | None,
        born: int,
        expected: int,
        passes: Passes,
        readings: autotrack.Readings,
    ) -> None:
        self.training = training
        self.run = training.run
        self.scope = scope
        self.born = born
        self.ended = False
        self.resting = False
        self._passes = passes
        self._readings = readings
        self._described: set[str] = set()
        self._unseen: set[str] = set()  # evaluations of which no loss was seen
        self._keeper = Keeper(self.run)
        self.epochs = 0
        self.steps = 0
        self.by_optimizer: dict[int, tuple[weakref.ref[Any], Series]] = {}
        self.series: list[Series] = []
        self._parameters: dict[int, tuple[weakref.ref[Any], Series]] = {}
        self.early: list[tuple[str, float, int]] = []  # the first points, should the loop turn out to be a helper
        self._expected = expected  # optimizers that may take part in turn
        self._several: bool | None = None if expected > 1 else False  # whether series need their names in keys
        self._queue: deque[tuple[Series, str, Value, int, Pass | None, int, int]] = deque()
        self._due = 0  # when what is in the queue is to be recorded, in monotonic nanoseconds
        self._saved: dict[str, dict[str, Any]] = {}
        self._stages = 0
        self._norms = autotrack.current_settings().norms

    # ---- who takes part ---------------------------------------------------------------------------------------------

    def series_of(self, optimizer: Any) -> Series | None:
        """The series of an optimizer that has stepped in this loop."""
        found = self.by_optimizer.get(id(optimizer))
        return found[1] if found is not None and found[0]() is optimizer else None

    def series_by_parameters(self, optimizer: Any) -> Series | None:
        """The series of an optimizer that trained some of the same parameters."""
        for key, parameter in parameter_ids(optimizer).items():
            reference, series = self._parameters.get(key, (None, None))
            if reference is not None and reference() is parameter:
                return series
        return None

    def add(self, optimizer: Any, series: Series) -> None:
        """An optimizer takes part."""
        self.by_optimizer[id(optimizer)] = (weakref.ref(optimizer), series)
        for key, parameter in parameter_ids(optimizer).items():
            self._parameters[key] = (weakref.ref(parameter), series)
        if series not in self.series:
            self.series.append(series)

    def unique_name(self, name: str) -> str:
        """``name``, with a number where another series has it."""
        taken = {series.name for series in self.series}
        number, result = 1, name
        while result in taken:
            number += 1
            result = f"{name}-{number}"
        return result

    # ---- steps ------------------------------------------------------------------------------------------------------

    def step(self, optimizer: Any, series: Series, losses: Losses, current: Pass | None) -> None:
        """An optimizer stepped after ``backward`` was called on ``losses``.

        What is done here the training waits for at every step, with caches that hold other things: no more than
        to note what was seen. It is recorded some hundred points at a time.
        """
        now = time.monotonic_ns()
        if self.resting:
            self._go_on()
        if current is not None:
            current.steps += 1
            if current.epoch is None:
                current.epoch, current.loop = self.epochs, self
                self.epochs += 1
        for taken, of, weight in losses:
            self._queue.append((series, "train/loss", taken, series.step, of, weight, now))
        count = len(losses)
        series.losses += count
        if count > 1:
            self._accumulates(optimizer, series, count)
        groups = optimizer.param_groups
        if len(groups) != 1 or groups[0].get("lr") is not series.rate:
            self._rates(groups, series, current, now)
        if self._norms:
            self._measure(optimizer, series, current, now)
        series.step += 1
        self.steps += 1
        if now > self._due:
            self._due = now + _PERIOD
            self._emit()
            self.run.flush()

    def _accumulates(self, optimizer: Any, series: Series, count: int) -> None:
        """Several losses for one step: gradients are accumulated, unless it is the optimizer that asks for them."""
        if count != series.per_step and not series.step and type(optimizer).__name__ != "LBFGS":
            series.per_step = count
            self.run.capture(
                params={"backwards_per_step" if self._expected <= 1 else f"backwards_per_step.{series.name}": count}
            )

    def _rates(self, groups: list[dict[str, Any]], series: Series, current: Pass | None, now: int) -> None:
        """Learning rates, when they change."""
        rates = series.rates
        first = groups[0].get("lr")
        series.rate = first if type(first) is float else None  # a tensor may change in place
        if len(rates) != len(groups):
            rates = series.rates = [None] * len(groups)
        for number, group in enumerate(groups):
            rate = group.get("lr")
            if rate is rates[number]:
                continue
            if type(rate) is not float:
                if rate is None or not (isinstance(rate, (int, float)) or getattr(rate, "is_cpu", False)):
                    continue
                rate = float(rate)
            if rate != rates[number]:
                rates[number] = rate
                key = "lr" if number == 0 else f"lr/group{number}"
                self._queue.append((series, key, rate, series.step, current, 0, now))

    def _measure(self, optimizer: Any, series: Series, current: Pass | None, now: int) -> None:
        """Norms of what the optimizer got and of what it made of it; nobody waits for them."""
        parameters = parameter_ids(optimizer).values()
        found = {
            "train/grad_norm": describe.norm([one.grad for one in parameters]),
            "train/param_norm": describe.norm(parameters),
        }
        for key, tensor in found.items():
            taken = None if tensor is None else self._readings.take(tensor)
            if taken is not None:
                self._queue.append((series, key, taken, series.step, current, 0, now))

    def _emit(self) -> None:
        """Record what is there, in order."""
        queue = self._queue
        if self._several is None:
            stepped = sum(bool(one.losses or one.step) for one in self.series)
            if stepped < self._expected and len(queue) < _HELD:
                return
            self._decide()
        offset = self.run.elapsed() - time.monotonic_ns() // 1000
        while queue:
            series, key, _, _, of, _, _ = queue[0]
            values: list[float] = []
            steps, times, weights = list[int](), list[int](), list[int]()
            while queue and queue[0][0] is series and queue[0][1] == key and queue[0][4] is of:
                _, _, taken, step, _, weight, now = queue[0]
                value = taken if isinstance(taken, float) else taken.value
                if value is None:
                    break
                queue.popleft()
                values.append(value)
                steps.append(step)
                times.append(max(0, offset + now // 1000))
                weights.append(weight)
            if not values:
                return
            self._record(series, key, values, steps, times, of, weights)

    def _decide(self) -> None:
        """Now it is known whether several optimizers have losses of their own."""
        self._several = sum(series.losses > 0 for series in self.series) > 1

    def _record(
        self,
        series: Series,
        key: str,
        values: list[float],
        steps: list[int],
        times: list[int],
        of: Pass | None,
        weights: list[int],
    ) -> None:
        if self._several or (series.name and series is not self.series[0]):
            key = f"{key}/{series.name}"
        epoch = None
        if of is not None:
            epoch = of.epoch
            if any(weights):
                mean = of.losses.get(key)
                if mean is None:
                    mean = of.losses[key] = Mean()
                mean.add_all(values, weights)
        if len(self.early) < _EARLY:
            self.early += zip([key] * len(values), values, steps, strict=True)
        self.run.gather_points(key, values, steps, times, epoch)

    def settle(self) -> None:
        """Record everything that is under way; waits for devices."""
        if self._several is None:
            self._decide()
        self._readings.settle()
        self._emit()

    # ---- passes -----------------------------------------------------------------------------------------------------

    def end_epoch(self, one: Pass) -> None:
        """A training pass is over."""
        self.settle()
        step, epoch = max(0, self._last_step()), one.epoch
        found = {
            key.replace("train/loss", "train/loss_epoch", 1): value
            for key, mean in one.losses.items()
            if (value := mean.value()) is not None
        }
        seconds = one.seconds
        found["time/epoch"] = seconds
        if seconds > 0:
            found |= {"time/step": seconds / one.steps, "time/samples_per_second": one.samples / seconds}
        self.run.flush()
        self.run.capture(metrics=found, step=step, epoch=epoch)
        self._describe_loader(one, "train")
        self._keeper.saw(one.shapes)
        self._keeper.mark(self.steps, self.epochs)

    def end_evaluation(self, one: Pass, epoch: int | None) -> None:
        """An evaluation pass is over."""
        if one.evaluated:
            self._readings.settle()
        prefix, step = one.prefix, max(0, self._last_step())
        epoch = self.epochs - 1 if epoch is None and self.epochs else epoch
        found: dict[str, float] = {}
        for name, mean in one.evaluated.items():
            value = mean.value()
            if value is not None:
                found[f"{prefix}/loss" if len(one.evaluated) == 1 else f"{prefix}/{name}"] = value
        if found:
            self.run.flush()
            self.run.capture(metrics={**found, f"time/{prefix}": one.seconds}, step=step, epoch=epoch)
            self._describe_loader(one, prefix)
            self._keeper.saw(one.shapes)
            self._keeper.consider(found, step, epoch)
        elif one.whole and not self._seen_evaluation(prefix):
            self.run.note(_NO_EVALUATION.format(loader=one.name or "a loader"))

    def _seen_evaluation(self, prefix: str) -> bool:
        """Whether something is known of evaluations of this prefix; asked once."""
        seen = prefix in self._described or prefix in self._unseen
        self._unseen.add(prefix)
        return seen

    def _last_step(self) -> int:
        return max((series.step for series in self.series), default=0) - 1

    def _describe_loader(self, one: Pass, prefix: str) -> None:
        loader = one.loader()
        if loader is None or prefix in self._described:
            return
        self._described.add(prefix)
        facts = describe.loader(loader)
        params = {"batch_size": facts["batch_size"]} if prefix == "train" else {}
        self.run.capture(params=params, facts={"loaders": {prefix: facts}})

    def record(self, metrics: dict[str, Any], step: int | None) -> None:
        """Metrics that the user computed."""
        epoch = self._passes.enclosing_epoch()
        epoch = self.epochs - 1 if epoch is None and self.epochs else epoch
        self.run.capture(metrics=metrics, step=max(0, self._last_step()) if step is None else step, epoch=epoch)

    def saved(self, path: str) -> None:
        """The user saved something to a path, a checkpoint mostly. It is noted, not copied."""
        self._saved[path] = {"step": max(0, self._last_step()), "epoch": self.epochs - 1 if self.epochs else None}
        if len(self._saved) <= _MAX_SAVED:
            self.run.capture(facts={"saved": {path: self._saved[path]}})

    # ---- descriptions -----------------------------------------------------------------------------------------------

    def describe_optimizer(self, optimizer: Any, series: Series, models: list[Any]) -> None:
        """Record what a new optimizer is, and what it trains."""
        self._keeper.add(models)
        first = len(self.by_optimizer) == 1
        prefix = "optimizer" if first and self._expected <= 1 else f"optimizer.{series.name}"
        params, changed = describe.optimizer(optimizer, prefix)
        facts: dict[str, Any] = {"model": {type(model).__name__: describe.model(model) for model in models}}
        if first:
            facts["torch"] = describe.torch_settings()
        self.run.capture(params=params, changed=changed, facts=facts)

    def describe_precision(self, precision: str, scaled: bool) -> None:
        """Record automatic mixed precision, where it is used."""
        if precision or scaled:
            self.run.capture(params={"amp": precision or "full", "amp.scaler": scaled})

    def describe_stage(self, optimizer: Any, models: list[Any]) -> None:
        """A new optimizer over the same parameters."""
        self._stages += 1
        self._keeper.add(models)
        if self._stages <= 20:
            params, _ = describe.optimizer(optimizer)
            self.run.capture(facts={"stages": {str(self._stages + 1): autotrack.to_json(params)}})

    def describe_schedulers(self, schedulers: list[Any], series: Series) -> None:
        """Record the settings of an optimizer's schedulers; those that others are made of are numbered."""
        inner = {id(one) for outer in schedulers for one in getattr(outer, "_schedulers", ())}
        prefix = "scheduler" if self._expected <= 1 else f"scheduler.{series.name}"
        for number, one in enumerate(sorted(schedulers, key=lambda one: id(one) in inner)):
            params, changed = describe.scheduler(one, f"{prefix}.{number}" if number else prefix)
            self.run.capture(params=params, changed=changed)

    # ---- the end ----------------------------------------------------------------------------------------------------

    def rest(self, error: BaseException | None) -> None:
        """The cell of a notebook has ended, or raised ``error``. The next step goes on."""
        if self.resting or self.ended:
            return
        if not self.training.own:  # a run that a person opened ends when they say so
            self.settle()
            self.run.flush()
            return
        self._complete()
        self.resting = True
        if error is None:
            self.run.idle()
        else:
            self.training.end(error)

    def _go_on(self) -> None:
        self.resting = False
        ended = self.run.ended
        self.run.resume()
        if ended:
            self.run.before_end(self.finish)

    def end(self, error: BaseException | None = None) -> None:
        """The training is over."""
        self.finish(error)
        self.ended = True
        self.training.end(error)

    def finish(self, error: BaseException | None) -> None:
        """Record what is still to be recorded, before the run's last record."""
        if not self.ended and not self.resting:
            self.ended = True
            self._complete()

    def _complete(self) -> None:
        self.settle()
        for one in self._passes.open:
            if one.loop is self:
                self.end_epoch(one)
                one.loop, one.steps = None, 0
        self.run.capture(facts={"training": {"steps": self.steps, "epochs": self.epochs}})
        if self.steps and not any(series.losses for series in self.series):
            self.run.note(_UNSEEN, "warning")
        self._keeper.save()

    def revive(self) -> None:
        """It goes on: what ended it was no end."""
        self.ended = False
        self.run.resume()
        self.run.before_end(self.finish)

    def absorb(self, helper: Loop) -> None:
        """Take over what a loop recorded that turned out to be a helper of this one."""
        for key, value, step in helper.early:
            self.run.gather(key if "/" in key[6:] else f"{key}/{helper.series[0].name}", value, step)
