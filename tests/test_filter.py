"""The filter language: what holds, what order comes out, and that nothing hostile gets further than an error."""

import math
import time

import pytest
from hypothesis import given, strategies as st

import autotrack
from autotrack.errors import FilterError
from autotrack.filter import parse_filter, parse_order
from autotrack.guard import foreign
from autotrack.matching import matches, sort_key
from autotrack.reader import RunRecord

RUN = RunRecord(
    "20261123T100000000-aaaaaaaaaa",
    name="baseline",
    experiment="iris",
    status="finished",
    start=1_795_400_000.0,
    duration=2.5,
    params={"C": 10, "lr": 0.1, "text": "10", "word": "lbfgs", "flag": True, "none": None, "list": [1, 2], "T": "True"},
    metrics={"accuracy": 0.95, "nan": math.nan, "inf": math.inf, "val/loss": 0.3, "val loss": 0.4},
    tags={"team": "vision", "fold": "3", "it's": 'a "b"'},
    user="me",
)

HOLDS = [
    '', 'metrics.accuracy > 0.9', 'METRICS.accuracy >= .95 AND metric.accuracy<=0.95', 'metrics.`val loss` = 0.4',
    'metrics."val loss" < 0.5', 'metrics.val/loss = 3e-1', 'metrics.nan = nan', 'metrics.nan != 5',
    'metrics.inf > 1e300', 'metrics.inf = inf', 'metrics.accuracy != nan', 'metrics.gone is null',
    'metrics.accuracy IS NOT NULL', 'params.C = 10', 'params.C = 10.0', "params.C = '10'", 'params.text = 10',
    "params.text = '10'", 'params.text < 11', "params.C != '10.0'", "parameters.word = 'lbfgs'",
    'param.word == "lbfgs"', 'params.word != 5', "params.word <> 'x'", 'params.flag = true', "params.flag = 'True'",
    'params.T = TRUE', 'params.flag != false', 'params.none is null', "params.none = 'None'",
    "params.list = '[1, 2]'", "params.word LIKE 'lb%'", "params.word like '_bfg_'", "params.word ILIKE 'LB%S'",
    "params.word NOT LIKE 'x%'", "params.C LIKE '1%'", "params.word in ('saga', 'lbfgs')", 'params.C in (1, 10)',
    "params.C not in (1, '11')", "tags.team = 'vision'", 'tags.fold > 2', "tags.`it's` = 'a \"b\"'",
    "tags.`it's` = \"a \"\"b\"\"\"", "status = 'finished'", "attributes.status = 'finished'", "run_name = 'baseline'",
    "attr.experiment_name LIKE 'ir%'", 'duration > 2', "start_time > '2026-01-01'",
    "end_time < '2036-01-01T10:00:00+01:00'", 'start_time >= 1795400000000', "user = 'me'", 'host is null',
    'parent is null', "id LIKE '20261123T%'",
]  # fmt: skip

HOLDS_NOT = [
    'metrics.accuracy > 0.95', 'metrics.nan > 0', 'metrics.nan <= 0', 'metrics.nan = 5', 'metrics.gone > 0',
    'metrics.gone != 0', 'metrics.gone not in (1)', "params.gone NOT LIKE 'x'", 'params.word > 5', 'params.flag = 1',
    "params.C = 'ten'", "params.C = '10.0'", "params.word like 'LB%'", "params.word LIKE 'bfg'",
    'params.flag = false', 'metrics.accuracy > 0.9 and params.C = 11', 'params.none is not null',
    "status in ('failed', 'running')", "params.word LIKE 'lbfgs_'", 'duration < 1',
]  # fmt: skip


@pytest.mark.parametrize("text", HOLDS)
def test_what_holds(text):
    assert all(matches(condition, RUN) for condition in parse_filter(text))


@pytest.mark.parametrize("text", HOLDS_NOT)
def test_what_does_not(text):
    assert not all(matches(condition, RUN) for condition in parse_filter(text))


WRONG = {
    "staus = 'x'": ("did you mean 'status'?", "staus"),
    "metrics.a > 1 or metrics.b > 2": ("OR is not part", "or"),
    "metrics.a > '1'": ("without quotes", "'1'"),
    "status = 5": ("status is text", "5"),
    "metrics.a like 'x'": ("LIKE is for text", "like"),
    "foo.bar = 1": ("no 'foo'", "foo"),
    "metrcs.bar = 1": ("did you mean metrics?", "metrcs"),
    "metrics. > 1": ("stands a name", " "),
    "params.x ; drop table": ("not understood", ";"),
    "params.x = 1 params.y = 2": ("joined by AND", "params"),
    "params.x is 5": ("NULL or NOT NULL", "5"),
    "params.x in ()": ("a value", ")"),
    "params.x in 5": ("parentheses", "5"),
    "params.x not = 5": ("stands one of", "="),
    "params.x > true": ("neither is larger", "true"),
    "params.x = y": ("text in quotes", "y"),
    "start_time > 'soon'": ("a time is written", "'soon'"),
    "'a' = 1": ("what is compared", "'a'"),
}


