"""Models of loops: last and best, saved as safetensors, loaded as modules where they can be built."""

import gc
import logging

import pytest
import torch
from autotrack_torch.formats import SafetensorsFormat
from autotrack_torch.snapshot import snapshot_of
from torch import nn

import autotrack
from autotrack.backends.housekeeping import housekeeper
from tests.plugins.torch.loops import Net, steps, textbook


def finished() -> autotrack.RunRecord:
    autotrack.disable()
    assert housekeeper.wait_idle(60)
    (run,) = autotrack.runs()
    return run


def there_and_back(module: nn.Module, *trusted: str):
    form = SafetensorsFormat()
    assert form.can_save(module)
    saved = form.save(module)
    assert set(form.untrusted(saved.data)) <= set(trusted)
    return form.load(saved.data, list(trusted))


def same_state(one, other) -> bool:
    one, other = (thing if isinstance(thing, dict) else thing.state_dict() for thing in (one, other))
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_last_and_best(tracked):
    seen = textbook(8)
    run = finished()
    name = f"{Net.__module__}.Net"
    assert set(run.models) == {"model", "model-best"}
    assert run.models["model"].cls == name
    assert run.models["model"].format == "safetensors"
    assert run.models["model"].requires["torch"] == torch.__version__
    with pytest.raises(autotrack.ModelNotTrusted, match="Net"):
        autotrack.load_model("@last")
    last = autotrack.load_model("@last", trusted=[name])
    assert isinstance(last, Net)
    assert same_state(last, seen["state"])
    best = autotrack.load_model("@last/model-best", trusted=[name])
    epoch = seen["val"].index(min(seen["val"]))
    assert run.facts["best"]["epoch"] == epoch
    assert same_state(best, last) == (epoch == 7)


def test_the_best_is_a_copy_of_its_moment(tracked):
    states = {}
    original = nn.functional.cross_entropy
    seen = textbook(1)
    states["first"] = seen["state"]
    with torch.no_grad():
        for parameter in seen["model"].parameters():
            parameter.add_(1.0)
    run = finished()
    assert nn.functional.cross_entropy is not original
    best = autotrack.load_model(f"{run.id}/model-best", trusted=True)
    last = autotrack.load_model(f"{run.id}/model", trusted=True)
    assert same_state(best, states["first"])
    assert same_state(last, seen["model"])


def test_a_model_that_is_gone_at_the_end_is_kept(tracked):
    model = nn.Sequential(nn.Linear(4, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps(model, optimizer, 4)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    del model, optimizer
    gc.collect()
    finished()
    assert same_state(autotrack.load_model("@last"), state)


def test_modules_are_not_kept_alive(tracked):
    import weakref

    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps(model, optimizer, 2)
    modules, kept = weakref.ref(model), weakref.ref(optimizer)
    del model, optimizer
    gc.collect()
    assert modules() is None
    assert kept() is None


def test_models_are_not_saved_where_that_was_asked(tracked):
    autotrack.enable(store=tracked, experiment="test", models="never")
    textbook(1)
    run = finished()
    assert not run.models
    assert not [text for _, text in run.notes if "was not saved" in text]


def test_a_model_above_the_budget_is_named(tracked, monkeypatch):
    monkeypatch.setenv("AUTOTRACK_MODEL_MAX_MB", "0.0001")
    autotrack.enable(store=tracked, experiment="test")
    textbook(1)
    run = finished()
    assert not run.models
    assert any("model_max_mb" in text for _, text in run.notes)


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(3, 2, bias=False),
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)),
        nn.Sequential(nn.Embedding(10, 4, padding_idx=0), nn.LayerNorm(4), nn.Dropout(0.3)),
        nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True),
        nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.ModuleList([nn.GRU(2, 2), nn.Identity()])}),
        nn.Linear(3, 2).to(torch.bfloat16),
        nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Sigmoid(), nn.Softsign(), nn.LogSigmoid(), nn.Tanhshrink()),
        nn.Sequential(nn.PReLU(), nn.GELU("tanh"), nn.SiLU(), nn.Softmax(1), nn.LeakyReLU(0.2), nn.Hardtanh(-2.0, 2.0)),
    ],
    ids=["linear", "convolution", "embedding", "lstm", "containers", "bfloat16", "no arguments", "activations"],
)
def test_layers_of_torch_are_built_without_a_word(module):
    with torch.no_grad():
        if isinstance(module, nn.Sequential) and isinstance(module[0], nn.Conv2d):
            module(torch.randn(2, 1, 4, 4))
    states = torch.get_rng_state()
    loaded = there_and_back(module)
    assert type(loaded) is type(module)
    assert repr(loaded) == repr(module)
    assert same_state(loaded, module)
    assert torch.equal(torch.get_rng_state(), states)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.outer = nn.Linear(3, 3)
        self.outer.weight = self.inner.weight
        self.register_buffer("kept", torch.arange(3))
        self.register_buffer("dropped", torch.arange(3), persistent=False)


class Wide(nn.Module):
    def __init__(self, width, rate=0.5, *, name="x"):
        super().__init__()
        self.layer = nn.Linear(width, 1)  # no attribute says the width
        self.rate = rate


