"""Changing a run that was read: by records of a writer of their own, whether the run goes on or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autotrack.errors import ConfigError
from autotrack.experiment import experiment_names
from autotrack.records import Change, Note, Record, Removed, Tags

if TYPE_CHECKING:
    from autotrack.backends.base import RunSource

__all__ = ["Editable"]


class Editable:
    """What can be said of a run later. The object shows it at once; others when they read the run again."""

    id: str
    name: str
    experiment: str
    start: float
    tags: dict[str, str]
    notes: list[tuple[str, str]]
    removed: bool
    _source: RunSource | None

    def set_tags(self, tags: Mapping[str, str | None]) -> None:
        """Set tags; None takes one away.

        Raises:
            StoreError: The store cannot be written.
        """
        said = {str(key): None if value is None else str(value) for key, value in tags.items()}
        self._edit(Tags(g=said))
        self.tags = {key: value for key, value in {**self.tags, **said}.items() if value is not None}

    def note(self, text: str) -> None:
        """Add a note.

        Raises:
            StoreError: The store cannot be written.
        """
        known = self.notes  # they are read now if they were not yet
        self._edit(Note(text=str(text)))
        self.notes = [*known, ("info", str(text))]

    def rename(self, name: str) -> None:
        """Give the run another name.

        Raises:
            ConfigError: It is empty, or begins with ``@`` as references do that are no names.
            StoreError: The store cannot be written.
        """
        if not name.strip():
            raise ConfigError("a run's name has at least one character")
        if name.startswith("@"):
            raise ConfigError(f"{name!r} cannot be a run's name: what begins with @ is a reference, such as @last")
        self._edit(Change(name=name))
        self.name = name

    def move(self, experiment: str) -> None:
        """Move the run, with its children, to another experiment, which is made if need be.

        Raises:
            ConfigError: The name is empty, or the run is a child, which is where its parent is.
            StoreError: The store cannot be written.
        """
        if not experiment.strip():
            raise ConfigError("an experiment's name has at least one character")
        if "." in self.id:
            raise ConfigError(f"{self.id} is a child run and is where its parent is; move that one")
        assert self._source is not None
        names = experiment_names(self._source)
        self._edit(Change(experiment=names.at(experiment, self.start)))
        self.experiment = names.of(experiment)

    def remove(self) -> None:
        """Remove the run, with its children. ``autotrack.restore_run(id)`` brings it back until it is cleared away.

        Raises:
            StoreError: It goes on, or the store cannot be written.
        """
        if "." in self.id:
            self._edit(Removed())
        else:
            assert self._source is not None
            self._source.remove(self.id)
        self.removed = True

    def _edit(self, record: Record) -> None:
        assert self._source is not None  # read_run sets it
        run_id, _, record.c = self.id.partition(".")
        self._source.edit(run_id, [record])
