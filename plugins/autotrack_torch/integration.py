"""What is patched in torch, and why.

* ``torch.autograd.backward``: every ``loss.backward()`` passes through it. The wrapper is one that
  ``torch.compile`` leaves alone. As the hook below it runs at every step: no lines but those that must.
* The global hook after optimizer steps, which is public: an instance's ``step`` must not be replaced (schedulers
  warn). ``Optimizer.__init__`` and the schedulers' ``step`` tell when and where they were made.
* ``DataLoader.__iter__`` and the ``__next__`` of its iterators: epochs and evaluations.
* The losses of ``torch.nn.functional``, where gradients are off: evaluation losses.
* ``Module.named_parameters``: which module an optimizer's parameters come from.
* ``GradScaler.scale``: what a loss was before it was scaled; ``autocast``: the dtype that it was computed in.
* ``torch.save`` to a path; what torchmetrics computes; scalars of ``SummaryWriter``.
"""

from __future__ import annotations

import os
import sys
import weakref
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

import autotrack
from autotrack import current_scope  # at every step: looked up in this module
from autotrack_torch.boundaries import Boundaries, Local
from autotrack_torch.names import users_modules
from autotrack_torch.others import Torchmetrics, written_scalars
from autotrack_torch.passes import Mean, Pass
from autotrack_torch.scalars import scalar_of

LOSSES = (
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cross_entropy", "ctc_loss",
    "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss",
    "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "poisson_nll_loss",
    "smooth_l1_loss", "soft_margin_loss", "triplet_margin_loss",
)  # fmt: skip
"""Functions of ``torch.nn.functional`` that are losses; the modules of the same kind call them."""