class Assumed(nn.Module):
    def __init__(self, rate=0.5):
        super().__init__()
        self.layer = nn.Linear(2, 1)


class Extra(nn.Linear):
    def get_extra_state(self):
        return {"a": 1}

    def set_extra_state(self, state):
        raise AssertionError


def test_tied_weights_and_buffers():
    module = Tied()
    loaded = there_and_back(module, f"{__name__}.Tied")
    assert loaded.outer.weight is loaded.inner.weight
    assert same_state(loaded, module)
    assert list(snapshot_of(module).description["aliases"]) == ["outer.weight"]


def test_what_cannot_be_built_is_given_as_its_state_dict(caplog):
    module = Wide(3)
    state = there_and_back(module, f"{__name__}.Wide")
    assert type(state) is dict
    assert same_state(state, module)
    assert "width" in caplog.text


def test_arguments_that_are_not_known_are_told(caplog):
    assert isinstance(there_and_back(Assumed(), f"{__name__}.Assumed"), Assumed)
    assert "Assumed(rate)" in caplog.text


def test_extra_state_is_told_and_not_pickled():
    description = snapshot_of(Extra(2, 2)).description
    assert description["missing"] == ["_extra_state"]


def test_what_is_missing_is_noted(tracked):
    model = Extra(4, 3)
    steps(model, torch.optim.SGD(model.parameters(), lr=0.1), 2)
    run = finished()
    assert run.models
    assert any("_extra_state" in text for _, text in run.notes)


def test_a_file_is_not_believed(caplog):
    """A description can name any class; only modules are made, and only by the caller's word."""
    import json

    import safetensors.torch

    def made(spec) -> bytes:
        return safetensors.torch.save({"a": torch.ones(1)}, {"autotrack": json.dumps({"spec": spec})})

    form = SafetensorsFormat()
    hostile = {"class": "subprocess.Popen", "arguments": {"args": ["touch", "owned"]}}
    assert form.untrusted(made(hostile)) == ["subprocess.Popen"]
    with caplog.at_level(logging.WARNING):
        assert list(form.load(made(hostile), ["subprocess.Popen"])) == ["a"]
        assert "no module class" in caplog.text
    for odd in (None, 3, [], {"class": 3}, {"class": "x", "children": 3}, {"class": ["x"]}, {"class": "..x.y"}):
        assert list(form.load(made(odd), form.untrusted(made(odd)))) == ["a"]
        assert form.export(made(odd), "m.safetensors").flavors == {}


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        (
            "linear.Linear",
            {"in_features": 1_000_000, "out_features": 1_000_000},
            "more than 0.1 GB of layers, a torch.nn.modules.linear.Linear",
        ),
        ("transformer.Transformer", {"num_encoder_layers": 10**12}, "asks for 1000000000000 layers"),
        ("rnn.LSTM", {"input_size": 1, "hidden_size": 1, "num_layers": 10**12}, "asks for 1000000000000 layers"),
    ],
    ids=["a huge layer", "many layers", "many layers of a recurrent one"],
)
def test_a_small_file_builds_no_huge_module(caplog, name, arguments, words):
    import json

    import safetensors.torch

    inner = {"class": f"torch.nn.modules.{name}", "arguments": arguments}
    spec = {"class": "torch.nn.modules.container.Sequential", "children": {"0": inner}}
    data = safetensors.torch.save({"a": torch.ones(1)}, {"autotrack": json.dumps({"spec": spec})})
    form = SafetensorsFormat()
    assert form.untrusted(data) == []
    with caplog.at_level(logging.WARNING):
        assert list(form.load(data, [])) == ["a"]
    assert words in caplog.text


def made(spec: object, **more: object) -> bytes:
    """A file of one small tensor with a description made by hand."""
    import json

    import safetensors.torch

    return safetensors.torch.save({"a": torch.ones(1)}, {"autotrack": json.dumps({"spec": spec, **more})})


def sequential(children: list[object]) -> dict[str, object]:
    named = {str(number): child for number, child in enumerate(children)}
    return {"class": "torch.nn.modules.container.Sequential", "children": named}


def deep(depth: int) -> dict[str, object]:
    return sequential([deep(depth - 1)] if depth else [])


MEGABYTES = {"class": "torch.nn.modules.linear.Linear", "arguments": {"in_features": 1000, "out_features": 1000}}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (sequential([MEGABYTES] * 40), "more than 0.1 GB of layers"),
        (deep(60), "containers in containers"),
        (sequential([{**MEGABYTES, "arguments": [1, 2]}]), "list"),
        (sequential([{**MEGABYTES, "arguments": {"in_features": -1, "out_features": 1}}]), "negative"),
        (
            sequential([{**MEGABYTES, "arguments": {"in_features": 1, "out_features": 1, "x" * 10_000: 1}}]),
            "unexpected",
        ),
    ],
    ids=["many layers", "deep", "arguments", "negative", "long words"],
)
def test_a_description_that_asks_for_too_much_or_for_nonsense(caplog, tmp_path, spec, words):
    """Its tensors are given, and a folder that is exported gives them too."""
    import runpy

    form = SafetensorsFormat()
    data = made(spec)
    assert form.untrusted(data) == []
    with caplog.at_level(logging.WARNING):
        assert list(form.load(data, [])) == ["a"]
    assert words in caplog.text
    assert len(caplog.text) < 2000
    (tmp_path / "m.safetensors").write_bytes(data)
    (tmp_path / "load.py").write_text(form.export(data, "m.safetensors").code)
    assert list(runpy.run_path(str(tmp_path / "load.py"))["load"](tmp_path)) == ["a"]


