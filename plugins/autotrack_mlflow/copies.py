"""The runs of a server that are the copies of ours: found again by their tags, made once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from autotrack.errors import RemoteError
from autotrack_mlflow import names
from autotrack_mlflow.answers import Done, Experiment, ExperimentId, Found, Run, RunAnswer
from autotrack_mlflow.client import Client, Rejected
from autotrack_mlflow.mapping import OWN

__all__ = [
    "CURSOR", "HEAD", "ID", "JOURNAL", "REMOVED", "RUN", "Copies", "Copy", "Experiments", "find_run", "numbers",
]  # fmt: skip

ID = f"{OWN}id"
RUN = f"{OWN}run"
CURSOR = f"{OWN}cursor."
JOURNAL = f"{OWN}journal."
HEAD = f"{OWN}head"
REMOVED = f"{OWN}removed"
"""Tag of a run that was deleted because ours was: it is not, when it was somebody there."""


class Experiments:
    """The experiments of a server by name; each is asked for once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ids: dict[str, str] = {}

    def find(self, name: str) -> str:
        """The id of an experiment; empty where there is none.

        Raises:
            RemoteError: It was deleted there, or the server cannot be reached.
        """
        if name not in self._ids:
            try:
                found = self._client.get("mlflow/experiments/get-by-name", {"experiment_name": name}, Experiment)
            except Rejected as error:
                if error.status == 404:
                    return ""
                raise
            if found.experiment.lifecycle_stage != "active":
                raise RemoteError(f"experiment {name!r} was deleted on the server; restore it there")
            self._ids[name] = found.experiment.experiment_id
        return self._ids[name]

    def make(self, name: str) -> str:
        """The id of an experiment that is made where there is none."""
        try:
            content = {"name": name}
            made = self._client.post("mlflow/experiments/create", content, ExperimentId, again=False)
        except RemoteError:  # another process was first, or the answer was lost
            found = self.find(name)
            if not found:
                raise
            return found
        self._ids[name] = made.experiment_id
        return made.experiment_id


@dataclass
class Copy:
    """A run of the server.

    Attributes:
        id: Its id there.
        artifacts: Where its artifacts are, as the server says.
        status: Its status.
        deleted: Whether it was deleted, by us or by somebody there.
        by_us: Whether it was by us, the last time.
        cursors: Last line of each writer that it has.
        journals: Bytes of each writer's journal that are kept there.
    """

    id: str
    artifacts: str
    status: str
    deleted: bool = False
    by_us: bool = False
    cursors: dict[str, int] = field(default_factory=dict)
    journals: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> Copy:
        """The copy that an answer speaks of."""
        tags = run.tags()
        return cls(
            run.info.run_id, run.info.artifact_uri, run.info.status, run.info.lifecycle_stage != "active",
            REMOVED in tags, numbers(tags, CURSOR), numbers(tags, JOURNAL),
        )  # fmt: skip


def numbers(tags: dict[str, str], prefix: str) -> dict[str, int]:
    """The numbers of our tags that begin so, by the rest of their names; whatever else stands there is left out."""
    return {
        name.removeprefix(prefix): int(value)
        for name, value in tags.items()
        if name.startswith(prefix) and value.isascii() and value.isdigit() and len(value) < 19
    }


def find_run(client: Client, experiment: str, run_id: str) -> str:
    """The id that a run of ours has in an experiment there; empty where it is not in it."""
    if not re.fullmatch(r"[0-9A-Za-z.-]+", run_id):
        return ""
    query = {"experiment_ids": [experiment], "filter": f"tags.`{ID}` = '{run_id}'", "max_results": 1}
    return next((run.info.run_id for run in client.post("mlflow/runs/search", query, Found).runs), "")