class Recorder(autotrack.Integration):
    """What ``TorchIntegration`` hands its work to when torch is imported."""

    name = "torch"

    def __init__(self) -> None:
        super().__init__()
        self._reset()
        self._hook: Any = None
        self._tensor: Any = None  # torch's class
        reference = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forget(reference))

    def _reset(self) -> None:
        self._local = Local()
        self._boundaries = Boundaries()
        self._torchmetrics = Torchmetrics()

    # ---- patches ----------------------------------------------------------------------------------------------------

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Patch torch, or what people use beside it."""
        if module.__name__ == "torchmetrics.metric":
            patches.watch(module.Metric, "__init__", after=self._made_metric)
            patches.watch(module.Metric, "reset", before=self._resets_metric)
        elif module.__name__ == "torch.utils.tensorboard.writer":
            for name in ("add_scalar", "add_scalars"):
                patches.watch(module.SummaryWriter, name, after=self._wrote)
        else:
            self._install_torch(module, patches)

    def _install_torch(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        from torch.optim.lr_scheduler import LRScheduler  # noqa: PLC0415  imported with torch
        from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook  # noqa: PLC0415
        from torch.utils.data import DataLoader, dataloader  # noqa: PLC0415

        self._tensor = module.Tensor
        compiling, learning = module.compiler.is_compiling, module.is_grad_enabled
        # As torch.compiler.disable, without importing the compiler now, and only where it is at work, if torch tells.
        at_work = getattr(module._C._dynamo.eval_frame, "get_eval_frame_callback", object)
        untraced = at_work, module._disable_dynamo
        patches.watch(module.autograd, "backward", after=self._backward, untraced=untraced)
        patches.watch(Optimizer, "__init__", after=self._made_optimizer)
        patches.watch(DataLoader, "__iter__", after=self._begin_pass)
        patches.watch(dataloader._BaseDataLoaderIter, "__next__", after=self._next_batch, raised=self._no_batch)
        patches.watch(module.nn.Module, "named_parameters", before=self._asked, traced=compiling)
        patches.watch(module, "save", after=self._saved)
        patches.watch(module.amp.GradScaler, "scale", after=self._scaled, traced=compiling)
        patches.watch(module.amp.autocast, "__enter__", after=self._autocast, traced=compiling)
        for name in LOSSES:
            computed = partial(self._computed_loss, name)
            patches.watch(module.nn.functional, name, after=computed, unless=learning, traced=compiling)
        users = users_modules()  # in which some may have been imported by name
        for name in LOSSES:
            patches.alias(vars(module.nn.functional)[name], users)
        for cls in {LRScheduler, *_subclasses(LRScheduler)}:
            if isinstance(vars(cls).get("step"), FunctionType):
                patches.watch(cls, "step", after=self._scheduler_stepped)
        self._hook = register_optimizer_step_post_hook(patches.callback("step", self._stepped, untraced))

    def close(self) -> None:
        """End what is open; at exit with the exception that ends the process."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        _, error = autotrack.ending()
        self._record(self._torchmetrics.new())
        self._boundaries.end_all(error)
        self._reset()

    # ---- losses and steps -------------------------------------------------------------------------------------------

    def _backward(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = args[1] if len(args) > 1 else kwargs.get("grad_tensors")
        if given is not None:  # no loss, but a part of a larger backward (checkpointing, custom functions)
            return
        here = self._local.here
        loss: Any = args[0] if args else kwargs.get("tensors")
        if type(loss) is not self._tensor or loss.numel() != 1:
            loss = scalar_of(loss)
            if loss is None:
                return
        taken = None
        for reference, before in here.scaled:
            if reference() is loss:
                taken = before
        if taken is None:
            taken = here.readings.take(loss)
        if taken is not None:
            current = here.passes.current
            here.losses.append((taken, current, 1 if current is None else current.size))

    def _scaled(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        loss, product = scalar_of(args[1] if len(args) > 1 else kwargs.get("outputs")), scalar_of(result)
        if loss is not None and product is not None and product is not loss:
            here = self._local.here
            taken = here.readings.take(loss)
            if taken is not None:
                here.scaled.append((weakref.ref(product), taken))

    def _stepped(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._boundaries.step(self._local.here, args[0], current_scope())

    def _made_optimizer(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._boundaries.made(args[0])

    def _asked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._boundaries.roots.asked(args[0])

    def _scheduler_stepped(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._boundaries.scheduled(self._local.here, args[0])

    # ---- what people compute and save beside ------------------------------------------------------------------------

    def _record(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Metrics of the loop of this thread, or of the run that is open here."""
        if not metrics or autotrack.in_training():
            return
        loop = self._local.here.loop
        if loop is not None and not loop.ended:
            loop.record(metrics, step)
        elif (run := autotrack.active_run()) is not None:
            run.capture(metrics=metrics, step=step)

    def _made_metric(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._torchmetrics.made(args[0])

    def _resets_metric(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._record(self._torchmetrics.new_of(args[0]))

    def _wrote(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._record(*written_scalars(args, kwargs))

    def _saved(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        target = args[1] if len(args) > 1 else kwargs.get("f")
        loop = self._local.here.loop
        if isinstance(target, (str, os.PathLike)) and loop is not None and not loop.ended:
            loop.saved(os.fspath(target))

    # ---- passes -----------------------------------------------------------------------------------------------------

    def _begin_pass(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if autotrack.in_training():
            return
        self._record(self._torchmetrics.new())
        for left in self._local.here.passes.begin(args[0], result):
            self._end_pass(left)

    def _next_batch(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        passes = self._local.here.passes
        found = passes.by_iterator.get(id(args[0]))
        if found is not None:
            passes.current = found[1]
            found[1].batch(result)

    def _no_batch(self, error: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        one = self._local.here.passes.of(args[0])
        if one is not None and isinstance(error, StopIteration):
            one.whole = True
            self._end_pass(one)

    def _end_pass(self, one: Pass) -> None:
        here = self._local.here
        for ended in here.passes.end(one):
            if ended.loop is not None:
                if not ended.loop.ended:
                    ended.loop.end_epoch(ended)
            elif here.loop is not None and not here.loop.ended:
                here.loop.end_evaluation(ended, here.passes.enclosing_epoch())

    def _computed_loss(self, name: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """With gradients off it is the loss of an evaluation."""
        here = self._local.here
        current = here.passes.current
        loss = scalar_of(result)
        if current is None or loss is None or autotrack.in_training():
            return
        if not current.evaluated:
            current.saw("outputs", args[0] if args else kwargs.get("input"))
        taken = here.readings.take(loss)
        if taken is not None:
            current.evaluated.setdefault(name, Mean()).add(taken, current.size, kwargs.get("reduction") == "sum")

    def _autocast(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Losses are computed in lower precision from here on; ``_enabled`` may say that they are not."""
        context, here = args[0], self._local.here
        if context._enabled and sys.modules["torch"].is_grad_enabled():
            steps = 0 if here.loop is None else here.loop.steps
            here.precision = str(context.fast_dtype).removeprefix("torch."), steps


def _subclasses(cls: type) -> set[type]:
    below: set[type] = set(type.__subclasses__(cls))
    return below.union(*(_subclasses(other) for other in below))


def _forget(reference: weakref.ref[Recorder]) -> None:
    """In a forked child: the loops are the parent's."""
    integration = reference()
    if integration is not None:
        integration._reset()
