"""Nothing secret is kept: canaries of every kind, alone and through a whole store; ordinary code stays as it is."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings, strategies as st

import autotrack
from autotrack.capture import redact as rules
from autotrack.capture.redact import MARK, Redactor, redact

# Made up, and put together here so that no scanner of repositories takes them for real ones.
BODY = "q8Zr2LmX5vKc7Tn3Wd9JhB4sYp6Gf1Ea0QuR"
TOKENS = {
    "aws": "AK" + "IAQ8ZR2LMX5VKC7TN3",
    "github": "gh" + f"p_{BODY}",
    "github fine": "github" + f"_pat_{BODY}",
    "gitlab": "gl" + "pat-q8Zr2LmX5vKc7Tn3Wd9J",
    "slack": "xox" + "b-123456789012-q8Zr2LmX5vKc",
    "slack app": "xapp" + "-1-A012345-q8Zr2LmX5vKc",
    "stripe": "sk" + f"_live_{BODY}",
    "openai": "sk" + f"-proj-{BODY}",
    "old openai": "sk" + f"-{BODY}",
    "anthropic": "sk" + f"-ant-api03-{BODY}",
    "hugging face": "hf" + f"_{BODY}",
    "google": "AI" + f"za{BODY}",
    "google oauth": "ya29" + f".{BODY}",
    "npm": "npm" + f"_{BODY}",
    "pypi": "pypi" + f"-{BODY}",
    "docker": "dckr" + f"_pat_{BODY}",
    "sendgrid": "SG" + f".{BODY}",
    "nvidia": "nvapi" + f"-{BODY}",
    "databricks": "dapi" + "0123456789abcdef0123456789abcdef",
    "jwt": "eyJ" + f"hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{BODY}",
}
HOOK = "https://hooks.slack.com/" + f"services/T0123/B0123/{BODY[:24]}"
PEM = "-----BEGIN {0}-----\n{1}\n{1}\n-----END {0}-----"

# {} is the secret; what is around it says so.
PLACES = {
    "python": 'password = "{}"',
    "single quotes": "API_KEY='{}'",
    "annotated": 'api_key: str = "{}"',
    "optional": 'api_key: str | None = "{}"',
    "f-string": 'token = f"{}"',
    "bytes": "SECRET_KEY = b'{}'",
    "triple": 'passphrase = """\n{}\n"""',
    "in parentheses": 'password = (\n    "{}"\n)',
    "in pieces": 'password = ("abc"\n    "{}")',
    "keyword argument": 'connect(user="me", password="{}")',
    "dictionary": "{{'client_secret': '{}'}}",
    "item": 'os.environ["WANDB_API_KEY"] = "{}"',
    "default": 'os.getenv("HF_TOKEN", "{}")',
    "option's default": 'parser.add_argument("--db-password", type=str, default="{}")',
    "attribute": 'self.config.auth_token = "{}"',
    "camel case": 'clientSecret: "{}"',
    "number behind": 'token2 = "{}"',
    "word behind": 'API_KEY_PROD = "{}"',
    "who behind": 'API_KEY_OPENAI="{}"',
    "json": '{{"user": "me", "password": "{}", "port": 1}}',
    "yaml": "db:\n  password: {}\n  port: 1",
    "yaml block": "db:\n  password: |\n    {}\n  port: 1",
    "kubernetes": "- name: DB_PASSWORD\n  value: {}\n",
    "dotenv": "DB_PASSWORD={}\nPORT=1",
    "export": "export PGPASSWORD={}",
    "ini": "aws_secret_access_key = {}",
    "diff": '@@ -1 +1 @@\n-x\n+API_KEY = "{}"\n',
    "diff of yaml": "+    api-key: {}\n",
    "option": "train.py --api-key {} --epochs 3",
    "option with =": "train.py --token={} --epochs 3",
    "curl": "curl -u me:{} https://a.invalid/",
    "url": "https://me:{}@a.invalid/x",
    "url without user": "redis://:{}@a.invalid:6379/0",
    "query": "https://a.invalid/x?a=1&api_key={}&b=2",
    "signature": "https://a.invalid/x?sv=2024&sig={}",
    "connection string": "Server=a.invalid;Uid=me;Pwd={};Port=1",
    "storage account": "DefaultEndpointsProtocol=https;AccountName=me;AccountKey={};",
    "database": "postgresql+psycopg2://me:{}@a.invalid:5432/db",
    "header": "Authorization: Bearer {}",
    "header in python": 'headers={{"Authorization": "Basic {}"}}',
    "header of its own": "X-Api-Key: {}",
    "cookie": "Set-Cookie: session={}; Path=/",
}


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize(
    "around", ["{}", "see {}, there", "x = ['{}']", "https://{}@a.invalid/", "a/{}/b", "+{}\n", "train_{}.py"]
)
def test_tokens_are_known_by_their_shape(name: str, around: str):
    text = around.format(TOKENS[name])
    assert TOKENS[name] not in redact(text)
    assert BODY[:12] not in redact(text)
    assert MARK in redact(text)


@pytest.mark.parametrize("secret", ["hunter2horse", BODY, "aaaaaaaa", "Tr0ub4dor+3x=="], ids=str)
@pytest.mark.parametrize("place", PLACES)
def test_values_are_known_by_what_they_are_called(place: str, secret: str):
    text = PLACES[place].format(secret)
    clean = redact(text)
    assert secret not in clean
    assert MARK in clean
    assert redact(clean) == clean
    for word in ("epochs 3", "port: 1", "Port=1", "PORT=1", "b=2"):  # what follows is still there
        assert (word in clean) == (word in text)


@pytest.mark.parametrize("kind", ["PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK",
    "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"])  # fmt: skip
def test_private_keys_are_taken_out_whole(kind: str):
    block = PEM.format(kind, BODY)
    for text in (block, block.replace("\n", "\\n"), block.replace("\n", "\n+"), block.partition("-----END")[0]):
        assert BODY not in redact(f"before\n{text}")
        assert redact(f"before\n{text}").startswith("before\n")
    assert redact(f"{block}\nafter\n").endswith("\nafter\n")


def test_prose_about_a_bearer():
    assert redact(f"sent bearer {BODY} to it") == f"sent bearer {MARK} to it"
    assert redact("the bearer of this") == "the bearer of this"


def test_a_webhook():
    assert BODY[:10] not in redact(f'url = "{HOOK}"')


def test_the_rest_of_a_value_does_not_stay_behind_a_mark():
    for text in (f"password={TOKENS['github']}-and-more", f'password="{MARK}-and-more"'):
        assert "and-more" not in redact(text)


ORDINARY = """\
def train(self, max_tokens=512, tokenizer=None, token: str = "", key=None, password=None):
    token = self.next_token()
    tokens = tokenizer(text)
    first_pass = not hasattr(self, "coef_")
    for key, value in sorted(items.items(), key=lambda item: item[1]):
        password = getpass.getpass()
        api_key = os.environ["API_KEY"]
        client(token=token, password=args.password, api_key=config.api_key)
    secret = os.getenv("SECRET")
    pad_token_id = 0
    pass
    key = "validation_accuracy"
    sort_key="name"
    author: "Jane Doe"
    if token == "the": pass
    random_state=np.random.RandomState(0), n_tokens=3
    return {"key": "value", "tokens_per_second": 12.5, "token_type_ids": ids}
