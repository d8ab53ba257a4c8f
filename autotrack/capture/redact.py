"""The one place through which all captured text passes: what looks like a secret is taken out.

Three rules, each erring on the side of taking out too much: shapes of known tokens wherever they stand;
the value after a name that speaks of a secret; and credentials in URLs and headers. User patterns come on
top. Redacting twice changes nothing.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["MARK", "Redactor", "redact"]

MARK = "[redacted]"


# Compiling all patterns takes longer than many a training, and most texts need few of them.
_compiled = functools.cache(re.compile)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _has(pieces: Iterable[str], folded: str) -> bool:
    return any(piece in folded for piece in pieces)


_BLOCKS = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)"
    r"|https://hooks\.slack\.com/services/[\w/]+"
)
_LONG = r"[\w.-]{15,}+"  # where a token can be; twenty times faster than looking for each everywhere
_TOKENS = "|".join(
    [
        r"(?<![A-Za-z0-9])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?",  # JSON web tokens
        r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])",  # AWS
        r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})",
        r"(?<![A-Za-z0-9])gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[\w-]{16,}",
        r"(?<![A-Za-z0-9])xox[abeoprs]-[\w-]{10,}|(?<![A-Za-z0-9])xapp-[\w-]{10,}",  # Slack
        r"(?<![A-Za-z0-9])[spr]k[-_](?:live|test|proj|ant|or|svcacct|admin)[-_](?=[\w-]{0,60}\d)[\w-]{12,}",  # Stripe
        r"(?<![A-Za-z0-9])sk-(?=[\w-]{0,60}\d)[\w-]{20,}",
        r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{20,}|(?<![A-Za-z0-9])api_org_[A-Za-z0-9]{20,}",
        r"(?<![A-Za-z0-9])AIza[\w-]{30,}|(?<![A-Za-z0-9])ya29\.[\w-]{20,}|(?<![A-Za-z0-9])GOCSPX-[\w-]{20,}",  # Google
        r"(?<![A-Za-z0-9])(?:npm_|pypi-|dckr_pat_|dop_v1_|shpat_|SG\.|r8_|nvapi-|gsk_|lin_api_|wandb_v1_|pul-|dp\.pt\.)[\w.-]{20,}",
        r"(?<![A-Za-z0-9])dapi[0-9a-f]{32}(?![A-Za-z0-9])",  # Databricks
    ]
)
_TOKEN_STARTS = _words(
    "eyj akia asia abia acca ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ gl xox xapp- k-live k_live k-test k_test k-proj "
    "k_proj k-ant k_ant k-or k_or k-svcacct k_svcacct k-admin k_admin sk- hf_ api_org_ aiza ya29. gocspx- npm_ pypi- "
    "dckr_pat_ dop_v1_ shpat_ sg. r8_ nvapi- gsk_ lin_api_ wandb_v1_ pul- dp.pt. dapi"
)

_STRING = (
    r"""[bruf]{0,2}(?:\"{3}[\s\S]{0,5000}?\"{3}|'{3}[\s\S]{0,5000}?'{3}|\"(?:[^\"\\\n]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+')"""
)
# A name and what leads from it to its value. Names are read whole (possessive), so that the time is linear; whether
# a name speaks of a secret is decided outside.
_NAME = r"""(?x)
    (?P<name>(?<![\w.-])[\w.-]++)(?P<sep>[\"']?\]?(?:
        [ \t]*(?::=|=>|=(?!=))[ \t]*\(\s{0,100}(?=[bruf]{0,2}[\"'])  # a literal in parentheses
      | [ \t]*(?::=|=>|=(?!=))[ \t]*
      | [ \t]*:[ \t]*[A-Za-z_][\w.]{0,40}+(?:\[[\w., |]{0,60}\])?(?:[ ]\|[ ]\w{1,40}+)?[ ]*=(?!=)[ ]*  # token: str =
      | [ \t]*:(?!:)[ \t]*
      | [ \t]{1,100}
    ))"""
