"""Every error that autotrack raises on purpose.

    AutotrackError
    ├── ConfigError          a setting or an argument is wrong (also a ValueError)
    ├── FilterError          a filter or an order of runs is not understood (also a ValueError)
    ├── StoreError           the store cannot be used as asked
    │   ├── StoreVersionError    written by a newer autotrack
    │   └── RemoteError          a server cannot be reached, or does not do what it should
    │       └── RemoteRefused        it does not accept who we are
    ├── NoActiveRun          something was logged and no run is there to take it
    ├── RunNotFound          a run reference matches nothing (also a LookupError)
    ├── ExperimentNotFound   no run and no description names this experiment (also a LookupError)
    ├── AmbiguousReference   a reference matches more than one run or model (also a LookupError)
    ├── ArtifactPathError    a path that must stay inside a run's folder does not (also a ValueError)
    ├── PatchError           a foreign attribute cannot be wrapped
    └── ModelError           a model cannot be saved or loaded
        ├── ModelNotFound        no registered model, version or alias of that name (also a LookupError)
        └── ModelNotTrusted      loading it would run code that nobody vouched for

Messages say what was wrong and what to do next. Errors of our own making inside a training are
not raised at all: see ``guard.py``.
"""

from __future__ import annotations

__all__ = [
    "AmbiguousReference",
    "ArtifactPathError",
    "AutotrackError",
    "ConfigError",
    "ExperimentNotFound",
    "FilterError",
    "ModelError",
    "ModelNotFound",
    "ModelNotTrusted",
    "NoActiveRun",
    "PatchError",
    "RemoteError",
    "RemoteRefused",
    "RunNotFound",
    "StoreError",
    "StoreVersionError",
]


class AutotrackError(Exception):
    """Base of all errors that autotrack raises on purpose."""


class ConfigError(AutotrackError, ValueError):
    """A setting, argument or environment variable has a value that cannot be used."""


class FilterError(AutotrackError, ValueError):
    """A filter or an order of runs is not understood; the message shows the place."""


class StoreError(AutotrackError):
    """The store cannot be read or written as asked."""


class StoreVersionError(StoreError):
    """The store was written by a newer autotrack than this one can read."""


class RemoteError(StoreError):
    """A server cannot be reached, or does not do what it should. Later it may."""


class RemoteRefused(RemoteError):
    """A server does not accept our credentials, or wants some. Trying again does not help."""


class NoActiveRun(AutotrackError):
    """Something was logged while no run was open and none had been recorded before."""


class RunNotFound(AutotrackError, LookupError):
    """A run reference matches no run of the store."""


class ExperimentNotFound(AutotrackError, LookupError):
    """No run names this experiment, and nothing was said of it."""


class AmbiguousReference(AutotrackError, LookupError):
    """A reference matches several runs or models; the message lists them."""


class ArtifactPathError(AutotrackError, ValueError):
    """A path given for an artifact or a model would leave the run's folder, or cannot be a file name."""


class PatchError(AutotrackError, TypeError):
    """An attribute is of a kind that cannot be wrapped without changing it."""


class ModelError(AutotrackError):
    """A model cannot be saved or loaded."""


class ModelNotFound(ModelError, LookupError):
    """There is no registered model of that name, or it has no such version or alias."""


class ModelNotTrusted(ModelError):
    """Loading the model would run code that neither autotrack nor the caller vouched for.

    Attributes:
        untrusted: The names of the types (or the format) that need the caller's word.
    """

    def __init__(self, message: str, untrusted: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.untrusted = untrusted