git@github.com:me/repository.git https://github.com/me/repository.git https://a.invalid/?page=2&sort=key
The token is read from the environment; pass a password by --password-file.
python train.py --max-tokens 512 --tokenizer gpt2 --key name --lr 1e-3
PassThrough(passthrough=True) compass="north" bypass=True class="sk-toggleable__label-arrow"
"""


@pytest.mark.parametrize("line", ORDINARY.splitlines())
def test_ordinary_code_and_prose_stay(line: str):
    assert redact(line) == line


def test_sources_of_real_packages_hardly_change():
    """All of autotrack; of scikit-learn one file in four. Below one line in a thousand."""
    import sklearn

    here, there = Path(autotrack.__file__).parent, Path(sklearn.__file__).parent
    files = [*here.rglob("*.py"), *sorted(there.rglob("*.py"))[::4]]
    lines, changed = 0, []
    for file in files:
        before = file.read_text()
        after = redact(before)
        lines += before.count("\n")
        assert before.count("\n") >= after.count("\n") >= before.count("\n") - 5
        changed += [
            (file.name, old) for old, new in zip(before.split("\n"), after.split("\n"), strict=False) if old != new
        ]
    assert lines > 50_000
    assert len(changed) < lines / 1000, changed[:20]


def test_a_line_of_argv():
    argv = [
        "python",
        "train.py",
        "--api-key",
        "hunter2",
        "--password",
        "--verbose",
        "--token=x",
        "-u",
        "me",
        "--lr",
        "1",
    ]
    assert Redactor().argv(argv) == [
        "python", "train.py", "--api-key", MARK, "--password", "--verbose", f"--token={MARK}", "-u", "me", "--lr", "1",
    ]  # fmt: skip


def test_variables_by_name_and_by_look():
    given_values = {"HF_TOKEN": "x", "EMPTY_TOKEN": "", "HOME": "/home/me", "NOTE": TOKENS["aws"], "MAX_TOKENS": "5"}
    assert Redactor().mapping(given_values) == {**given_values, "HF_TOKEN": MARK, "NOTE": MARK}


def test_patterns_of_the_user():
    own = Redactor([r"patient-\d+", r"(?i)project \w+"])
    text = own.text("patient-123 of Project Falcon, patient-x")
    assert text == f"{MARK} of {MARK}, patient-x"
    assert own.text(text) == text
    greedy = Redactor([r"\w+"])
    once = greedy.text("a b")
    assert greedy.text(once) == once


PIECES = st.sampled_from([
    "password", "token", "API_KEY", "key", "Authorization", "Bearer ", "=", ":", ": ", " = ", '"', "'", '"""', "\\",
    "\n", " ", "(", ")", ",", ";", "&", "?", "://", "@", "/", "-", "--", "[", "]", "{", "}", "|", "+", MARK,
    "[redacted", BODY, *TOKENS.values(), "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----", "name", "value", "str", "None",
    "x1", "get(", "-u ", "cookie", "basic ", "\x00", "\udcff", "é",
])  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES | st.text(max_size=3), max_size=14).map("".join))
@example("password: token: x")
def test_twice_is_once(text: str):
    once = redact(text)
    assert redact(once) == once


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES | st.text(max_size=3), max_size=14).map("".join))
@example("Authorization: Ba\u017fic x")  # matches without regard to case, also this s
def test_a_rule_that_is_passed_over_has_no_match(text: str):
    expected = text
    for _, take_out in rules._RULES:
        expected = take_out(expected)
    assert redact(text) == expected


