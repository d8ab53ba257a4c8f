"""Files of torch.save: kept where they hold tensors and plain values alone, and nothing else is opened."""

import io
import runpy
import zipfile
from collections import OrderedDict

import pytest
import torch
from autotrack_torch.checkpoints import CheckpointFormat
from torch import nn

import autotrack


def bytes_of(thing: object, **more) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer, **more)
    return buffer.getvalue()


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one.to_dense(), other.to_dense()) and one.dtype == other.dtype and one.layout == other.layout
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return module, optimizer


def things() -> dict[str, object]:
    module, optimizer = trained()
    return {
        "a state dict": module.state_dict(),
        "a checkpoint": {"model": module.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "note": "x"},
        "bfloat16": {"a": torch.ones(2, dtype=torch.bfloat16), "b": torch.ones(2, dtype=torch.float8_e5m2).float()},
        "sparse": {"a": torch.eye(3).to_sparse(), "b": torch.eye(3).to_sparse_csr()},
        "tied": OrderedDict(a=(shared := torch.arange(3.0)), b=shared),
    }


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning", "ignore:Sparse invariant:UserWarning")
@pytest.mark.parametrize("what", ["a state dict", "a checkpoint", "bfloat16", "sparse", "tied"])
def test_there_and_back(tracked, what):
    thing = things()[what]
    with autotrack.start_run() as run:
        run.log_model(thing, "state")
    stored = autotrack.get_model(run.id)
    assert (stored.format, stored.needs(), stored.requires) == ("torch", [], {"torch": torch.__version__})
    loaded = stored.load()
    assert type(loaded) is type(thing)
    assert same(loaded, thing)
    if what == "tied":
        assert loaded["a"].data_ptr() == loaded["b"].data_ptr()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt"])
def test_ones_own_file(tracked, tmp_path, suffix):
    module, _ = trained()
    path = tmp_path / f"net{suffix}"
    torch.save(module.state_dict(), path)
    with autotrack.start_run() as run:
        run.log_model(path)
    autotrack.register_model(run.id, "net", "champion")
    assert same(autotrack.load_model("models:/net@champion"), module.state_dict())
    stored = autotrack.get_model("models:/net/1")
    assert stored.read() == path.read_bytes()
    stored.export(tmp_path / "out")
    assert not (tmp_path / "out/MLmodel").exists()
    assert same(runpy.run_path(str(tmp_path / "out/load.py"))["load"](tmp_path / "out"), module.state_dict())


def test_a_pickled_module_is_not_taken_and_what_to_do_is_said(tracked, tmp_path):
    torch.save(nn.Linear(2, 1), tmp_path / "net.pt")
    with autotrack.start_run() as run:
        with pytest.raises(autotrack.ModelError, match=r"it names torch\.nn\S+Linear.*state_dict\(\)"):
            run.log_model(tmp_path / "net.pt")
    assert autotrack.get_run(run.id).models == {}


class Bomb:
    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_bomb_is_opened_by_no_word(tmp_path):
    target = tmp_path / "exploded"
    data = bytes_of({"a": torch.ones(1), "b": Bomb(target)})
    form = CheckpointFormat()
    for trusted in ([], ["builtins.open", "_io.open", "io.open"]):
        with pytest.raises(autotrack.ModelError, match="weights_only=True"):
            form.load(data, trusted)
    assert not target.exists()
    torch.load(io.BytesIO(data), weights_only=False)["b"].close()
    assert target.exists()  # it was live


def repacked(data: bytes, compression: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return target.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no file of torch.save"),
        (b"junk" * 100, "no file of torch.save"),
        (bytes_of({"a": torch.ones(1)}, _use_new_zipfile_serialization=False), r"before torch 1\.6"),
        (repacked(bytes_of({"a": torch.zeros(1_000_000)}), zipfile.ZIP_DEFLATED), "would unpack to 4 MB"),
        (bytes_of({"a": torch.ones(100)})[:-30], "no file of torch.save"),
        (repacked(bytes_of(1), zipfile.ZIP_STORED).replace(b"PK\x05\x06", b"PK\x05\x07"), "no file of torch.save"),
    ],
    ids=["empty", "junk", "the old format", "a zip bomb", "torn", "no directory"],
)
def test_what_is_no_such_file_is_refused(data, words):
    with pytest.raises(autotrack.ModelError, match=words):
        CheckpointFormat().of_file(data)


def test_what_is_no_mapping_of_tensors_is_not_taken():
    form = CheckpointFormat()
    for other in (
        {},
        {"a": 1},
        [torch.ones(1)],
        torch.ones(1),
        nn.Linear(1, 1),
        {"a": {"b": {"c": {"d": torch.ones(1)}}}},
    ):
        assert not form.can_save(other)
    seconds, size = form.cost({"a": torch.ones(1000), "b": {"c": torch.ones(10, dtype=torch.int8)}})
    assert (size, seconds > 0) == (4010, True)


def test_a_mapping_with_ones_own_object_in_it_is_not_taken():
    with pytest.raises(autotrack.ModelError, match=r"it names \S*Bomb|it names \S*open"):
        CheckpointFormat().save({"a": torch.ones(1), "b": Bomb("x")})
    with pytest.raises(autotrack.ModelError, match="torch cannot save it"):
        CheckpointFormat().save({"a": torch.ones(1), "b": lambda: None})
