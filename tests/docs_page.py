"""Run the code of one page of the documentation, as a reader would: ``python docs_page.py PAGE``, in an empty folder.

Blocks run in order. A ``python`` block that begins with ``# name.py`` becomes that file; any other runs here,
all in one namespace. Of a ``bash`` block the lines that call autotrack or a script are run, the others (pip, make) are
not. An expression that stands alone with a comment says what it is worth: ``run.params["C"]  # 0.5``; ``…`` stands
for anything, and a comment that begins with a word is only a comment.
"""

import ast
import io
import itertools
import os
import re
import shlex
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Any, NamedTuple

FENCE = re.compile(r"^```(python|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLAIM = re.compile(r"(?:[\d'\"(\[{<-]|(?:True|False|None)\b|[A-Z]\w+\().*")
SETS = re.compile(r"[A-Z_]+=.*")
COMMANDS = {"autotrack": [sys.executable, "-m", "autotrack"], "python": [sys.executable]}


class Block(NamedTuple):
    """Code of a page; ``line`` is that of its first line in the page."""

    kind: str
    line: int
    code: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [Block(match[1], text.count("\n", 0, match.start(2)) + 1, match[2]) for match in FENCE.finditer(text)]


def claims(block: Block) -> dict[int, str]:
    """What the comments of a block claim, by the line that they stand in."""
    tokens = tokenize.generate_tokens(io.StringIO(block.code).readline)
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    return {line: text for line, text in comments.items() if CLAIM.fullmatch(text)}


def check(value: Any, claim: str) -> None:
    pattern = ".*".join(re.escape(part) for part in claim.split("…"))
    assert re.fullmatch(pattern, repr(value), re.DOTALL), f"the page says {claim}, and it is {value!r}"


def run_python(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    """Run a block; lines of tracebacks are those of the page."""
    tree = ast.parse(block.code)
    ast.increment_lineno(tree, block.line - 1)
    claimed = {line + block.line - 1: text for line, text in claims(block).items()}
    for node in tree.body:
        claim = claimed.pop(node.end_lineno or 0, None) if isinstance(node, ast.Expr) else None
        if claim is None:
            exec(compile(ast.Module([node], []), page, "exec"), namespace)
        else:
            assert isinstance(node, ast.Expr)
            check(eval(compile(ast.Expression(node.value), page, "eval"), namespace), claim)


def run_bash(block: Block) -> None:
    for line in block.code.splitlines():
        words = shlex.split(line, comments=True)
        environment = dict(word.split("=", 1) for word in itertools.takewhile(SETS.fullmatch, words))
        program, *arguments = [*words[len(environment) :], ""]
        if program in COMMANDS:
            done = subprocess.run(
                [*COMMANDS[program], *filter(None, arguments)],
                env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
            )  # fmt: skip
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def main() -> None:
    page = Path(sys.argv[1])
    namespace = vars(sys.modules["__main__"])
    for block in blocks(page):
        name = re.match(r"# (\w+\.py)\n", block.code)
        if block.kind == "bash":
            run_bash(block)
        elif name:
            Path(name[1]).write_text(block.code)
        else:
            run_python(block, page, namespace)


if __name__ == "__main__":
    main()