SHAPES = [
    "a.", "a-", "token", "token=", 'token="', "tokenA", "TOKEN_", "password: |\n a\n", "://", "://a:", "://a:b", "-",
    "&key", "a=", '"', "'", "x", "eyJaaaaaaaaaa.", "sk-", "-----BEGIN PRIVATE KEY-----", "Bearer ", "max_tokens=",
    "name: a value: ", "token: str[", "password = (\n", "token='''", 'get("token",', "bearer\t", "authorization:", "\\",
    'token="\\', "token ", MARK, "password:\n\n", "name:a\n", " " * 99 + "value", "get(\n", "-u a", "token='a' ",
    "password=(\n'a'\n", "token={", "token=self.", "key=aA1", "password: |\n", "key='",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_time_is_linear(shape: str):
    """Regular expressions that go astray would hold the interpreter, and with it the training."""
    text = shape * (1_000_000 // len(shape))
    started = time.process_time()
    redact(text)
    assert time.process_time() - started < 10  # a quadratic one takes hours


# ---- a whole store --------------------------------------------------------------------------------------------------

CANARIES = {f"{number}": f"cAn4ry{number:02}xQ7zL{BODY[number : number + 10]}" for number in range(20)}

SCRIPT = """\
import os, sys
import autotrack

API_KEY = "{0}"
DATABASE = "postgresql://me:{1}@a.invalid/db"
headers = {{"Authorization": "Bearer {2}"}}
PATIENT = "patient-{13}"
KEY = '''{pem}'''

class Hidden(Exception):
    pass

with autotrack.start_run():
    pass
try:
    with autotrack.start_run():
        raise ConnectionError("cannot reach https://me:{3}@a.invalid/?token={4}")
except ConnectionError:
    pass
with autotrack.start_run() as run:
    run.child("inner").end(error=ValueError("password={5}"))
    raise Hidden("password={5}, {token}")
"""


def test_canaries_of_every_kind_appear_nowhere_in_a_store(tmp_path: Path):
    """In argv, environment, source, diff, untracked file, remote, exception, traceback and the script's own path."""
    c = list(CANARIES.values())
    folder = tmp_path / f"password={c[6]}"
    folder.mkdir()
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@invalid"]

    def run_git(*arguments: str) -> None:
        subprocess.run([*git, *arguments], cwd=folder, check=True, capture_output=True, timeout=30)

    run_git("init")
    (folder / "config.yaml").write_text("db:\n  port: 1\n")
    run_git("add", ".")
    run_git("commit", "-m", "x")
    run_git("remote", "add", "origin", f"https://me:{c[7]}@git.invalid/me/r.git")
    (folder / "config.yaml").write_text(f"db:\n  password: {c[8]}\n  api_key: |\n    {c[12]}\n")
    (folder / ".env.local").write_text(f"DB_PASSWORD={c[9]}\nexport WANDB_API_KEY='{c[10]}'\n")
    (folder / f"{TOKENS['gitlab']}.txt").write_text("x\n")
    (folder / f"{TOKENS['gitlab']}.bin").write_bytes(b"\0")
    script = folder / f"train_{TOKENS['hugging face']}.py"
    script.write_text(SCRIPT.format(*c, pem=PEM.format("RSA PRIVATE KEY", c[14]), token=TOKENS["github"]))
    environment = {
        **os.environ,
        "SLURM_JOB_NAME": f"train token={c[11]}",
        "VIRTUAL_ENV": f"/home/{TOKENS['openai']}",
        "AUTOTRACK_REDACT": r"patient-\w+",
        "AUTOTRACK_STORE": str(tmp_path / "store"),
        "MY_SECRET": c[15],
    }
    argv = ["--api-key", c[16], f"--token={c[17]}", f"https://{c[18]}:{c[19]}@a.invalid", TOKENS["stripe"]]
    done = subprocess.run(
        [sys.executable, str(script), *argv], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert "Hidden" in done.stderr
    runs = autotrack.runs(store=tmp_path / "store")
    assert [run.status for run in runs] == ["failed", "failed", "finished"]
    kept = {}
    for path in (tmp_path / "store").rglob("*"):
        kept[str(path.relative_to(tmp_path))] = path.read_bytes().decode(errors="replace") if path.is_file() else ""
    secrets = [*c, *(TOKENS[name] for name in ("gitlab", "hugging face", "openai", "stripe", "github"))]
    leaked = [(secret, name) for secret in secrets for name, text in kept.items() if secret in text or secret in name]
    assert not leaked
    # And not because nothing was captured.
    (source,) = [text for name, text in kept.items() if re.search(r"code/train_.*\.py$", name)][:1]
    assert 'API_KEY = "[redacted]"' in source
    assert any(name.endswith("changes.patch") and "port" in text for name, text in kept.items())
    failed = runs[1]
    assert "cannot reach https://" in failed.error.message
    assert MARK in failed.error.message
    assert MARK in failed.error.traceback
    assert MARK in " ".join(failed.facts["environment"]["command"])
    assert failed.facts["git"]["remote"] == f"https://{MARK}@git.invalid/me/r.git"
