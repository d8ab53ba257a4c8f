"""A job that SLURM takes off the machine: Lightning writes a checkpoint, asks for a requeue, and goes on from there."""

import os
from pathlib import Path

import pytest

import autotrack
from tests.plugins.lightning.conftest import PACKAGES

ROOT = Path(__file__).parents[3]

SCRIPT = """
    import importlib, os, signal, sys, warnings
    warnings.simplefilter("ignore")
    pl = importlib.import_module(sys.argv[1])
    environments = importlib.import_module(sys.argv[1] + ".plugins.environments")
    from tests.plugins.lightning.fits import loader, module, trainer
    import autotrack

    def step(self, batch, batch_idx):
        if sys.argv[2] == "taken" and self.global_step in (3, 5):  # first what asks for a requeue, then the end
            os.kill(os.getpid(), signal.SIGUSR1 if self.global_step == 3 else signal.SIGTERM)
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True)
        return loss

    if sys.argv[3] == "logger":
        from autotrack_lightning import AutotrackLogger
        logger = AutotrackLogger()
    else:
        autotrack.enable()
        logger = False
    slurm = environments.SLURMEnvironment(auto_requeue=True, requeue_signal=signal.SIGUSR1)
    trainer(pl, plugins=[slurm], logger=logger, default_root_dir=".").fit(module(pl, training_step=step), loader())
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["enabled", "logger"])
@pytest.mark.parametrize("package", PACKAGES)
def test_a_job_that_is_requeued(package: str, how: str, script, tmp_path: Path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scontrol").write_text('#!/bin/sh\necho "$@" >> asked\n')
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    job = {"SLURM_JOB_ID": "17", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "1", "SLURM_NODEID": "0"}
    job |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_NUM_NODES": "1"}
    job |= {"PYTHONPATH": str(ROOT), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    taken = script(SCRIPT, package, "taken", how, check=False, env=job)
    assert (tmp_path / "asked").read_text() == "requeue 17\n", taken.stderr
    store = tmp_path / ".autotrack"
    (first,) = autotrack.runs(store=store)
    assert first.status == "interrupted"
    assert [point.step for point in first.history("train_loss")] == list(range(6))
    script(SCRIPT, package, "again", how, env=job)
    second, before = autotrack.runs(store=store)
    assert (second.status, before.status) == ("finished", "interrupted")
    steps = [point.step for point in second.history("train_loss")]
    assert steps == list(range(steps[0], steps[-1] + 1))
    assert 0 < steps[0] <= 5
    if how == "enabled":
        assert Path(second.tags["resumed_from"]).name == "hpc_ckpt_1.ckpt"
        assert second.facts["resumed"]["step"] == 3
