"""What is known of scikit-learn before it is imported. The rest is imported with it: ``enable()`` stays quick."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import autotrack

if TYPE_CHECKING:
    from autotrack_sklearn.recorder import Recorder


class SklearnIntegration(autotrack.Integration):
    """Records trainings of scikit-learn estimators."""

    name = "sklearn"
    modules = ("sklearn.base", "sklearn.metrics", "sklearn.utils.parallel", "sklearn.model_selection._validation")
    minimum = ("sklearn", "1.5")

    _recorder: Recorder | None = None

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Have the recorder patch what has been imported."""
        if self._recorder is None:
            from autotrack_sklearn.recorder import Recorder  # noqa: PLC0415

            self._recorder = Recorder(self.name, patches)
        self._recorder.install(module, patches)

    def close(self) -> None:
        """End and save what is still open."""
        if self._recorder is not None:
            self._recorder.close()
