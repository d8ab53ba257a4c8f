"""The language in which runs are sought: MLflow's search syntax.

``metrics.accuracy > 0.9 and params.C = 10 and tags.team LIKE 'v%' and status = 'finished'``

A filter is parsed into comparisons, which are data; nothing of its text is ever executed.
"""

from __future__ import annotations

import difflib
import math
import re
from datetime import datetime
from typing import Any

from autotrack.errors import FilterError
from autotrack.matching import ATTRIBUTES, Comparison, Order

__all__ = ["parse_filter", "parse_order"]

_ENTITIES = {
    **dict.fromkeys(("metrics", "metric"), "metrics"),
    **dict.fromkeys(("params", "param", "parameters", "parameter"), "params"),
    **dict.fromkeys(("tags", "tag"), "tags"),
    **dict.fromkeys(("attributes", "attribute", "attr", "run"), "attributes"),
}


_ALIASES = {
    "run_id": "id",
    "run_name": "name",
    "experiment_name": "experiment",
    "user_id": "user",
    "created": "start_time",
}
_TIMES = frozenset(["start_time", "end_time"])
_NUMBERS = _TIMES | {"duration"}

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<quoted>`[^`]+`)
    | (?P<word>[^\W\d][\w]*)
    | (?P<operator><=|>=|!=|<>|==|=|<|>)
    | (?P<mark>[(),.])
    | (?P<end>$)
    )""",
    re.VERBOSE,
)
_KEY = re.compile(r"""`(?P<ticks>[^`]+)`|"(?P<quotes>[^"]+)"|(?P<plain>[\w./:@-]*[\w@])""")
_CONSTANTS: dict[str, Any] = {
    "true": True, "false": False, "nan": math.nan, "inf": math.inf, "infinity": math.inf,
}  # fmt: skip
_KEYWORDS = frozenset(["and", "or", "not", "in", "is", "null", "like", "ilike", "asc", "desc"])
_MAX_LENGTH = 10_000
_MAX_DIGITS = 1_000  # of a whole number; Python refuses to read much longer ones