@pytest.mark.parametrize("more", [{"aliases": [1]}, {"aliases": {"x": []}}, {"missing": 5}], ids=str)
def test_odd_words_beside_the_description(more):
    spec = {"class": "torch.nn.modules.linear.Linear", "arguments": {"in_features": 1, "out_features": 1}}
    data = made(spec, **more)
    assert SafetensorsFormat().untrusted(data) == []
    assert list(SafetensorsFormat().load(data, [])) == ["a"]
    SafetensorsFormat().export(data, "m.safetensors")


@pytest.mark.parametrize(
    "data",
    [b"", b"\1\0", b"\xff" * 8 + b"{}", b"\4" + bytes(7) + b"[[[[", b"x" * 100],
    ids=["empty", "short", "huge", "torn", "junk"],
)
def test_what_is_no_file_of_safetensors_is_refused(data):
    form = SafetensorsFormat()
    for call in (form.of_file, lambda data: form.load(data, [])):
        with pytest.raises(autotrack.ModelError, match="no file of safetensors"):
            call(data)


def test_a_file_of_another_tool_is_a_state_dict(tracked, tmp_path, caplog):
    import safetensors.torch

    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "other.safetensors")
    with autotrack.start_run() as run:
        run.log_model(tmp_path / "other.safetensors")
    stored = autotrack.get_model(run.id)
    assert (stored.format, stored.cls, stored.needs()) == ("safetensors", "", [])
    assert same_state(stored.load(), {"w": torch.ones(2)})
    assert caplog.records == []
    stored.export(tmp_path / "out")
    assert not (tmp_path / "out/MLmodel").exists()


def test_what_a_file_does_not_have_is_told_on_loading(caplog):
    there_and_back(Extra(2, 2), f"{__name__}.Extra")
    assert "does not have all of the model's state: _extra_state" in caplog.text


def test_a_class_that_cannot_be_imported_is_exported_as_its_state(tmp_path):
    """Nobody vouched for it: one of a training script, say."""
    import runpy

    form = SafetensorsFormat()
    module = type("Local", (nn.Linear,), {"__module__": "__main__"})(2, 1)
    data = form.save(module).data
    exported = form.export(data, "m.safetensors")
    assert (exported.flavors, exported.module) == ({}, "")
    (tmp_path / "m.safetensors").write_bytes(data)
    (tmp_path / "load.py").write_text(exported.code)
    assert "__main__.Local cannot be imported" in exported.code
    assert same_state(runpy.run_path(str(tmp_path / "load.py"))["load"](tmp_path), module)


def test_what_an_exported_folder_builds_is_what_load_builds(tmp_path):
    import runpy

    form = SafetensorsFormat()
    tied = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3)).to(torch.bfloat16)
    tied[2].weight = tied[0].weight
    data = form.save(tied).data
    exported = form.export(data, "m.safetensors")
    (tmp_path / "m.safetensors").write_bytes(data)
    (tmp_path / "load.py").write_text(exported.code)
    loaded = runpy.run_path(str(tmp_path / "load.py"))["load"](tmp_path)
    assert repr(loaded) == repr(tied)
    assert same_state(loaded, tied)
    assert loaded[2].weight is loaded[0].weight
    assert {part.dtype for part in loaded.parameters()} == {torch.bfloat16}


def test_log_model(tracked):
    with autotrack.start_run() as run:
        run.log_model(nn.Linear(2, 1), "layer")
    assert isinstance(autotrack.load_model(f"{run.id}/layer"), nn.Linear)


def test_a_tree_of_modules_comes_back_from_the_registry(tracked):
    """Tied weights, buffers, bfloat16, containers in containers."""
    inner = nn.ModuleDict({"norm": nn.BatchNorm1d(3), "one": nn.Linear(3, 3), "two": nn.Linear(3, 3)})
    inner["two"].weight = inner["one"].weight
    tree = nn.ModuleList([nn.Sequential(nn.Embedding(5, 3), nn.GRU(3, 2)).to(torch.bfloat16), inner])
    with autotrack.start_run() as run:
        run.log_model(tree)
    autotrack.register_model(run.id, "tree")
    loaded = autotrack.load_model("models:/tree/1")
    assert repr(loaded) == repr(tree)
    assert same_state(loaded, tree)
    assert loaded[1]["two"].weight is loaded[1]["one"].weight
    assert [part.dtype for part in loaded.parameters()] == [part.dtype for part in tree.parameters()]
