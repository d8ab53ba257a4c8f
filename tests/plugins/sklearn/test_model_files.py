"""A file that somebody else made is not opened on its own word."""

import importlib
import io
import json
import pickle
import zipfile

import pytest
from autotrack_sklearn.trusted import TRUSTED

import autotrack
from tests.plugins.sklearn.kept import Bomb, model_file, plant

skops_io = importlib.import_module("skops.io")


def test_a_pickle_is_not_opened_without_a_word(tracked, recorded, tmp_path):
    target = tmp_path / "exploded"
    plant(tracked, recorded, pickle.dumps(Bomb(target)), form="pickle")
    for trusted in (None, False, [], ["pickle"], ["builtins.open", "io.open"]):
        with pytest.raises(autotrack.ModelNotTrusted, match="pickle"):
            autotrack.load_model(recorded.id, trusted=trusted)
    assert not target.exists()
    autotrack.load_model(recorded.id, trusted=True).close()
    assert target.exists()  # the bomb was live


def test_a_pickle_that_calls_itself_skops_is_not_opened(tracked, recorded, tmp_path):
    target = tmp_path / "exploded"
    plant(tracked, recorded, pickle.dumps(Bomb(target)), form="skops")
    for trusted in (None, True):
        with pytest.raises(autotrack.ModelError, match="skops"):
            autotrack.load_model(recorded.id, trusted=trusted)
    assert not target.exists()


def test_a_skops_file_that_calls_itself_a_pickle_is_not_opened(tracked, recorded):
    plant(tracked, recorded, model_file(tracked, recorded).read_bytes(), form="pickle")
    with pytest.raises(autotrack.ModelNotTrusted):
        autotrack.load_model(recorded.id)


def test_a_zip_bomb_is_not_unpacked(tracked, recorded):
    """2 GB by its own words, which are the most that it gives; what is in it is not looked at."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("schema.json", bytes(1_000_000))
        file.infolist()[0].file_size = 2_000_000_000
    plant(tracked, recorded, packed.getvalue(), form="skops")
    for trusted in (None, True):
        with pytest.raises(autotrack.ModelError, match=r"would unpack to 2 GB, as a zip bomb does: it is not opened"):
            autotrack.load_model(recorded.id, trusted=trusted)


def test_an_unknown_format_is_named(tracked, recorded):
    plant(tracked, recorded, b"abc", form="video")
    with pytest.raises(autotrack.ModelError, match="'video'"):
        autotrack.load_model(recorded.id)


def test_a_changed_file_is_refused(tracked, recorded):
    path = model_file(tracked, recorded)
    path.write_bytes(path.read_bytes() + b"\0")
    for trusted in (None, True):
        with pytest.raises(autotrack.ModelError, match="sha256"):
            autotrack.load_model(recorded.id, trusted=trusted)


def test_a_file_that_has_gone_is_named(tracked, recorded):
    model_file(tracked, recorded).unlink()
    with pytest.raises(autotrack.ModelError, match="is gone"):
        autotrack.load_model(recorded.id)


def node(module: str, name: str, loader: str, **fields) -> dict:
    return {"__module__": module, "__class__": name, "__loader__": loader, **fields}


def text(value: str) -> dict:
    return node("builtins", "str", "JsonNode", content=json.dumps(value))


def skops_file(tree: dict) -> bytes:
    """A skops file with a tree written by hand."""
    good = io.BytesIO(skops_io.dumps(1))
    with zipfile.ZipFile(good) as archive:
        head = json.loads(archive.read("schema.json"))
    known = {key: head[key] for key in ("protocol", "_skops_version") if key in head}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("schema.json", json.dumps({**tree, **known}))
    return target.getvalue()


def calls(module: str, name: str, *arguments: dict) -> dict:
    """A node that calls anything importable with arguments from the file."""
    content = node("builtins", "tuple", "TupleNode", content=list(arguments))
    return node(module, name, "ConstructorFromReduceNode", content=content)


def test_a_file_of_numpy_testing_functions_is_refused_and_would_have_run_code(tracked, recorded, tmp_path):
    """numpy.testing's runstring is exec by another name: trusting "numpy." would run a shell command."""
    target = tmp_path / "exploded"
    code = f"import os; os.system('touch {target}')"
    empty = node("builtins", "dict", "DictNode", content={}, key_types=node("builtins", "list", "ListNode", content=[]))
    data = skops_file(calls("numpy.testing", "runstring", text(code), empty))
    plant(tracked, recorded, data)
    for trusted in (None, [], ["numpy"], ["numpy.testing"], ["numpy.*"], sorted(TRUSTED)):
        with pytest.raises(autotrack.ModelNotTrusted, match=r"numpy\.testing\.runstring") as raised:
            autotrack.load_model(recorded.id, trusted=trusted)
        assert raised.value.untrusted == ("numpy.testing.runstring",)
    assert not target.exists()
    autotrack.load_model(recorded.id, trusted=["numpy.testing.runstring"])
    assert target.exists()  # the file was live


def test_functions_partials_methods_and_types_in_a_file_are_refused(tracked, recorded):
    function = node("numpy.testing", "runstring", "FunctionNode")
    nothing = node("builtins", "tuple", "TupleNode", content=[])
    none = node("builtins", "str", "JsonNode", content="null")
    files = {
        "numpy.testing.runstring": function,
        "functools.partial": node(
            "functools", "partial", "PartialNode",
            content={"func": function, "args": nothing, "kwds": none, "namespace": none},
        ),
        "numpy.testing.suppress_warnings": node("numpy.testing", "suppress_warnings", "TypeNode"),
        "operator.attrgetter": node("operator", "attrgetter", "OperatorFuncNode", attrs=nothing),
    }  # fmt: skip
    for name, tree in files.items():
        plant(tracked, recorded, skops_file(tree))
        with pytest.raises(autotrack.ModelNotTrusted) as raised:
            autotrack.load_model(recorded.id)
        assert name in raised.value.untrusted


def test_a_method_of_a_trusted_class_is_no_trusted_name(tracked, recorded):
    owner = node("sklearn.utils._bunch", "Bunch", "ObjectNode", content=None)
    tree = node("sklearn.utils._bunch", "Bunch", "MethodNode", content={"func": "pop", "obj": owner})
    plant(tracked, recorded, skops_file(tree))
    with pytest.raises(autotrack.ModelNotTrusted, match=r"Bunch\.pop"):
        autotrack.load_model(recorded.id)