class Copies:
    """Those of one run of ours and its children.

    Two processes may make the same one at the same time: after making one, each looks again, and of several the one
    with the smallest id counts, which both see alike. What its records are is kept with each, so that nothing is
    missing in it, whoever deleted the other.

    Attributes:
        experiment: Id of the experiment that they are in; empty as long as there is none.
    """

    def __init__(self, client: Client, run_id: str, experiments: Experiments, experiment: str) -> None:
        self._client = client
        self._run_id = run_id
        self._experiments = experiments
        self._name = names.experiment_name(experiment)
        self.experiment = experiments.find(self._name)
        self._copies: dict[str, Copy] = {}
        if self.experiment:
            for full, runs in self._search(RUN, run_id, "ALL").items():
                self._copies[full.removeprefix(run_id).removeprefix(".")] = self._one(runs)

    def __iter__(self) -> Iterator[Copy]:
        return (copy for copy in self._copies.values() if not copy.deleted)

    def get(self, child: str) -> Copy | None:
        """The copy of a child run (``""``: of the run itself), where there is one."""
        return self._copies.get(child)

    def make(self, child: str, name: str, start: int) -> Copy:
        """The copy of a child run, made now; ``start`` in Unix milliseconds."""
        if not self.experiment:
            self.experiment = self._experiments.make(self._name)
        full = f"{self._run_id}.{child}" if child else self._run_id
        tags = {ID: full, RUN: self._run_id}
        if child and (parent := self._copies.get(child.rpartition(".")[0]) or self._copies.get("")):
            tags["mlflow.parentRunId"] = parent.id
        content = {
            "experiment_id": self.experiment, "run_name": names.shortened(names.clean(name), 250), "start_time": start,
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }  # fmt: skip
        made = self._client.post("mlflow/runs/create", content, RunAnswer, again=False).run
        runs = self._search(ID, full).get(full) or [made]
        self._copies[child] = self._one(runs)
        return self._copies[child]

    def delete(self, child: str) -> bool:
        """Delete the copy of a child run; of the run itself (``""``) all of them. False where there is none."""
        found = [copy for name, copy in self._copies.items() if child in ("", name) and not copy.deleted]
        for copy in found:
            tag = {"run_id": copy.id, "key": REMOVED, "value": "true"}  # first: a deleted run takes none
            self._client.post("mlflow/runs/set-tag", tag, Done)
            self._change("delete", copy)
            copy.by_us = True
        return bool(found)

    def restore(self, child: str) -> bool:
        """Bring back what ``delete`` deleted; False where that is nothing."""
        found = [copy for name, copy in self._copies.items() if child in ("", name) and copy.by_us]
        for copy in found:
            if copy.deleted:
                self._change("restore", copy)
            with suppress(Rejected):  # another process was first
                self._client.post("mlflow/runs/delete-tag", {"run_id": copy.id, "key": REMOVED}, Done)
            copy.by_us = False
        return bool(found)

    def _change(self, what: str, copy: Copy) -> None:
        """``delete`` or ``restore`` a run, once: where the answer is lost, and it is asked again, it is refused."""
        try:
            self._client.post(f"mlflow/runs/{what}", {"run_id": copy.id}, Done)
        except Rejected:
            run = self._client.get("mlflow/runs/get", {"run_id": copy.id}, RunAnswer).run
            if (run.info.lifecycle_stage == "deleted") != (what == "delete"):
                raise
        copy.deleted = what == "delete"

    def _one(self, runs: list[Run]) -> Copy:
        """Of several copies of one run the one that counts; the others are deleted."""
        active = sorted([run for run in runs if run.info.lifecycle_stage == "active"], key=lambda run: run.info.run_id)
        for other in active[1:]:
            self._client.post("mlflow/runs/delete", {"run_id": other.info.run_id}, Done)
        if active:
            return Copy.of(active[0])
        return min(map(Copy.of, runs), key=lambda copy: (not copy.by_us, copy.id))

    def _search(self, tag: str, value: str, view: str = "ACTIVE_ONLY") -> dict[str, list[Run]]:
        """Runs with a tag, by the id that they are copies of."""
        result: dict[str, list[Run]] = {}
        query = {
            "experiment_ids": [self.experiment], "filter": f"tags.`{tag}` = '{value}'", "max_results": 1000,
            "run_view_type": view,
        }  # fmt: skip
        for found in self._client.pages("mlflow/runs/search", query, Found):
            for run in found.runs:
                tags = run.tags()
                if tags.get(RUN) == self._run_id and tags.get(tag) == value:
                    result.setdefault(tags.get(ID, ""), []).append(run)
        return result
