"""Random filters find what a slow evaluator finds that was written from the table in docs/filter.md."""

import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

import autotrack
from autotrack.records import Begin, Metrics, Params, Tags, number_to_json
from autotrack.values import to_json
from tests.backends.test_index import Files, store_in

KEYS = ["C", "val/é loss"]
NUMBERS = [0, 10, -3, 0.5, 10.0, 1e300, math.nan, math.inf, -math.inf]
TEXTS = ["10", "10.0", " 10", "1e1", "nan", "True", "false", "abc", "ABC", "", "it's", 'a "b"', "a%c", "a\nc", "None"]
PATTERNS = ["%", "a%", "%c", "a_c", "A%", "1%", "_0%", "", "%'%", "abc", "tr%", "%o%"]
OPERATORS = ["=", "!=", "<", "<=", ">", ">="]


PARAMS = [*NUMBERS, *TEXTS, True, False, None, [1, 2], 2**70]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A store, and what each of its runs has, by entity: each value stands somewhere, beside others by chance."""
    folder = tmp_path_factory.mktemp("filtered") / "store"
    files = Files(store_in(folder))
    chance = random.Random(8)
    runs = {}
    for index in range(2 * len(PARAMS)):
        run = {
            "params": {KEYS[0]: PARAMS[index % len(PARAMS)], KEYS[1]: chance.choice(PARAMS)},
            "metrics": {KEYS[0]: NUMBERS[index % len(NUMBERS)], KEYS[1]: chance.choice(NUMBERS)},
            "tags": {KEYS[0]: TEXTS[index % len(TEXTS)], KEYS[1]: chance.choice(TEXTS)},
            "attributes": {"name": chance.choice(["first", "it's", "10"])},
        }
        for entity in ("params", "metrics", "tags"):
            if chance.random() < 0.2:
                del run[entity][chance.choice(KEYS)]
        runs[write(files, run)] = run
    return folder, runs


@st.composite
def conditions(draw) -> tuple[str, str, str, Any]:
    """(entity, key, operator, what it is compared with)."""
    entity = draw(st.sampled_from(["params", "metrics", "tags", "attributes"]))
    key = "name" if entity == "attributes" else draw(st.sampled_from(KEYS))
    numbers, texts = st.sampled_from([*NUMBERS, 3]), st.sampled_from(TEXTS)
    value = numbers if entity == "metrics" else texts if entity == "attributes" else numbers | texts
    operators = [*OPERATORS, "in", "not in", "is null", "is not null"]
    operator = draw(st.sampled_from(operators + (["like", "ilike", "not like"] if entity != "metrics" else [])))
    if operator.endswith("in"):
        return entity, key, operator, draw(st.lists(value, min_size=1, max_size=3))
    if operator.endswith("like"):
        return entity, key, operator, draw(st.sampled_from(PATTERNS))
    if operator in ("=", "!=") and entity in ("params", "tags"):
        value = value | st.booleans()
    return entity, key, operator, draw(value)


# ---- as text --------------------------------------------------------------------------------------------------------


def literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def written(condition: tuple[str, str, str, Any]) -> str | None:
    """As a person would write it; None where the language has no word for it."""
    entity, key, operator, value = condition
    if any(number == -math.inf for number in (value if isinstance(value, list) else [value]) if number != "None"):
        return None
    name = f"{entity}.{key}" if re.fullmatch(r"\w+", key) else f"{entity}.`{key}`"
    if operator.endswith("null"):
        return f"{name} {operator}"
    if operator.endswith("in"):
        return f"{name} {operator.upper()} ({', '.join(map(literal, value))})"
    return f"{name}  {operator} {literal(value)}"


# ---- what holds -----------------------------------------------------------------------------------------------------

MISSING = object()


def number(value: Any) -> float | int | None:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def equal(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool):
        return str(value).lower() == str(wanted).lower()
    if isinstance(wanted, str):
        return str(value) == wanted
    known = number(value)
    return known is not None and (known == wanted or (math.isnan(known) and math.isnan(wanted)))


def smaller(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str):
        return str(value) < wanted
    known = number(value)
    return known is not None and known < wanted


def larger(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str):
        return str(value) > wanted
    known = number(value)
    return known is not None and known > wanted


def like(text: str, pattern: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(like(text[start:], pattern[1:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and like(text[1:], pattern[1:])


def holds(run: dict[str, Any], condition: tuple[str, str, str, Any]) -> bool:
    entity, key, operator, wanted = condition
    value = run[entity].get(key, MISSING)
    nothing = value is MISSING or value is None
    if operator.startswith("is"):
        return nothing == (operator == "is null")
    if value is MISSING:
        return False
    if operator in ("in", "not in"):
        return any(equal(value, one) for one in wanted) == (operator == "in")
    if operator == "ilike":
        return like(str(value).lower(), wanted.lower())
    if operator.endswith("like"):
        return like(str(value), wanted) == (operator == "like")
    bare = not (isinstance(wanted, float) and math.isnan(wanted))
    return {
        "=": lambda: equal(value, wanted),
        "!=": lambda: not equal(value, wanted),
        "<": lambda: smaller(value, wanted),
        ">": lambda: larger(value, wanted),
        "<=": lambda: smaller(value, wanted) or (bare and equal(value, wanted)),
        ">=": lambda: larger(value, wanted) or (bare and equal(value, wanted)),
    }[operator]()


def write(files: Files, run: dict[str, Any]) -> str:
    metrics = {key: number_to_json(value) for key, value in run["metrics"].items()}
    params = {key: to_json(value) for key, value in run["params"].items()}
    folder = files.run()
    records = [Begin(name=run["attributes"]["name"]), Params(p=params), Metrics(0, "", metrics, 0), Tags(g=run["tags"])]
    files.writer(folder, records)
    return folder.name


@settings(deadline=None, max_examples=300)
@given(asked=st.lists(conditions(), min_size=1, max_size=3))
def test_a_filter_finds_what_the_table_says(told: tuple[Path, dict[str, dict[str, Any]]], asked):
    folder, runs = told
    known = [condition for condition in asked if written(condition)]
    text = "  AND ".join(str(written(condition)) for condition in known)
    found = {run.id for run in autotrack.runs(text, store=folder)}
    assert found == {run_id for run_id, run in runs.items() if all(holds(run, one) for one in known)}, text
