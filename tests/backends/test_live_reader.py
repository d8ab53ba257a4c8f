"""A second process reads every record while it is written."""

import subprocess
import sys
import textwrap
import time

import autotrack
from autotrack.reader import read_run

STEPS = 3000
WRITER = """
    import time
    import autotrack
    with autotrack.start_run("live") as run:
        print(run.id, flush=True)
        for step in range({steps}):
            run.log_metrics({{"loss": 1.0 / (step + 1)}}, step=step)
            if step % 100 == 99:
                time.sleep(0.02)
                run.log_params({{f"p{{step}}": "x" * 500}})
"""


def test_a_reader_sees_a_growing_prefix_and_in_the_end_all(tmp_path):
    store = tmp_path / ".autotrack"
    script = tmp_path / "writer.py"
    script.write_text(textwrap.dedent(WRITER.format(steps=STEPS)))
    with subprocess.Popen([sys.executable, script], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        run_id = writer.stdout.readline().strip()
        source = autotrack.runs(store=store)._source
        seen = []
        end = time.monotonic() + 300
        while time.monotonic() < end:
            found = read_run(source, run_id)
            assert not found.problems
            steps = [point.step for point in found.history("loss")] if "loss" in found.metrics else []
            assert steps == list(range(len(steps)))  # a prefix: nothing missing, nothing doubled
            assert len(steps) >= (seen[-1] if seen else 0)
            seen.append(len(steps))
            if found.status != "running":
                break
        assert found.status == "finished"
    assert seen[-1] == STEPS
    assert len(set(seen)) > 2  # it was read while it grew