@pytest.mark.parametrize("text", WRONG)
def test_an_error_shows_the_place(text):
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    why, where = WRONG[text]
    message, line, mark = str(caught.value).splitlines()
    assert why in message
    start = mark.index("^")
    assert line[start : start + len(where)] == where


@pytest.mark.parametrize(
    "text", ["metrics.a >", "metrics.a > 1 and", "params.x in (1", "params.x = 'open", "and", "in"]
)
def test_an_unfinished_one_is_an_error(text):
    with pytest.raises(FilterError):
        parse_filter(text)


def test_what_is_no_text_and_what_is_too_long():
    for wrong in (5, b"x", ["a"]):
        with pytest.raises(FilterError, match="is text such as"):
            parse_filter(wrong)
    with pytest.raises(FilterError, match="at most"):
        parse_filter("metrics.a > 1 and " * 1000)


def test_whole_numbers_that_no_float_can_hold():
    huge = RunRecord("20261123T100000000-bbbbbbbbbb", params={"C": 10**400}, metrics={"nan": math.nan})
    (more,), (equal,), (nan,) = map(parse_filter, ("params.C > 1e300", f"params.C = 1{'0' * 400}", "metrics.nan = nan"))
    assert [matches(one, huge) for one in (more, equal, nan)] == [True, True, True]
    (above,) = parse_filter(f"metrics.nan > {'9' * 500}")
    assert not matches(above, huge)
    assert parse_filter(f"params.C < {'9' * 5000}")[0].value == math.inf
    ranked = sorted([huge, RUN], key=sort_key(parse_order("params.C DESC")))
    assert ranked == [huge, RUN]


PIECES = st.sampled_from([
    "metrics.", "params.", "tags.", "status", "C", "accuracy", "`val loss`", "=", "!=", ">", "<=", "in", "(", ")", ",",
    "'x'", "'lb%'", "10", "0.5", "nan", "true", "and", "or", "not", "is", "null", "like", "ilike", '"', "'", "`", ".",
    ";", "--", "*", "\\", "__class__", "{}", "%s", "é", "\x00",
])  # fmt: skip


@given(st.lists(PIECES, max_size=12).map(" ".join) | st.text(max_size=40))
def test_any_text_is_a_filter_or_an_error_that_shows_the_place(text):
    conditions, error = foreign(parse_filter, text)
    if conditions is None:
        assert isinstance(error, FilterError)
        assert "^" in str(error)
    else:
        assert {matches(condition, RUN) for condition in conditions} <= {True, False}


@given(st.text("ab%_\n", max_size=8), st.text("ab\n", max_size=8))
def test_like_is_that_of_sql(pattern, text):
    def slow(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "%":
            return any(slow(pattern[1:], text[start:]) for start in range(len(text) + 1))
        return bool(text) and pattern[0] in ("_", text[0]) and slow(pattern[1:], text[1:])

    run = RunRecord("x", params={"p": text})
    condition = parse_filter("params.p like 'x'")[0]._replace(value=pattern)
    assert matches(condition, run) == slow(pattern, text)


def test_a_hostile_pattern_takes_no_time():
    run = RunRecord("x", params={"p": "a" * 5_000})
    condition = parse_filter("params.p like '" + "%a" * 2_000 + "%b'")[0]
    started = time.process_time()
    assert not matches(condition, run)
    assert time.process_time() - started < 5


def test_order_puts_numbers_then_text_then_nan_then_none():
    runs = [
        RunRecord(str(number), params={} if value is ... else {"p": value})
        for number, value in enumerate([3, math.nan, "b", ..., 1, "a", None, "2"])
    ]
    for text, expected in (("params.p", "47052136"), ("params.p DESC", "07425136")):
        ordered = sorted(runs, key=sort_key(parse_order(text)))
        assert "".join(run.id for run in ordered) == expected
    with pytest.raises(FilterError, match="ASC, DESC or nothing"):
        parse_order("params.p down")


def test_runs_are_filtered_and_sorted(tracked):
    for number, color in enumerate(["red", "green", "red", "blue"]):
        with autotrack.start_run(f"r{number}") as run:
            run.log_params({"color": color})
            if number:
                run.log_metrics({"loss": [0, 0.5, 0.1, 0.3][number]})
    names = lambda **given: [run.name for run in autotrack.runs(**given)]  # noqa: E731
    assert names(filter="params.color = 'red'") == ["r2", "r0"]
    assert names(order_by="metrics.loss") == ["r2", "r3", "r1", "r0"]
    assert names(order_by="metrics.loss desc", limit=2) == ["r1", "r3"]
    assert names(order_by=["params.color", "metrics.loss"]) == ["r3", "r1", "r2", "r0"]
    assert names(filter="metrics.loss is not null", limit=1) == ["r3"]
    assert len(autotrack.runs("metrics.loss < 0.2", order_by="name").to_pandas()) == 1
