"""Experiments: a name that runs have in common, and what was said of it. Runs are not written anew for a rename."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from autotrack.backends.base import RunLog, RunSource
from autotrack.errors import ConfigError
from autotrack.matching import Comparison
from autotrack.records import Begin, Change, Record, Tags

__all__ = [
    "Experiment",
    "ExperimentNames",
    "experiment_names",
    "first_name",
    "names_experiments",
    "names_told",
    "told_experiments",
]

_EXPERIMENT = ("attributes", "experiment")
_WANTED = ("=", "in", "like", "ilike")

_LONGEST = 200


@dataclass
class Experiment:
    """An experiment as read from a store.

    Attributes:
        name: Its name.
        names: All names that it has or had, the first one first. Runs that were started under one of them, while no
            other experiment had it, are its runs.
        description: What it is about.
        tags: Tags.
        archived: Whether it and its runs are left out of lists that do not ask for it. A run that is started later
            takes it out of the archive, and the older ones stay there.
        runs: Number of its runs, without those that were removed and without child runs.
        last: Unix time at which the newest of them began; None where it has none.
    """

    name: str
    names: list[str]
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    archived: bool = False
    runs: int = 0
    last: float | None = None
    _source: RunSource | None = field(default=None, repr=False, compare=False)
    _taken: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    _since: list[tuple[float, str]] = field(default_factory=list, repr=False, compare=False)  # it has each name
    _archived_at: float = field(default=-math.inf, repr=False, compare=False)

    def describe(self, description: str) -> None:
        """Say what it is about."""
        self._say(Change(description=str(description)))

    def set_tags(self, tags: Mapping[str, str | None]) -> None:
        """Set tags; None takes one away."""
        self._say(Tags(g={str(key): None if value is None else str(value) for key, value in tags.items()}))

    def rename(self, name: str) -> None:
        """Give it another name. All its runs are found under the new one.

        Its old names go on meaning it, also in scripts, until another experiment is given one of them.

        Raises:
            ConfigError: The name is empty, too long, or another experiment's.
        """
        if not name.strip() or len(name) > _LONGEST:
            raise ConfigError(f"the name of an experiment has 1 to {_LONGEST} characters")
        if name in self._taken and name != self.name:
            raise ConfigError(
                f"{name!r} is the name of another experiment; to join them, move the runs: "
                "run.move(experiment), `autotrack edit RUN --experiment NAME`"
            )
        self._say(Change(name=name))

    def archive(self, archived: bool = True) -> None:
        """Leave it and the runs that it has out of lists; ``archive(False)`` takes that back."""
        self._say(Change(archived=archived))

    def _say(self, record: Change | Tags) -> None:
        assert self._source is not None  # who lists them sets it
        self._source.edit_experiment(self.names[0], [record])
        self._take(record)

    def _take(self, record: Record, time: float = math.inf) -> None:
        if isinstance(record, Tags):
            for key, value in record.g.items():
                if value is None:
                    self.tags.pop(key, None)
                else:
                    self.tags[key] = value
        elif isinstance(record, Change):
            if record.name is not None:
                self.name = record.name
                self._since.append((time, record.name))
                self.names += [record.name] * (record.name not in self.names)
            if record.description is not None:
                self.description = record.description
            if record.archived is not None:
                self.archived, self._archived_at = record.archived, time


def first_name(log: RunLog) -> str | None:
    """The name by which an experiment was first called; None where that cannot be read."""
    return next((entry.record.name for entry in log.entries if isinstance(entry.record, Begin)), None)


def _fold(log: RunLog) -> Experiment | None:
    """None where not even its name can be read."""
    first = first_name(log)
    if first is None:
        return None
    experiment = Experiment(first, [first], _since=[(-math.inf, first)])
    for entry in log.entries:
        experiment._take(entry.record, entry.time)
    return experiment


def told_experiments(source: RunSource) -> list[Experiment]:
    """Experiments of which something was said; most are only named by runs."""
    found = [experiment for log in source.experiments() if (experiment := _fold(log)) is not None]
    for experiment in found:
        experiment._source = source
    return found


class ExperimentNames(NamedTuple):
    """What names of experiments mean today.

    Attributes:
        holders: By name, who was given it: (Unix time, today's name of the experiment), oldest first.
        archived: When those that are archived were.
    """

    holders: dict[str, list[tuple[float, str]]]
    archived: dict[str, float]

    def of(self, name: str, start: float = math.inf) -> str:
        """Today's name of the experiment of a run that was started under this name; by default of one started now."""
        held = self.holders.get(name)
        if held is None:
            return name
        return next((present for since, present in reversed(held) if since <= start), held[0][1])

    def at(self, name: str, start: float) -> str:
        """A name under which a run that was started then belongs to the experiment that has this name today."""
        meant = self.of(name)
        return next((one for one in (name, *self.holders) if self.of(one, start) == meant), name)

    def hides(self, name: str, start: float) -> bool:
        """Whether a run that was started then is in the archive, with the experiment that has this name today."""
        return name in self.archived and not start > self.archived[name]  # an unknown start (NaN): it is

    def today(self, condition: Comparison) -> Comparison:
        """A condition on the names of experiments with those that they have today; any other as it is."""
        if condition[:2] != _EXPERIMENT or condition.operator not in ("=", "!=", "in"):
            return condition
        value = condition.value
        return condition._replace(value=tuple(map(self.of, value)) if condition.operator == "in" else self.of(value))


def names_experiments(condition: Comparison) -> bool:
    """Whether a condition says which experiments are wanted."""
    return condition[:2] == _EXPERIMENT and condition.operator in _WANTED and not condition.negated


def experiment_names(source: RunSource) -> ExperimentNames:
    """The names of a store's experiments."""
    return names_told(told_experiments(source))


def names_told(told: list[Experiment]) -> ExperimentNames:
    """The names of these experiments."""
    holders: dict[str, list[tuple[float, str]]] = {}
    for experiment in told:
        for since, name in experiment._since:
            holders.setdefault(name, []).append((since, experiment.name))
    for held in holders.values():
        held.sort()
    return ExperimentNames(holders, {one.name: one._archived_at for one in told if one.archived})