_LITERALS = rf"{_STRING}(?:\s{{0,100}}+{_STRING}){{0,50}}+"
_BLOCK = r"[|>][-+]?\d?[ \t]*\n"  # of YAML
_BARE = r"(?:(?i:basic|bearer|token|digest)[ \t]+)?(?:\[redacted\])?+[^\s\"',;&)}\]]{0,256}+"
_REST = r"[^\s\"',;&)}\]]*+"
# Called with a name and a default: os.getenv("API_KEY", "…"), add_argument("--token", default="…").
_CALL = rf"""(?x)
    (?P<open>(?:get|getenv|pop|set|setdefault|setenv|putenv|add_argument|option|Option)\(\s*[\"']-{{0,2}})
    (?P<name>[\w.-]++)(?P<sep>[\"'],\s*(?:[^\n\"'()]{{0,80}}?default\s*=\s*)?)(?P<value>{_STRING})"""
# A list of variables as Kubernetes writes it.
_NAMED = (
    r"(?P<name>\bname[\"']?[ ]*:[ ]*[\"']?(?P<key>[\w.-]{1,100}+)[\"']?,?\s{1,40}"
    r"[-+ ]{0,40}[\"']?value[\"']?[ ]*:[ ]*)(?P<value>[^\s,}]++)"
)
_USERINFO = r"(?<=://)[^\s/@:\"']{0,200}+:[^\s/\"']*(?=@)|(?<=://)[^\s/@:\"']{16,}+(?=@)"
_USER = r"(?P<name>(?<!\S)(?:-u|--user)[ =][\w.@-]{1,100}+:)(?P<value>[^\s\"']++)"
_HEADER = (
    r"(?i)(?P<name>\b(?:(?:proxy-)?authorization|(?:set-)?cookie)[\"']?\s{0,3}[:=]\s{0,3}[bruf]{0,2}[\"']?)"
    r"(?P<value>[^\"'\s][^\"'\n]*+)"
)
_SCHEME = r"(?i)(?P<name>\b(?:bearer|basic)\s{1,3})(?P<value>(?=[\w+/=.~-]{0,200}[\d+/=])[\w+/=.~-]{12,}+)"
_QUERY = r"(?P<name>[?&;](?P<key>[\w.-]{1,80}+)=)(?P<value>[^\s&\"'<>]++)"
_CODE = (
    r"(?s)(?:None|null|nil|True|False|true|false|undefined|required|optional|\d{1,6}(?:\.\d*)?|\.\.\.|str|int|bytes|float|bool|Any|object|string|"
    r"not|lambda|await|yield|if|"
    r"[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)*+[(\[].*|(?:self|os|sys|cls|args|cfg|config|settings|env)\.[\w.]+|[{\[(<$%*`].*|[|&=!<>+*/\\-]{1,3})"
)
_DOTTED = r"[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)*+"
_HINTS = _words("pass pwd secret token cred key auth cookie dsn conn sas jwt bearer sig")  # in every name that speaks
_WORDS = re.compile(r"[A-Z]++(?![a-z])|[A-Z]?[a-z]++|\d++")
_SECRET = _words(
    "pass password passwd passphrase passcode pwd secret token credential credentials authorization cookie dsn sas jwt "
    "bearer apikey accesskey secretkey privatekey authkey authtoken"
)
_SECRET_ENDS = (
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "secretkey",
    "accesskey",
    "authtoken",
    "accesstoken",
    "secret",
)
_KEYS = _words(
    "access account api auth client encryption license master private root secret service session shared signing ssh "
    "storage"
)
_QUALIFIERS = _words("value text str base64 b64 hash prod production dev test staging old new id default")
_QUERY_NAMES = frozenset(["sig", "signature", "key", "code", "auth"])
_WEAK = frozenset(["key", "auth", "sig", "signature", "pat"])  # say little; the value may say more
_COUNTS = _words(
    "limit limits count length len size type name path file dir url uri field header expiry ttl timeout age index "
    "regex pattern policy min max env var format class handler required enabled bytes chars ids per"
)


