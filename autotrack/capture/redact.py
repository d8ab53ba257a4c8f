"""The one place through which all captured text passes: what looks like a secret is taken out.

Three rules, each erring on the side of taking out too much: shapes of known tokens wherever they stand;
the value after a name that speaks of a secret; and credentials in URLs and headers. User patterns come on
top. Redacting twice changes nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MARK", "Redactor", "redact"]

MARK = "[redacted]"

_TOKENS = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?",  # JSON web tokens
    r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",  # AWS
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})",
    r"\bgl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[\w-]{16,}",
    r"\bxox[abeoprs]-[\w-]{10,}|\bxapp-[\w-]{10,}",  # Slack
    r"https://hooks\.slack\.com/services/[\w/]+",
    r"\b[spr]k[-_](?:live|test|proj|ant|or|svcacct|admin)[-_][\w-]{12,}|\bsk-[A-Za-z0-9_-]{20,}",  # Stripe, OpenAI
    r"\bhf_[A-Za-z0-9]{20,}|\bapi_org_[A-Za-z0-9]{20,}",
    r"\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}|\bGOCSPX-[\w-]{20,}",  # Google
    r"\b(?:npm_|pypi-|dckr_pat_|dop_v1_|shpat_|SG\.|r8_|nvapi-|gsk_|lin_api_|wandb_v1_|pul-|dp\.pt\.)[\w.-]{20,}",
    r"\bdapi[0-9a-f]{32}\b",  # Databricks
)

_SPEAKING = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?|"
    r"(?:api|access|account|auth|client|encryption|private|secret|service|session|shared|signing|ssh)"
    r"[-_. ]?key(?:[-_]?id)?|"
    r"authorization|cookie|dsn|conn(?:ection)?[-_]?str(?:ing)?|sas|jwt|bearer"
)
# The name may go on with capitals, digits or a word that still names a secret (API_KEY_PROD, token2), not with one
# that counts or describes (max_tokens, tokenizer, password_field).
_NAME = rf"(?i:[\w.-]*?(?:{_SPEAKING}))(?:_?[A-Z0-9]+|_(?:value|text|str|base64|b64|hash|prod|dev|test))*(?![A-Za-z_])"
_AFTER_NAME = re.compile(
    rf"(?P<name>(?<![\w])(?:{_NAME})[\"']?)(?P<sep>\]?\s*(?::=|=>|=(?!=)|:(?!:))\s*|(?<=[\w])\s+(?=[\"'])|\s+(?=\S))"
    r"(?P<value>[bru]{0,2}\"(?:[^\"\\\n]|\\.)*\"|[bru]{0,2}'(?:[^'\\\n]|\\.)*'|(?:(?i:basic|bearer|token|digest)\s+)?[^\s\"',;&)}\]]+)"
)
_OPTION = re.compile(rf"(?P<name>(?<!\S)-{{1,2}}(?:{_NAME}))(?P<sep>[ =])(?P<value>[^\s-]\S*|-\S*[^\s\w-]\S*)")
_USERINFO = re.compile(r"(?i)(?<=://)[^\s/@:\"']*:[^\s/@\"']*(?=@)|(?<=://)[^\s/@:\"']{16,}(?=@)")
_KEY = re.compile(r"(?i)(\bkey[\"']?\s*[=:]\s*)([\"'])([^\"'\s]+)\2")
_HEADER = re.compile(
    r"(?i)(\b(?:proxy-)?authorization\s*[:=]\s*[\"']?(?:\w+\s+)?(?!(?:basic|bearer|token|digest)\b)|\bbearer\s+|\bbasic\s+(?=[\w+/]{12}))([\w+/=.~-]{6,})"
)
_QUERY = re.compile(rf"(?i)([?&;](?:{_SPEAKING}|sig|signature|key|code|x-amz-[\w-]+)=)[^\s&\"'<>]+")
_CODE = re.compile(
    r"(?:None|null|nil|True|False|true|false|\d{1,6}(?:\.\d*)?|\.\.\.|str|int|bytes|float|bool|Any|object|"
    r"[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*[(\[].*|(?:self|os|sys|cls|args|cfg|config|settings|env)\.[\w.]+|[{\[(<$%*].*)"
)


def _entropy(text: str) -> float:
    """Bits per character."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def _random_looking(text: str) -> bool:
    """Whether a string is long and mixed enough to be a key: no word, path or sentence."""
    return len(text) >= 16 and _entropy(text) >= 3.2 and bool(re.fullmatch(r"[\w+/=.~-]+", text))


class Redactor:
    """Redacts by the built-in rules and by the user's own patterns.

    Args:
        patterns: Regular expressions; every match is taken out whole.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._own = [re.compile(pattern) for pattern in patterns]
        self._tokens = re.compile("|".join(_TOKENS))

    def text(self, text: str) -> str:
        """``text`` without its secrets."""
        text = self._tokens.sub(MARK, text)
        text = _USERINFO.sub(MARK, text)
        text = _QUERY.sub(rf"\g<1>{MARK}", text)
        text = _KEY.sub(_key, text)
        text = _HEADER.sub(rf"\g<1>{MARK}", text)
        text = _OPTION.sub(_option, text)
        text = _AFTER_NAME.sub(_value, text)
        for pattern in self._own:
            text = pattern.sub(MARK, text)
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
            secret = bool(re.fullmatch(rf"-{{0,2}}(?:{_NAME})", name))
            result.append(f"{name}={MARK}" if secret and equals and value else self.text(argument))
            secret_next = secret and not equals and argument.startswith("-")
        return result

    def mapping(self, values: Mapping[str, str]) -> dict[str, str]:
        """Environment variables and the like: by their name, else by what they look like."""
        return {
            name: MARK if value and re.fullmatch(_NAME, name) else self.text(value) for name, value in values.items()
        }


def _option(match: re.Match[str]) -> str:
    return match["name"] + match["sep"] + MARK


def _key(match: re.Match[str]) -> str:
    """``key="…"`` says little; its value may say more."""
    return f"{match[1]}{match[2]}{MARK}{match[2]}" if _random_looking(match[3]) else match[0]


def _value(match: re.Match[str]) -> str:
    """The value after a name: literals always; a bare word unless it is code, or prose without an operator."""
    value, separator = match["value"], match["sep"]
    quote = re.match(r"([bru]{0,2})([\"'])", value)
    if MARK[:-1] in value:
        return match[0]
    if quote:
        inner = value[quote.end() : -1]
        return match[0] if not inner else f"{match['name']}{separator}{quote[0]}{MARK}{quote[2]}"
    if not separator.strip():  # "token abc": prose, unless it looks like a key
        return f"{match['name']}{separator}{MARK}" if _random_looking(value) else match[0]
    return match[0] if _CODE.fullmatch(value) else f"{match['name']}{separator}{MARK}"


def redact(text: str) -> str:
    """``text`` by the built-in rules alone."""
    return _default.text(text)


_default = Redactor()
