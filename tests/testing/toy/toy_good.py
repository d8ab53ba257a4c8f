"""A good integration of toyframe, and how mutants of it are registered."""

import functools

import autotrack

MUTANTS: dict[str, tuple[str, str, str]] = {}
"""By name: the check that catches it, the point of the contract, and words of the message."""

INTEGRATIONS: list[autotrack.Integration] = []


def breaks(check, point, words):
    def register(cls):
        cls.name = cls.__name__
        MUTANTS[cls.name] = (check, point, words)
        INTEGRATIONS.append(cls())
        return cls

    return register


class Good(autotrack.Integration):
    name = "Good"
    modules = ("toyframe",)
    minimum = ("toyframe", "1")

    def install(self, module, patches):
        patches.around(module.Model, "fit", self._on_call)
        patches.swap(module.tune, self._on_call)
        patches.around(module.Model, "__init_subclass__", self._on_subclass)

    def _on_subclass(self, call):
        yield
        if "fit" in vars(call.instance):
            self.patch_subclass(call.instance)

    def patch_subclass(self, cls):
        self.patches.around(cls, "fit", self._on_call)

    def _on_call(self, call):
        return None if autotrack.in_training() else self._record(call)

    def _record(self, call):
        with autotrack.training(self.name, "Model") as training:
            self.before(call)
            outcome = yield
            if outcome.exception is None:
                training.run.capture(metrics={"mean": outcome.value.mean_})
                self.after(call, outcome)
            training.end(outcome.exception)

    def before(self, call):
        """What a mutant does before the user's call."""

    def after(self, call, outcome):
        """What a mutant does after it."""


INTEGRATIONS.append(Good())


class ByHand(Good):
    """Puts a wrapper of its own below the patch."""

    def install(self, module, patches):
        self.model = module.Model
        self.original = vars(module.Model)["fit"]
        module.Model.fit = functools.wraps(self.original)(self.wrapper(self.original))
        super().install(module, patches)

    def disable(self):
        super().disable()
        if vars(self).pop("original", None) is not None:
            function = vars(self.model)["fit"]
            if hasattr(function, "__wrapped__"):
                self.model.fit = function.__wrapped__