@functools.lru_cache(maxsize=4096)
def _speaks(name: str) -> bool:
    """Whether a name says that its value is secret: API_KEY, db.password, clientSecret2; not max_tokens, tokenizer."""
    if not _has(_HINTS, name.casefold()):
        return False
    words = [word.lower() for word in _WORDS.findall(name)]
    capitals = name.isupper()
    while words and (words[-1] in _QUALIFIERS or words[-1].isdigit()):
        words.pop()
    if not words:
        return False
    if _ends_secret(words):
        return True
    # TOKEN_GITHUB, API_KEY_OPENAI, but not TOKEN_LIMIT
    return capitals and words[-1] not in _COUNTS and any(_ends_secret(words[:end]) for end in range(1, len(words)))


def _ends_secret(words: list[str]) -> bool:
    last = words[-1]
    if last in _SECRET or last.endswith(_SECRET_ENDS) or (last.endswith("pwd") and len(last) <= 8):
        return True
    before = words[-2] if len(words) > 1 else ""
    return (last == "key" and before in _KEYS) or (last in ("str", "string") and before in ("conn", "connection"))


def _entropy(text: str) -> float:
    """Bits per character."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def _random_looking(text: str) -> bool:
    """Whether a string is long and mixed enough to be a key: no word, name, path or sentence."""
    if len(text) < 16 or not re.fullmatch(r"[\w+/=.~-]+", text) or text.count("/") > 3:
        return False
    start = text[:64]
    return bool(re.search(r"\d", start)) and bool(re.search(r"[A-Za-z]", start)) and _entropy(start) >= 3.2


class Redactor:
    """Redacts by the built-in rules and by the user's own patterns.

    Args:
        patterns: Regular expressions; every match is taken out whole.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._own = [re.compile(pattern) for pattern in patterns]

    def text(self, text: str) -> str:
        """``text`` without its secrets."""
        folded = text.casefold()
        for pieces, take_out in _RULES:
            if _has(pieces, folded):
                text = take_out(text)
        for pattern in self._own:  # never inside a mark, so that a second time nothing changes
            text = MARK.join(pattern.sub(MARK, piece) for piece in text.split(MARK))
        return text

    def argv(self, arguments: Sequence[str]) -> list[str]:
        """A command line; the argument after an option that names a secret is its value, whatever it looks like."""
        result = []
        secret_next = False
        for argument in arguments:
            if secret_next and not re.fullmatch(r"--?[A-Za-z][\w-]*(?:=.*)?", argument):
                result.append(MARK)
                secret_next = False
                continue
            name, equals, value = argument.partition("=")
            secret = _speaks(name)
            result.append(f"{name}={MARK}" if secret and equals and value else self.text(argument))
            secret_next = secret and not equals and argument.startswith("-")
        return result

    def mapping(self, values: Mapping[str, str]) -> dict[str, str]:
        """Environment variables and the like: by their name, else by what they look like."""
        return {name: MARK if value and _speaks(name) else self.text(value) for name, value in values.items()}


def _whole(match: re.Match[str]) -> str:
    return match[0] if match["value"].startswith("{") else match["name"] + MARK


def _query(match: re.Match[str]) -> str:
    secret = _speaks(match["key"]) or match["key"].lower() in _QUERY_NAMES or match["key"].lower().startswith("x-amz-")
    return match["name"] + MARK if secret else match[0]


def _named(match: re.Match[str]) -> str:
    return match["name"] + MARK if _speaks(match["key"]) else match[0]


def _call(match: re.Match[str]) -> str:
    if not _speaks(match["name"]):
        return match[0]
    return match["open"] + match["name"] + match["sep"] + _literal(match["value"])


def _literal(value: str) -> str:
    """A literal with a mark for its content; an empty one as it is."""
    quote = re.match(r"([bruf]{0,2})(\"{3}|'{3}|[\"'])", value)
    assert quote is not None
    inner = value[quote.end() : -len(quote[2])]
    return f"{quote[0]}{MARK}{quote[2]}" if inner else value