class _Parser:
    def __init__(self, text: str, what: str) -> None:
        self.text = text
        self.what = what
        self.at = 0
        self.start = 0  # of the token that was read last

    def fail(self, why: str, start: int | None = None, end: int | None = None) -> FilterError:
        """An error that shows the place."""
        start = self.start if start is None else start
        end = max(start + 1, self.at if end is None else end)
        left = max(0, start - 60)
        line = re.sub(r"\s", " ", self.text[left : start + 60])
        mark = " " * (start - left) + "^" * min(end - start, 60)
        return FilterError(f"{self.what}: {why}\n  {line}\n  {mark}")

    def next(self) -> tuple[str, str]:
        """Kind and text of the next token."""
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            self.start = self.at + len(self.text[self.at :]) - len(self.text[self.at :].lstrip())
            self.at = self.start + 1
            raise self.fail("this is not understood; text stands in quotes, odd names in `backticks`")
        kind = str(match.lastgroup)
        self.start, self.at = match.start(kind), match.end()
        return kind, match[kind]

    def peek(self) -> str:
        """The next word in lower case, or the next token."""
        before = self.at, self.start
        try:
            kind, token = self.next()
        except FilterError:
            kind, token = "", ""
        self.at, self.start = before
        return token.lower() if kind == "word" else token

    def accept(self, *words: str) -> bool:
        """Read these words, if they come next."""
        before = self.at, self.start
        for word in words:
            if self.peek() != word:
                self.at, self.start = before
                return False
            self.next()
        return True

    # ---- what is compared --------------------------------------------------------------------------------------

    def identifier(self) -> tuple[str, str]:
        """``metrics.loss``, ``status``: (entity, key)."""
        kind, token = self.next()
        first, place = token.lower(), (self.start, self.at)
        if kind != "word" or first in _KEYWORDS:
            raise self.fail("here stands what is compared: metrics.x, params.x, tags.x, or an attribute such as status")
        if self.text[self.at : self.at + 1] != ".":
            return "attributes", self._attribute(first, *place)
        if first not in _ENTITIES:
            near = difflib.get_close_matches(first, _ENTITIES, 1)
            raise self.fail(f"no {token!r}; did you mean {near[0] if near else 'metrics, params, tags or attributes'}?")
        self.at += 1
        match = _KEY.match(self.text, self.at)
        if match is None:
            self.start, self.at = self.at, self.at + 1
            raise self.fail(f"after {token}. stands a name; an odd one in `backticks`")
        self.start, self.at = match.start(), match.end()
        key = str(match[str(match.lastgroup)])
        entity = _ENTITIES[first]
        return entity, self._attribute(key.lower(), self.start, self.at) if entity == "attributes" else key

    def _attribute(self, name: str, start: int, end: int) -> str:
        name = _ALIASES.get(name, name)
        if name not in ATTRIBUTES:
            known = [*ATTRIBUTES, *_ALIASES]
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(ATTRIBUTES)}"
            raise self.fail(f"a run has no attribute {name!r}; {hint} (metrics.{name}, params.{name}?)", start, end)
        return name

    def literal(self, entity: str, key: str) -> Any:
        """A number, a text, true, false, nan or inf, as fits what it is compared with."""
        kind, token = self.next()
        if kind == "number":
            whole = len(token) <= _MAX_DIGITS and not re.search(r"[.eE]", token)
            value: Any = int(token) if whole else float(token)
        elif kind == "text":
            value = token[1:-1].replace(token[0] * 2, token[0])
        elif kind == "word" and token.lower() in _CONSTANTS:
            value = _CONSTANTS[token.lower()]
        else:
            raise self.fail(f"here stands a value: a number, or text in quotes ('{token or 'x'}')")
        numeric = entity == "metrics" or (entity == "attributes" and key in _NUMBERS)
        if entity == "attributes" and key in _TIMES and isinstance(value, str):
            return self._time(value)
        if numeric and (isinstance(value, (str, bool))):
            raise self.fail(f"{key} is a number: it is compared with one, without quotes")
        if entity == "attributes" and not numeric and not isinstance(value, str):
            raise self.fail(f"{key} is text: '{token}'")
        return value

    def _time(self, text: str) -> float:
        try:
            return datetime.fromisoformat(text).timestamp() * 1000
        except (ValueError, OverflowError, OSError):
            raise self.fail("a time is written '2026-11-23' or '2026-11-23T19:30:00+01:00'") from None

    def pattern(self) -> str:
        """What follows LIKE."""
        kind, token = self.next()
        if kind != "text":
            raise self.fail("after LIKE stands a pattern in quotes; % is any text, _ any character")
        return token[1:-1].replace(token[0] * 2, token[0])

    def comparison(self) -> Comparison:
        """One condition."""
        entity, key = self.identifier()
        if self.accept("is"):
            negated = self.accept("not")
            if not self.accept("null"):
                self.next()
                raise self.fail("after IS stands NULL or NOT NULL")
            return Comparison(entity, key, "null", negated=negated)
        negated = self.accept("not")
        if self.accept("in"):
            return Comparison(entity, key, "in", self._list(entity, key), negated)
        for operator in ("like", "ilike"):
            if self.accept(operator):
                if entity == "metrics" or key in _NUMBERS:
                    raise self.fail(f"{key} is a number: LIKE is for text")
                return Comparison(entity, key, operator, self.pattern(), negated)
        kind, operator = self.next()
        if negated or kind != "operator":
            raise self.fail("here stands one of = != < <= > >= IN, LIKE, ILIKE, IS NULL")
        value = self.literal(entity, key)
        operator = {"==": "=", "<>": "!="}.get(operator, operator)
        if isinstance(value, bool) and operator not in ("=", "!="):
            raise self.fail("true and false are equal or not; neither is larger")
        return Comparison(entity, key, operator, value)

    def _list(self, entity: str, key: str) -> tuple[Any, ...]:
        if self.next()[1] != "(":
            raise self.fail("after IN stands a list in parentheses: (1, 2, 3)")
        found = [self.literal(entity, key)]
        while self.peek() == ",":
            self.next()
            found.append(self.literal(entity, key))
        if self.next()[1] != ")":
            raise self.fail("the list of IN is closed by )")
        return tuple(found)


def _parser(text: Any, what: str) -> _Parser:
    if not isinstance(text, str):
        raise FilterError(f'{what} is text such as "metrics.accuracy > 0.9", not {type(text).__name__}')
    if len(text) > _MAX_LENGTH:
        raise FilterError(f"{what} has {len(text)} characters; at most {_MAX_LENGTH} are read")
    return _Parser(text, what)


def parse_filter(text: str) -> tuple[Comparison, ...]:
    """The conditions of a filter; all must hold. An empty text has none.

    Raises:
        FilterError: It is not understood; the message shows the place and what could stand there.
    """
    parser = _parser(text, "filter")
    found: list[Comparison] = []
    if parser.peek() == "":
        parser.next()
        return ()
    while True:
        found.append(parser.comparison())
        kind, token = parser.next()
        if kind == "end":
            return tuple(found)
        if token.lower() == "or":
            raise parser.fail("OR is not part of the language; IN (…) serves for one key, two calls for several")
        if token.lower() != "and":
            raise parser.fail("conditions are joined by AND")


def parse_order(text: str) -> Order:
    """One column to sort by: ``metrics.accuracy DESC``.

    Raises:
        FilterError: It is not understood.
    """
    parser = _parser(text, "order_by")
    entity, key = parser.identifier()
    descending = parser.accept("desc") or (parser.accept("asc") and False)
    if parser.next()[0] != "end":
        raise parser.fail("after the name stands ASC, DESC or nothing; several columns are a list")
    return Order(entity, key, descending)
