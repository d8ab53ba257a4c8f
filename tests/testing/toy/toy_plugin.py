"""Mutants of a good integration of toyframe: each breaks one point of the patch contract."""

import copy
import functools
import logging
import os
import random
import sys
import threading
import warnings

from toy_good import INTEGRATIONS, MUTANTS, ByHand, Good, breaks

import autotrack

__all__ = ["INTEGRATIONS", "MUTANTS"]


# ---- 1: the call ----------------------------------------------------------------------------------------------------


@breaks("exceptions", "1", "instead of the very exception")
class SwallowsTheException(ByHand):
    def wrapper(self, original):
        def fit(model, *args, **kwargs):
            try:
                return original(model, *args, **kwargs)
            except Exception:
                model.mean_ = 0.0
                return model

        return fit


@breaks("exceptions", "1", "instead of the very exception")
class RaisesAnother(ByHand):
    def wrapper(self, original):
        def fit(*args, **kwargs):
            try:
                return original(*args, **kwargs)
            except Exception as error:
                raise RuntimeError("the training failed") from error

        return fit


@breaks("exceptions", "1", "frames were added to the traceback")
class AddsFrames(ByHand):
    def wrapper(self, original):
        def fit(*args, **kwargs):
            return original(*args, **kwargs)

        return fit


@breaks("exceptions", "1", "a note was added")
class AddsANote(ByHand):
    def wrapper(self, original):
        def fit(*args, **kwargs):
            try:
                return original(*args, **kwargs)
            except Exception as error:
                error.add_note("while autotrack was recording")
                raise

        return fit


@breaks("exceptions", "1", "cause or context")
class LosesTheCause(ByHand):
    def wrapper(self, original):
        def fit(*args, **kwargs):
            try:
                return original(*args, **kwargs)
            except Exception as error:
                raise error from None

        return fit


@breaks("patcher_below", "1", "originals ran")
class CallsTwice(ByHand):
    def wrapper(self, original):
        def fit(*args, **kwargs):
            original(*args, **kwargs)
            return original(*args, **kwargs)

        return fit


@breaks("objects", "1", "another object than was returned")
class ReturnsAnotherObject(ByHand):
    def wrapper(self, original):
        def fit(*args, **kwargs):
            return copy.copy(original(*args, **kwargs))

        return fit


@breaks("objects", "1", "other arguments")
class CopiesTheArguments(ByHand):
    def wrapper(self, original):
        def fit(model, data, **kwargs):
            return original(model, copy.deepcopy(data), **kwargs)

        return fit


@breaks("results", "1", "a recorded training gives")
class ChangesTheData(Good):
    def before(self, call):
        call.bound["data"].values[0] = 0.0


@breaks("results", "1", "a recorded training gives")
class DrawsARandomNumber(Good):
    def before(self, call):
        random.random()


# ---- 2: our errors --------------------------------------------------------------------------------------------------


@breaks("results", "2", "KeyError: 'no such thing'")
class Raises(Good):
    def before(self, call):
        raise KeyError("no such thing")


@breaks("raising", "2", "is not marked incomplete")
class RecordsUnderAnotherName(Good):
    """Its errors are nobody's."""

    def __init__(self):
        super().__init__()
        self.patches = autotrack.PatchSet("another")


# ---- 3: nothing is called unasked -----------------------------------------------------------------------------------


@breaks("unasked", "3", "Model.predict")
class ScoresTheModel(Good):
    def after(self, call, outcome):
        outcome.value.predict(call.bound["data"])


@breaks("unasked", "3", "Model.fit")
class FitsABaseline(Good):
    def after(self, call, outcome):
        type(outcome.value)().fit(call.bound["data"])


# ---- 4: looks and pickles -------------------------------------------------------------------------------------------


@breaks("looks", "4", "the signature of toyframe:Model.fit")
class ChangesTheSignature(ByHand):
    def wrapper(self, original):
        def fit(*args, **kwargs):
            return original(*args, **kwargs)

        return fit

    def install(self, module, patches):
        super().install(module, patches)
        del vars(module.Model)["fit"].__wrapped__.__wrapped__


@breaks("looks", "4", "__doc__ of toyframe:Model.fit")
class ChangesTheDocumentation(Good):
    def install(self, module, patches):
        super().install(module, patches)
        module.Model.fit.__doc__ += "\n\nRecorded by autotrack."


@breaks("objects", "4", "left ['seen_'] on the instance")
class MarksTheInstance(Good):
    def after(self, call, outcome):
        outcome.value.seen_ = True


@breaks("pickling", "4", "names autotrack")
class LeavesItselfInPickles(Good):
    def after(self, call, outcome):
        outcome.value.outcome_ = autotrack.Outcome


