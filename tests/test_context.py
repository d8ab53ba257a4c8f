"""Which run takes what is logged: nested, in threads, in asyncio, and where the context knows none."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from autotrack import context


class FakeRun:
    """As much of a run as the context knows."""

    def __init__(self, name=""):
        self.name = name
        self.incomplete = False
        self.ended = False

    def end(self):
        self.ended = True
        context.close_run(self)

    def __repr__(self):
        return self.name


@pytest.fixture(autouse=True)
def clean():
    """Each test in a context of its own; no run of the process is left over, of other files' tests neither."""
    forget_runs()
    yield
    forget_runs()


def forget_runs():
    context.put_back(None)
    context._explicit.clear()
    context._of_main_thread.clear()
    context._last_of_process.clear()
    context._last.set(None)


def in_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(10)


def opened(name):
    run = FakeRun(name)
    context.open_run(run)
    return run


def test_outside_everything_there_is_none():
    assert context.current_run() is None
    assert context.current_scope() is None
    assert context.training_scope() is None


def test_runs_nest():
    outer, inner = opened("outer"), opened("inner")
    assert context.current_run() is inner
    assert context.explicit_runs() == [inner, outer]
    inner.end()
    assert context.current_run() is outer
    outer.end()
    assert context.current_run() is None
    assert context.explicit_runs() == []


def test_runs_may_end_in_any_order():
    outer, inner = opened("outer"), opened("inner")
    outer.end()
    assert context.current_run() is inner
    inner.end()
    assert context.current_run() is None
    assert context.current_scope() is None


def test_a_run_ended_in_another_thread_is_passed_over():
    outer, inner = opened("outer"), opened("inner")
    in_thread(inner.end)
    assert context.current_run() is outer
    assert context.current_scope().run is outer


def test_a_training_takes_what_is_logged_in_it():
    explicit, run = opened("explicit"), FakeRun("training")
    with context.training(run, "tests"):
        assert context.current_run() is run
        assert context.training_scope().run is run
        assert context.training_scope().integration == "tests"
    assert context.current_run() is explicit
    assert context.training_scope() is None


def test_inside_a_training_that_makes_no_run_the_enclosing_run_takes_it():
    explicit = opened("explicit")
    with context.training(None, "tests"):
        assert context.training_scope() is not None
        assert context.current_run() is explicit


def test_a_run_opened_inside_a_training_is_the_one():
    with context.training(FakeRun("training"), "tests"):
        run = opened("explicit")
        assert context.current_run() is run
        assert context.explicit_run() is run
        assert context.training_scope().integration == "tests"
    assert context.training_scope() is None


def test_a_training_ends_also_by_an_exception():
    with pytest.raises(ValueError, match="fit failed"), context.training(FakeRun(), "tests"):
        raise ValueError("fit failed")
    assert context.training_scope() is None


def test_a_training_suspended_and_closed_later_does_not_end_anothers():
    def suspended():
        with context.training(FakeRun("abandoned"), "tests"):
            yield

    steps = suspended()
    next(steps)
    context.put_back(None)  # what patching does after lines of ours were interrupted
    run = FakeRun("next")
    with context.training(run, "tests"):
        steps.close()
        assert context.training_scope().run is run
    assert context.training_scope() is None


def test_a_training_suspended_and_closed_in_another_thread():
    def suspended():
        with context.training(FakeRun("abandoned"), "tests"):
            yield

    steps = suspended()
    next(steps)
    in_thread(steps.close)
    assert context.training_scope().run.name == "abandoned"  # this thread's scope is this thread's to put back


def test_threads_do_not_see_each_others_trainings():
    barrier = threading.Barrier(4)

    def work(name):
        run = FakeRun(name)
        with context.training(run, "tests"):
            barrier.wait(10)
            return context.current_run() is run

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, "abcd"))


def test_a_thread_falls_back_to_the_only_explicit_run():
    run = opened("only")
    assert in_thread(context.current_run) is run
    assert in_thread(context.explicit_run) is run


