"""Tables and texts: values, widths, and names that try to be more than names."""

import html
import math
import re
import time
from html.parser import HTMLParser

import pytest
from rich.console import Console

from autotrack import display
from autotrack.backends.base import new_run_id
from autotrack.backends.memory import MemoryBackend
from autotrack.records import Artifact, Begin, End, Facts, Failure, Metrics, Model, Note, Params, Tags
from autotrack.references import find_run
from autotrack.run_list import RunList, list_runs

HOSTILE = [
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b31mred",
    "safe\u202egnp.exe",
    "\u2066isolate\u2069",
    "two\nlines\r\tand a tab",
    "zero\u200bwidth\ufeff",
    "[bold red]markup[/]",
    ":smile:",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;b&gt;",
    "\ud800 lone",
    "\U000e0041 tag",
]
ALLOWED = re.compile(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0041]*")


def hostile_runs(text: str) -> RunList:
    """One run, with the text wherever text can be."""
    store = MemoryBackend()
    writer = store.open_run(new_run_id(time.time()), Begin(name=text, experiment=text, session=text, by=text))
    writer.write(
        [
            Params(t=1, p={text: text, "nested": {text: [text]}}, changed=[text]),
            Metrics(2, "", {text: 0.5}, 0),
            Tags(t=3, g={text: text}),
            Facts(t=4, f={text: {text: text}}),
            Artifact(t=5, path=f"artifacts/{text}", size=1, sha256=text),
            Model(t=6, name=text, format=text, path=text, size=1, sha256=text, cls=text),
            Note(t=7, text=text, level=text),
            Begin(name=text, experiment=text, c="1"),
            End(t=8, status=text, duration=1.0, error=Failure(text, text, text)),
        ]
    )
    writer.close()
    return list_runs(store.source())


def terminal(renderable: object) -> str:
    screen = Console(width=200, force_terminal=True, color_system=None, highlight=False, legacy_windows=False)
    with screen.capture() as capture:
        screen.print(renderable)
    return re.sub(r"\x1b\[[0-9;]*m", "", capture.get())  # rich's own: bold and colours


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_written_out_in_the_terminal(text: str):
    runs = hostile_runs(text)
    for shown in (
        repr(runs),
        repr(runs[0]),
        terminal(display.runs_table(runs, 200)),
        terminal(display.show_text(runs[0], 200)),
    ):
        bad = sorted({char for char in shown if not ALLOWED.fullmatch(char)})
        assert bad == []
    assert "\x1b" not in repr(runs)