@breaks("by_value", "4", "No module named 'autotrack'")
class NeedsAutotrackInPickles(Good):
    """Its wrapper names autotrack: a class of ``__main__`` that is pickled by value takes it along."""

    def patch_subclass(self, cls):
        original = cls.fit

        @functools.wraps(original)
        def fit(*args, **kwargs):
            if autotrack.in_training():
                return original(*args, **kwargs)
            return original(*args, **kwargs)

        super().patch_subclass(cls)
        cls.fit = fit


# ---- 5: disable() puts everything back ------------------------------------------------------------------------------


@breaks("disable", "5", "not the identical object")
class LeavesThePatch(Good):
    def disable(self):
        self.patches.undo = lambda: None
        super().disable()


@breaks("disable", "5", "did not exist before")
class LeavesAnAttribute(Good):
    def install(self, module, patches):
        super().install(module, patches)
        module.Model._recorded = True


@breaks("late_disable", "5", "after enable(), import, disable() it is")
class LeavesALatePatch(Good):
    def enable(self):
        self.late = "toyframe" not in sys.modules
        super().enable()

    def disable(self):
        if vars(self).get("late"):
            self.patches.undo = lambda: None
        super().disable()


@breaks("patcher_above", "5", "is not inert")
class RecordsOnBelowOthers(Good):
    """Takes itself out only where nobody is above it."""

    def disable(self):
        fit = getattr(getattr(sys.modules.get("toyframe"), "Model", None), "fit", None)
        if getattr(fit, "__autotrack__", None) is fit:
            super().disable()


@breaks("removed", "5", "was taken away and not put back")
class NeverLooksAgain(Good):
    def install(self, module, patches):
        super().install(module, patches)
        patches.verify = list


# ---- 6: functions that are imported by name --------------------------------------------------------------------------


@breaks("names", "6", "is another object")
class ReplacesTheFunction(Good):
    def install(self, module, patches):
        super().install(module, patches)
        patches.around(module, "tune", self._on_call)


# ---- 7: once, from two threads --------------------------------------------------------------------------------------


@breaks("threads", "7", "is wrapped twice")
class WrapsAgain(Good):
    """Forgets that it is enabled, and makes a new handler each time."""

    def enable(self):
        self._enabled = False
        super().enable()

    def install(self, module, patches):
        patches.around(module.Model, "fit", lambda call: self._on_call(call))
        patches.swap(module.tune, self._on_call)


# ---- 8: what is recorded, and when ----------------------------------------------------------------------------------


@breaks("disable", "8", "is not patched after enable()")
class PatchesNothing(Good):
    def install(self, module, patches):
        pass


@breaks("results", "8", "made no run")
class RecordsNothing(Good):
    def _on_call(self, call):
        return None


@breaks("late_import", "8", "is not patched when imported after enable()")
class MissesALateImport(Good):
    def enable(self):
        if "toyframe" in sys.modules:
            super().enable()


@breaks("light", "8", "enable() imported ['toyframe']")
class ImportsTheFramework(Good):
    def enable(self):
        import toyframe  # noqa: F401

        super().enable()


# ---- 9: nothing global moves, nothing stays alive -------------------------------------------------------------------


@breaks("globals", "9", "printed on stdout: 'training")
class Prints(Good):
    def before(self, call):
        print("training", call.instance)


@breaks("globals", "9", "the state of random moved")
class MovesTheRandomState(Good):
    def after(self, call, outcome):
        random.seed(0)


@breaks("globals", "9", "warnings filters")
class SilencesWarnings(Good):
    def before(self, call):
        warnings.simplefilter("ignore")


@breaks("globals", "9", "log handlers moved")
class AddsALogHandler(Good):
    def install(self, module, patches):
        super().install(module, patches)
        logging.getLogger().addHandler(logging.NullHandler())


@breaks("globals", "9", "os.environ moved")
class SetsAVariable(Good):
    def before(self, call):
        os.environ["TOYFRAME_RECORDED"] = "1"


@breaks("globals", "9", "sys.excepthook moved")
class TakesTheExceptHook(Good):
    def install(self, module, patches):
        super().install(module, patches)
        sys.excepthook = lambda *error: None


@breaks("kept", "9", "a Data of toyframe:Model.fit")
class KeepsTheData(Good):
    def before(self, call):
        vars(self).setdefault("seen", []).append(call.args)


@breaks("kept", "9", "a Model of toyframe:Model.fit")
class KeepsTheModel(Good):
    def after(self, call, outcome):
        self.last = outcome.value


# ---- 10: who owns what ----------------------------------------------------------------------------------------------


@breaks("threads_own", "10", "at the same time in two threads they make")
class KnowsOneThread(Good):
    """Takes for inner what any other thread trains than the first that it met."""

    thread = None

    def _on_call(self, call):
        self.thread = self.thread or threading.get_ident()
        return super()._on_call(call) if self.thread == threading.get_ident() else None


@autotrack.hookimpl
def autotrack_integrations():
    return INTEGRATIONS