def _pairs(text: str) -> str:
    """``text`` without the values after names that speak of a secret."""
    pieces: list[str] = []
    done = at = 0
    while match := _compiled(_NAME).search(text, at):
        found = _value(match, text)
        at = match.end("name") if found is None else found[1]
        if found is not None:
            pieces += text[done : match.end()], found[0]
            done = at
    return "".join(pieces) + text[done:]


def _value(match: re.Match[str], text: str) -> tuple[str, int] | None:
    """What stands for the value of a name, and where the value ends; None where it may stay."""
    name, operator, start = match["name"], match["sep"].strip(" \t\"']"), match.end()
    if not _speaks(name):
        return _weak(name, operator, text, start)
    literals = _compiled(_LITERALS).match(text, start)
    if literals:  # "we pass 'euclidean'" is prose
        return (_literal(literals[0]), literals.end()) if operator or not name.endswith("pass") else None
    block = _compiled(_BLOCK).match(text, start)
    if operator == ":" and block:
        end = _block_end(text, block.end(), match.start() - text.rfind("\n", 0, match.start()) - 1)
        return f"{MARK}\n", end
    bare = _compiled(_BARE).match(text, start)
    assert bare is not None  # it may be empty
    value = bare[0]
    code = MARK not in value and _compiled(_CODE).fullmatch(value)
    if not value or value == MARK or code or (_compiled(_DOTTED).fullmatch(value) and _speaks(value)):
        return None
    option = name.startswith("-") and not value.startswith("-")
    if not operator and not option and not _random_looking(value):  # "token abc" is prose
        return None
    rest = _compiled(_REST).match(text, bare.end())
    return MARK, rest.end() if rest else bare.end()


def _block_end(text: str, at: int, column: int) -> int:
    """Where the lines end that stand further to the right than ``column``."""
    while at < len(text):
        end = text.find("\n", at) + 1 or len(text)
        line = text[at:end]
        if line.strip(" \t+-\r\n") and len(line) - len(line.lstrip(" \t+-")) <= column:
            break
        at = end
    return at


def _weak(name: str, operator: str, text: str, start: int) -> tuple[str, int] | None:
    """``key="…"`` says little; its value may say more."""
    words = _WORDS.findall(name[-20:])
    if not operator or not words or words[-1].lower() not in _WEAK:
        return None
    literals = _compiled(_LITERALS).match(text, start)
    if literals:
        secret = _random_looking(literals[0].strip("bruf").strip("\"'"))
        return (_literal(literals[0]), literals.end()) if secret else None
    bare = _compiled(_BARE).match(text, start)
    return (MARK, bare.end()) if bare and _random_looking(bare[0]) else None


def _rule(
    pieces: Iterable[str], pattern: str, replacement: str | Callable[[re.Match[str]], str]
) -> tuple[frozenset[str], Callable[[str], str]]:
    """What a text must hold, in lower case, for the pattern to match anywhere in it; and how its matches go."""
    return frozenset(pieces), lambda text: _compiled(pattern).sub(replacement, text)


_RULES = (
    _rule(("private key", "hooks.slack.com"), _BLOCKS, MARK),
    _rule(_TOKEN_STARTS, _LONG, lambda match: _compiled(_TOKENS).sub(MARK, match[0])),
    _rule(("://",), _USERINFO, MARK),
    _rule(("authorization", "cookie"), _HEADER, _whole),
    _rule(("bearer", "basic"), _SCHEME, _whole),
    _rule(_HINTS | {"code", "x-amz-"}, _QUERY, _query),
    _rule(_HINTS, _NAMED, _named),
    _rule(_HINTS, _CALL, _call),
    (_HINTS | _WEAK, _pairs),
    _rule(("-u",), _USER, _whole),
)


def redact(text: str) -> str:
    """``text`` by the built-in rules alone."""
    return _default.text(text)


_default = Redactor()
