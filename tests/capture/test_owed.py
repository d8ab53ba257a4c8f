"""Code that is owed to runs is given once, also where the exit and a round of housekeeping meet."""

import time
from concurrent.futures import ThreadPoolExecutor

from autotrack.facts import ProcessFacts


class SlowList(list):
    """Lets another thread in between a look at the length and what follows."""

    def __len__(self):
        length = super().__len__()
        time.sleep(0.05)
        return length


def test_two_threads_that_pay_at_once_give_each_run_its_code_once(monkeypatch):
    facts = ProcessFacts()
    given = []
    monkeypatch.setattr(facts, "_give_code", given.append)
    facts._owed = SlowList(["run"])
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(facts._pay) for _ in range(2)]:
            done.result(10)
    assert given == ["run"]
