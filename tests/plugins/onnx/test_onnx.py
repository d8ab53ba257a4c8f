"""Models of ONNX: kept as they are, with the signature that their graph has; what is none of them is refused."""

import json
import subprocess
import sys

import numpy
import onnx
import pytest
from autotrack_onnx.formats import OnnxFormat
from onnx import TensorProto, helper, numpy_helper

import autotrack

WEIGHTS = numpy.arange(8, dtype="float32").reshape(4, 2)
X = numpy.ones((3, 4), "float32")


def linear(**more: object) -> "onnx.ModelProto":
    """``x @ WEIGHTS``; more initializers and nodes where they are given."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"]), *more.get("nodes", [])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])],
        [numpy_helper.from_array(WEIGHTS, "w"), *more.get("initializers", [])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def elsewhere(path: str = "/etc/passwd") -> "onnx.TensorProto":
    tensor = TensorProto(name="o", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=path)
    return tensor


@pytest.mark.parametrize("as_file", [False, True], ids=["object", "file"])
def test_there_and_back(tracked, tmp_path, as_file):
    model = linear()
    onnx.save_model(model, tmp_path / "net.onnx")
    with autotrack.start_run() as run:
        run.log_model(str(tmp_path / "net.onnx") if as_file else model)
    autotrack.register_model(run.id, "net", "champion")
    stored = autotrack.get_model("models:/net@champion")
    assert (stored.format, stored.needs(), stored.cls) == ("onnx", [], "onnx.ModelProto")
    assert stored.requires["onnx"] == onnx.__version__
    assert stored.signature == {
        "inputs": {"shape": [None, 4], "dtype": "float32"}, "outputs": {"shape": [None, 2], "dtype": "float32"},
    }  # fmt: skip
    assert stored.check(X) == []
    assert stored.check(X[:, :3]) == ["the data has 3 columns, the model was trained on 4"]
    assert stored.load() == model


def test_several_inputs_have_names(tracked):
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["y"])],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.INT64, [None, 2]) for name in "ab"],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [None, 2])],
    )
    with autotrack.start_run() as run:
        run.log_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))
    stored = autotrack.get_model(run.id)
    about = {"shape": [None, 2], "dtype": "int64"}
    assert stored.signature["inputs"] == {"tensors": {"a": about, "b": about}}
    assert stored.check({"a": numpy.zeros((1, 2), "int64")}) == ["missing of the mapping: 'b'"]


def attribute() -> "onnx.ModelProto":
    return linear(nodes=[helper.make_node("Constant", [], ["c"], value=elsewhere())])


def subgraph() -> "onnx.ModelProto":
    inner = helper.make_graph([], "inner", [], [], [elsewhere("../../x")])
    condition = numpy_helper.from_array(numpy.array(True), "t")
    node = helper.make_node("If", ["t"], [], then_branch=inner, else_branch=inner)
    return linear(nodes=[node], initializers=[condition])


@pytest.mark.parametrize(
    "make",
    [lambda: linear(initializers=[elsewhere()]), attribute, subgraph],
    ids=["initializer", "attribute", "subgraph"],
)
def test_parts_in_other_files_are_not_opened(make):
    data = make().SerializeToString()
    for call in (OnnxFormat().of_file, OnnxFormat().untrusted, lambda data: OnnxFormat().load(data, [])):
        with pytest.raises(autotrack.ModelError, match=r"lie in other files \(.*save_as_external_data=False"):
            call(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"junk" * 100, b"\x08", linear().SerializeToString()[:60]],
    ids=["empty", "junk", "torn", "half"],
)
def test_what_is_no_model_is_refused(data):
    with pytest.raises(autotrack.ModelError, match="no model of ONNX"):
        OnnxFormat().of_file(data)


def test_without_onnx_it_says_what_to_install(monkeypatch):
    data = linear().SerializeToString()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(autotrack.ModelError, match="pip install onnx"):
        OnnxFormat().load(data, [])
    assert not OnnxFormat().can_save(object())


RUN = """
import json, runpy, sys
sys.modules["autotrack"] = None
import numpy, mlflow
X = numpy.ones((3, 4), "float32")
session = runpy.run_path("out/load.py")["load"]("out")
(mine,) = session.run(None, {"x": X})
(theirs,) = mlflow.pyfunc.load_model("out").predict(X).values()
print(json.dumps([mine.tolist(), theirs.tolist()]))
"""


@pytest.mark.slow
def test_the_exported_folder_predicts_where_autotrack_is_not(tracked, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("mlflow")
    with autotrack.start_run() as run:
        run.log_model(linear())
    autotrack.get_model(run.id).export(tmp_path / "out")
    assert "onnxruntime==" in (tmp_path / "out/requirements.txt").read_text()
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [(X @ WEIGHTS).tolist()] * 2