class _Seen(HTMLParser):
    """Which tags and attributes a page really has."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_in_a_notebook(text: str):
    runs = hostile_runs(text)
    for page in (runs._repr_html_(), runs[0]._repr_html_()):
        seen = _Seen()
        seen.feed(page)
        assert seen.tags <= {
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "h4",
            "h5",
            "p",
            "div",
            "span",
            "pre",
            "style",
        }
        assert not [name for name, _ in seen.attributes if name.startswith("on")]
        assert display.printable(text, 40) in seen.text


def test_markup_is_shown_as_it_is():
    runs = hostile_runs("[bold]x[/]")
    assert "[bold]x[/]" in repr(runs)
    assert "[bold]x[/]" in terminal(display.show_text(runs[0]))


def test_printable():
    assert display.printable("plain text, ä 漢 😀") == "plain text, ä 漢 😀"
    assert display.printable("a\x1b\n\x9b\u202e\U000e0041") == "a\\x1b\\x0a\\x9b\\u202e\\ue0041"
    assert display.printable("x" * 300) == "x" * 199 + "…"
    assert display.printable("x" * 40, 40) == "x" * 40
    assert len(display.printable("\x00" * 1000, 50)) == 50
    assert display.printable(3.5) == "3.5"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (-3.0, "-3"),
        (0.123456, "0.1235"),
        (1e-9, "1e-09"),
        (999999.0, "999999"),
        (1e6, "1e+06"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (1e308, "1e+308"),
    ],
)
def test_number(value: float, shown: str):
    assert display.number(value) == shown


@pytest.mark.parametrize(
    ("duration", "shown"),
    [
        (None, ""),
        (0.0, "0 ms"),
        (0.0123, "12 ms"),
        (1.0, "1.0 s"),
        (99.94, "99.9 s"),
        (100, "1 min 40 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (90061, "25 h 01 min"),
    ],
)
def test_seconds(duration: float | None, shown: str):
    assert display.seconds(duration) == shown


def test_ago():
    now = time.time()
    assert display.ago(now - 5) == "now"
    assert display.ago(now - 125) == "2 min ago"
    assert display.ago(now - 7300) == "2 h ago"
    assert display.ago(now - 3 * 86400 - 5) == "3 d ago"
    assert display.ago(math.nan) == ""
    assert display.ago(now + 1000) == "now"  # another machine's clock


def test_a_run_with_everything_is_shown():
    store = MemoryBackend()
    run_id = new_run_id(time.time())
    writer = store.open_run(run_id, Begin(name="model-1", experiment="exp", by="sklearn"))
    writer.write(
        [
            Params(t=1, p={"C": 10, "tol": 1e-4}, changed=["C"]),
            *[Metrics(step, "", {"loss": 1.0 / (step + 1)}, step) for step in range(4)],
            Metrics(5, "", {"bad": {"$float": "nan"} if False else "nan"}, 0),
            Tags(t=6, g={"team": "vision"}),
            Facts(t=7, f={"environment": {"python": "3.11"}}),
            Artifact(t=8, path="artifacts/plot.png", size=12345, sha256="0"),
            Model(t=9, name="model", format="skops", path="models/m", size=10, sha256="0", cls="pkg.Model"),
            Note(t=10, text="look here", level="warning"),
            Begin(name="child-1", experiment="exp", c="1"),
            End(t=11, status="failed", duration=2.0, error=Failure("ValueError", "no", "Traceback")),
        ]
    )
    writer.close()
    run = find_run(store.source(), run_id)
    text = terminal(display.show_text(run))
    for part in (
        run_id, "model-1", "failed", "exp", "2.0 s", "ValueError", "no", "* C", "10", "0.0001", "0.25", "last of 4",
        "nan", "vision", "3.11", "plot.png", "12,345 bytes", "skops", "pkg.Model", "look here", "child-1",
    ):  # fmt: skip
        assert part in text, part
    page = html.unescape(run._repr_html_())
    for part in (run_id, "ValueError", "plot.png", "look here", "child-1"):
        assert part in page, part


def test_an_empty_list_in_a_notebook_says_so():
    assert "no runs" in list_runs(MemoryBackend().source())._repr_html_().lower()


def with_params(*params: Params) -> RunList:
    """A run for each; the first is the oldest."""
    store = MemoryBackend()
    for index, record in enumerate(params):
        writer = store.open_run(new_run_id(time.time() + index), Begin(name=f"m{index}", experiment="e"))
        writer.write([record, End(t=8, status="finished", duration=1.0)])
        writer.close()
    return list_runs(store.source())


def test_the_list_shows_the_params_that_differ_with_their_defaults():
    """The run that has the default is one of those that are compared."""
    runs = with_params(
        Params(t=1, p={"C": 0.5, "a": 7, "b": 7, "max_iter": 500}, changed=["C", "a", "b", "max_iter"]),
        Params(t=1, p={"C": 1.0, "a": 7, "b": 7, "max_iter": 500}, changed=["a", "b", "max_iter"]),
        Params(t=1, p={"depth": 3}, changed=[]),
    )
    header, *rows = (line.split() for line in repr(runs).splitlines())
    assert header == ["run", "status", "started", "took", "C", "a", "b"]
    assert [row[5:] for row in rows] == [[], ["1.0", "7", "7"], ["0.5", "7", "7"]]


def test_what_a_model_is_comes_before_its_seed():
    changed = ["a__n_jobs", "a__random_state", "z"]
    runs = with_params(
        *(Params(t=1, p={"a__n_jobs": n, "a__random_state": n, "z": n}, changed=changed) for n in (0, 1))
    )
    assert repr(runs).splitlines()[0].split()[4:] == ["z", "a__n_jobs", "a__random_state"]


def test_scores_come_before_the_number_of_iterations():
    store = MemoryBackend()
    for index, metrics in enumerate(({"n_iter": 5.0, "fit_time": 1.0}, {"n_iter": 7.0, "accuracy_on_X_test": 0.9})):
        writer = store.open_run(new_run_id(time.time() + index), Begin(name=f"m{index}", experiment="e"))
        writer.write([Metrics(1, "", metrics, 0), End(t=8, status="finished", duration=1.0)])
        writer.close()
    header = repr(list_runs(store.source())).splitlines()[0].split()
    assert header == ["run", "status", "started", "took", "accuracy_on_X_test", "n_iter"]


def test_sentences_are_never_cut_to_the_screen():
    """Half a traceback, or half of what to do next, is of no use."""
    store = MemoryBackend()
    run_id = new_run_id(time.time())
    writer = store.open_run(run_id, Begin(name="m", experiment="e"))
    long = {part: f"{part} " + "word " * 100 + f"end of {part}" for part in ("message", "traceback", "note", "param")}
    writer.write(
        [
            Params(t=1, p={"text": long["param"]}),
            Note(t=7, text=long["note"], level="warning"),
            End(t=8, status="failed", duration=1.0, error=Failure("ValueError", long["message"], long["traceback"])),
        ]
    )
    writer.close()
    run = find_run(store.source(), run_id)
    for shown in (display.show_text(run, 80).plain, run._repr_html_()):
        for part in ("message", "traceback", "note"):
            assert f"end of {part}" in shown
        assert "end of param" not in shown


def test_a_run_and_a_list_of_runs_are_one_line_each():
    (run,) = with_params(Params(t=1, p={"C": 1}, changed=["C"]))
    assert repr([run]) == f"[<RunRecord m0 ({run.id}): finished>]"


def test_children_are_counted_in_the_list_and_named_in_part():
    store = MemoryBackend()
    writer = store.open_run(new_run_id(time.time()), Begin(name="loop"))
    writer.write([Begin(name=f"child{number}", c=str(number)) for number in range(1, 1101)])
    writer.close()
    runs = list_runs(store.source())
    assert re.search(r"children\nloop .* 1,100", display.runs_text(runs))
    shown = display.show_text(runs[0]).plain
    assert "child60 " in shown
    assert "child61 " not in shown
    assert "and 1,040 more" in shown
