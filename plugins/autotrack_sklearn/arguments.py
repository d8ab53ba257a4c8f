"""What a caller calls the things that it passes on, read from the text of its call.

The frame's variables are not read: before Python 3.13 that leaves copies of them in the frame, which would keep
arrays alive that the user deletes.
"""

from __future__ import annotations

import ast
import itertools
import linecache
from types import CodeType, FrameType

_MAX_NAME = 40
_MAX_CALL = 2_000  # characters
_MAX_SITES = 5_000
_SAME_ROWS = frozenset({"astype", "drop", "fillna", "reshape"})  # methods whose result is still that data
_OUTWARD = 3  # functions through which a name is followed outward


class _Site:
    """One call in the source: its function's last name, and what its arguments are called ('' where it is unclear)."""

    __slots__ = ("function", "keywords", "method", "positional")

    def __init__(self, call: ast.Call) -> None:
        self.method = isinstance(call.func, ast.Attribute)
        self.function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        self.positional = []
        for argument in call.args:
            if isinstance(argument, ast.Starred):
                break
            self.positional.append(_name(argument))
        self.keywords = {keyword.arg: _name(keyword.value) for keyword in call.keywords if keyword.arg}

    def argument(self, position: int, keyword: str) -> str:
        """The name of an argument that may be given by position or by keyword."""
        if keyword in self.keywords:
            return self.keywords[keyword]
        return self.positional[position] if 0 <= position < len(self.positional) else ""


_sites: dict[tuple[int, int], tuple[CodeType, _Site | None]] = {}  # by id: the hash of a code looks at all of it


def argument_name(frame: FrameType | None, position: int, keyword: str, function: str = "") -> str:
    """What the call that ``frame`` is in calls one of its arguments: ``X_test``, or '' where that is unclear.

    A parameter of the calling function is followed to what its own caller calls it.

    Args:
        frame: The frame of the caller.
        position: Position of the argument, without ``self``.
        keyword: Its name in the signature.
        function: Name of the function that is called, where a caller cannot have renamed it.
    """
    name = ""
    for _ in range(_OUTWARD):
        if frame is None:
            return name
        site = _site(frame)
        if site is None or (function and site.function != function):
            return name
        inner, name = name, site.argument(position, keyword)
        if not name:
            return inner
        code = frame.f_code
        parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if name not in parameters:
            return name
        position, keyword, function = parameters.index(name), name, code.co_name
        frame = frame.f_back
        outer = None if frame is None else _site(frame)
        if outer is not None and outer.method and parameters[0] in ("self", "cls"):
            position -= 1
    return name


def _site(frame: FrameType) -> _Site | None:
    """The call in whose middle the frame is; None where there is no source, or it is no plain call."""
    place = (id(frame.f_code), frame.f_lasti)
    known = _sites.get(place)
    if known is None:
        if len(_sites) >= _MAX_SITES:
            _sites.clear()
        known = _sites[place] = frame.f_code, _parse(_text(frame))
    return known[1]


def _text(frame: FrameType) -> str:
    code = frame.f_code
    place = next(itertools.islice(code.co_positions(), frame.f_lasti // 2, None), (None, None, None, None))
    first, last, start, end = place
    if first is None or last is None or start is None or end is None:
        return ""
    lines = linecache.getlines(code.co_filename, frame.f_globals)[first - 1 : last]
    if len(lines) != last - first + 1:
        return ""
    encoded = [line.encode() for line in lines]  # positions count bytes
    encoded[-1] = encoded[-1][:end]
    encoded[0] = encoded[0][start:]
    return b"".join(encoded).decode("utf-8", "replace")


def _parse(text: str) -> _Site | None:
    # Odd escapes in a text would make the parser warn, as if the user's code had been compiled anew.
    if not text or len(text) > _MAX_CALL or "\\" in text:
        return None
    try:
        call = ast.parse(f"({text})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None
    return _Site(call) if isinstance(call, ast.Call) else None


def _name(node: ast.expr) -> str:
    name = _words(node)
    return name if len(name) <= _MAX_NAME else ""


def _words(node: ast.expr) -> str:
    """``X_test``, ``self.X_test``, ``data["X_test"]``, ``X[test]``, ``scaler.transform(X_test)``: a name each."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute(value=ast.Name(id="self" | "cls")):
            return node.attr
        case ast.Attribute():
            return _joined(_words(node.value), node.attr)
        case ast.Subscript(slice=ast.Constant(value=str() as key)) if key.isidentifier():
            return _joined(_words(node.value), key)
        case ast.Subscript(slice=ast.Name(id=key)):
            return _joined(_words(node.value), key)
        case ast.Call(func=ast.Attribute(value=owner, attr=method)) if not node.args or method in _SAME_ROWS:
            return _words(owner)  # X_test.to_numpy()
        case ast.Call() if node.args:
            return _words(node.args[0])
    return ""


def _joined(left: str, right: str) -> str:
    return f"{left}_{right}" if left else ""