def test_of_several_it_is_the_innermost():
    opened("first")
    second = opened("second")
    assert in_thread(context.current_run) is second
    assert in_thread(context.explicit_run) is second
    second.end()
    assert in_thread(context.current_run).name == "first"


def test_a_training_in_a_thread_does_not_leak_into_the_fallback():
    with context.training(FakeRun("training"), "tests"):
        assert in_thread(context.current_run) is None
        assert in_thread(context.training_scope) is None


def test_a_scope_is_carried_into_a_thread():
    run = FakeRun("training")

    def work(scope):
        with context.in_scope(scope):
            inside = context.current_run()
        return inside, context.current_run()

    with context.training(run, "tests"):
        scope = context.current_scope()
        assert in_thread(lambda: work(scope)) == (run, None)


def test_asyncio_tasks_have_their_own():
    async def work(name):
        run = FakeRun(name)
        with context.training(run, "tests"):
            await asyncio.sleep(0)
            return context.current_run() is run

    async def main():
        return await asyncio.gather(*(work(name) for name in "abc"))

    assert asyncio.run(main()) == [True] * 3


def test_a_run_opened_by_a_task_is_not_its_siblings():
    async def opens(ready):
        opened("by a task")
        ready.set()
        await asyncio.sleep(0.01)

    async def main():
        ready = asyncio.Event()
        with context.training(FakeRun("outer"), "tests"):
            task = asyncio.create_task(opens(ready))
            await ready.wait()
            name = context.current_run().name
            await task
        return name

    assert asyncio.run(main()) == "outer"


def test_tasks_that_each_open_a_run_are_no_parents_of_each_other():
    async def opens(name):
        outer = context.explicit_run()
        run = opened(name)
        await asyncio.sleep(0.01)
        seen = context.explicit_run()
        run.end()
        return outer, seen is run

    async def main():
        return await asyncio.gather(*(opens(name) for name in "abc"))

    assert asyncio.run(main()) == [(None, True)] * 3


def test_a_run_that_a_task_left_open_is_the_fallback_when_the_task_is_over():
    """Each cell of a notebook is a task of its own."""

    async def cell():
        return opened("first cell") if context.explicit_run() is None else context.explicit_run().name

    async def kernel():
        await asyncio.create_task(cell())
        return await asyncio.create_task(cell())

    assert asyncio.run(kernel()) == "first cell"
    assert context.explicit_run().name == "first cell"


def test_the_last_run_is_this_contexts_before_the_processs():
    mine, other = FakeRun("mine"), FakeRun("other")
    context.finished_run(mine)
    in_thread(lambda: context.finished_run(other))
    assert context.last_run() is mine
    assert contextvars.Context().run(context.last_run) is other


def test_a_run_opened_in_another_thread_is_that_threads_alone():
    ready, done = threading.Event(), threading.Event()

    def work():
        opened("the thread's")
        ready.set()
        done.wait(10)
        return context.current_run().name

    with ThreadPoolExecutor(1) as pool:
        name = pool.submit(work)
        ready.wait(10)
        assert context.current_run() is None
        assert in_thread(context.current_run) is None
        done.set()
        assert name.result(10) == "the thread's"


def test_the_run_here_is_never_another_threads():
    run = FakeRun("mine")
    assert context.run_here() is None
    context.open_run(run)
    assert context.run_here() is run
    assert context.current_run() is run
    assert in_thread(context.run_here) is None
    run.end()
    context.finished_run(run)
    assert context.run_here() is run  # the last one
    assert in_thread(context.last_run) is run
    assert in_thread(context.run_here) is None


def test_the_run_here_is_the_open_one_before_the_last_one():
    first, second = FakeRun("first"), FakeRun("second")
    context.finished_run(first)
    context.open_run(second)
    assert context.run_here() is second
    second.end()
    assert context.run_here() is first
