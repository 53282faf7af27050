"""Old PyTorch checkpoints: what torch.save wrote is read to the bit, and nothing that anybody else wrote is run."""

from __future__ import annotations

import contextlib
import copyreg
import io
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch

from jaxscore.errors import ModelError
from jaxscore.models import bin_files
from jaxscore.models.bin_files import TensorFile

DTYPES = {
    torch.float32: "float32", torch.float16: "float16", torch.bfloat16: ml_dtypes.bfloat16, torch.float64: "float64",
    torch.int64: "int64", torch.int32: "int32", torch.int16: "int16", torch.int8: "int8", torch.uint8: "uint8",
    torch.bool: "bool",
}  # fmt: skip
LAYOUTS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def save(content: object, path: Path, zipped: bool) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def check(path: Path, expected: dict[str, torch.Tensor]) -> None:
    """Names, shapes, types, sizes and values of a file are those of the tensors."""
    with TensorFile(path) as file:
        assert file.keys() == list(expected)
        for name, tensor in expected.items():
            array = file.read(name)
            assert file.shape(name) == array.shape == tuple(tensor.shape), name
            assert file.nbytes(name) == array.nbytes == tensor.numel() * tensor.element_size(), name
            assert array.dtype == np.dtype(DTYPES[tensor.dtype]), name
            # float64 holds the values of all types drawn here
            np.testing.assert_array_equal(array.astype(np.float64), tensor.detach().double().numpy(), name)


# --- what torch wrote -------------------------------------------------------------------------------------------------


@LAYOUTS
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_and_every_view(tmp_path, dtype, zipped):
    base = torch.arange(-60, 60).reshape(4, 5, 6)
    base = (base * 1.37).to(dtype) if dtype.is_floating_point else base.to(dtype)
    tensors = {
        "whole": base.clone(),
        "shared": base,
        "shared.again": base,
        "shared.row": base[2],
        "transposed": base.clone().transpose(0, 2),
        "permuted slice": base[1:, ::2].permute(2, 0, 1),
        "last element": base[3, 4, 5],
        "column": base[:, 0, 5:],
        "scalar": torch.tensor(3).to(dtype),
        "one axis of one": base[:, 2:3, 1],
        "ones with odd strides": torch.empty_strided((1, 2, 1), (99, 1, 77), dtype=dtype).fill_(1),
        "empty": torch.empty(0, dtype=dtype),
        "empty matrix": torch.empty((3, 0, 7), dtype=dtype),
        "empty slice": base[4:],
    }
    check(save(tensors, tmp_path / "pytorch_model.bin", zipped), tensors)


@LAYOUTS
def test_extreme_values_keep_their_bits(tmp_path, zipped):
    tensors = {
        "int64": torch.tensor([-(2**63), 2**63 - 1]),
        "float32": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45, 3.4e38]),
        "float64": torch.tensor([5e-324, -1.7e308], dtype=torch.float64),
    }
    with TensorFile(save(tensors, tmp_path / "x.bin", zipped)) as file:
        for name, tensor in tensors.items():
            assert file.read(name).tobytes() == tensor.numpy().tobytes()


@LAYOUTS
def test_a_state_dict_with_metadata_and_parameters(tmp_path, zipped):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 7))
    model[2].weight = torch.nn.Parameter(model[0].weight.detach().T)  # tied: a transposed view of one storage
    state = model.state_dict(keep_vars=True)
    assert isinstance(state["0.weight"], torch.nn.Parameter)
    assert state._metadata
    check(save(state, tmp_path / "kept.bin", zipped), state)
    check(save(model.state_dict(), tmp_path / "detached.bin", zipped), model.state_dict())


@LAYOUTS
@pytest.mark.parametrize("content", [{}, OrderedDict()], ids=["dict", "OrderedDict"])
def test_an_empty_file(tmp_path, content, zipped):
    check(save(content, tmp_path / "x.bin", zipped), {})


@LAYOUTS
def test_more_storages_than_a_short_index_holds(tmp_path, zipped):
    tensors = {f"block.{i}.weight": torch.full((2, 3), float(i)) for i in range(400)}  # more than 256 memo indices
    check(save(tensors, tmp_path / "x.bin", zipped), tensors)


@LAYOUTS
def test_reading_maps_and_takes_no_memory(tmp_path, zipped):
    path = save({"big": torch.zeros(2000, 2000), "small": torch.ones(3)}, tmp_path / "x.bin", zipped)
    tracemalloc.start()
    with TensorFile(path) as file:
        arrays = [file.read("big"), file.read("big").T, file.read("small")]
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the legacy layout is searched for the end of its pickles in MOST_BYTES; the tensor has 16 MB
    assert peak < (1 << 20 if zipped else bin_files.MOST_BYTES + (1 << 20))
    assert not any(array.flags.writeable or array.flags.owndata for array in arrays)
    assert arrays[2].tolist() == [1, 1, 1]  # after the file was closed
    assert float(arrays[0].sum()) == 0


def test_torch_and_jax_are_not_imported():
    code = "import sys, jaxscore.models.bin_files; sys.exit(bool({'torch', 'jax'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(bin_files.__file__).parents[2])


# --- hostile files: built by hand -------------------------------------------------------------------------------------


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Stored:
    """Pickles as a persistent id."""

    def __init__(self, *identity: object) -> None:
        self.identity = identity


class Pickler(pickle._Pickler):
    """In Python, since that one lets functions of torch be named without their modules' consent."""

    def persistent_id(self, value):
        return value.identity if isinstance(value, Stored) else None


def pickled(content: object, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    Pickler(buffer, protocol).dump(content)
    return buffer.getvalue()


SIX = np.arange(6, dtype=np.float32)


def zip_file(path: Path, program: bytes, **more: bytes) -> Path:
    """A file of the zip layout with one storage of six numbers."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for name, content in ({"version": b"3\n", "data/0": SIX.tobytes()} | more).items():
            archive.writestr(f"archive/{name}", content)
    return path


def legacy_file(path: Path, program: bytes, **parts: bytes) -> Path:
    """A file of the legacy layout with one storage of six numbers; `parts` replaces some of its pickles."""
    pickles = {
        "magic": pickled(bin_files.LEGACY_MAGIC),
        "protocol": pickled(bin_files.LEGACY_PROTOCOL),
        "system": pickled({"protocol_version": 1001, "little_endian": True, "type_sizes": {"long": 4}}),
        "content": program,
        "keys": pickled(["0"]),
        "storages": struct.pack("<q", 6) + SIX.tobytes(),
    }
    path.write_bytes(b"".join((pickles | parts).values()))
    return path


BUILD = pytest.mark.parametrize("build", [zip_file, legacy_file], ids=["zip", "legacy"])


def tensor(storage=None, offset=0, shape=(2, 3), strides=(3, 1), *more, identity=("0", "cpu", 6)) -> Call:
    """A tensor of the one storage, as torch pickles it."""
    storage = Stored("storage", torch.FloatStorage, *identity) if storage is None else storage
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, shape, strides, False, OrderedDict(), *more)


def refused(path: Path, *found: str) -> str:
    """The error names the file, what was found and what to do."""
    with pytest.raises(ModelError) as error:
        TensorFile(path)
    assert error.value.message.startswith(str(path))
    assert "safetensors" in error.value.hint
    assert len(str(error.value)) < 1000
    for text in found:
        assert text in error.value.message
    return error.value.message


LEGACY_IDENTITY = ("0", "cpu", 6, None)


@pytest.mark.parametrize(("build", "identity"), [(zip_file, ("0", "cpu", 6)), (legacy_file, LEGACY_IDENTITY)])
def test_the_files_built_by_hand_are_good(tmp_path, build, identity):
    """Else the refusals below would prove nothing."""
    content = {"a": tensor(identity=identity), "b": tensor(None, 1, (1, 3, 1), (2**62, 2, 2**40), identity=identity)}
    path = build(tmp_path / "x.bin", pickled(content))
    with TensorFile(path) as file:
        assert file.read("a").tolist() == [[0, 1, 2], [3, 4, 5]]
        assert file.read("b").tolist() == [[[1], [3], [5]]]
    assert torch.load(path, weights_only=True)["b"].tolist() == [[[1], [3], [5]]]


# --- hostile files: code ----------------------------------------------------------------------------------------------


class Planted:
    """Its state is a file to be written."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __setstate__(self, state: dict) -> None:
        Path(state["path"]).touch()


PAYLOADS = {
    "os.system": lambda mark: Call(os.system, f"touch {mark}"),
    "builtins.eval": lambda mark: Call(eval, f"open({str(mark)!r}, 'w').close()"),
    "builtins.exec": lambda mark: Call(exec, f"open({str(mark)!r}, 'w').close()"),
    "nested": lambda mark: Call(OrderedDict, [("a", Call(os.system, f"touch {mark}"))]),
    "__setstate__": Planted,
}
PLACES = {
    "top level": lambda payload: payload,
    "value": lambda payload: {"a": tensor(), "b": payload},
    "value in a value": lambda payload: {"a": tensor(), "b": {"c": [(payload,)]}},
    "key": lambda payload: {"a": tensor(), (1, payload): 2},
    "hooks": lambda payload: {"a": Call(torch._utils._rebuild_parameter, tensor(), True, payload)},
    "storage": lambda payload: {"a": tensor(payload)},
    "offset": lambda payload: {"a": tensor(None, payload)},
    "location": lambda payload: {"a": tensor(identity=("0", payload, 6))},
}


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_is_run(tmp_path, payload, place, protocol):
    mark = tmp_path / "mark"
    program = pickled(PLACES[place](PAYLOADS[payload](mark)), protocol)
    with contextlib.suppress(Exception):  # what counts is the mark
        torch.load(zip_file(tmp_path / "x.bin", program), weights_only=False)
    assert mark.exists(), "the payload is not live"
    mark.unlink()
    for build in (zip_file, legacy_file):
        refused(build(tmp_path / "x.bin", program), "global" if protocol == 2 else "opcode")
        assert not mark.exists()


@pytest.mark.parametrize("part", ["magic", "protocol", "system", "content", "keys"])
def test_nothing_is_run_in_any_pickle_of_the_legacy_layout(tmp_path, part):
    mark = tmp_path / "mark"
    payload = pickled(Call(os.system, f"touch {mark}"))
    path = legacy_file(tmp_path / "x.bin", pickled({"a": tensor(identity=LEGACY_IDENTITY)}), **{part: payload})
    refused(path, "global", "system'")
    assert not mark.exists()
    with contextlib.suppress(Exception):
        torch.load(path, weights_only=False)
    assert mark.exists(), "the payload is not live"


def test_metadata_is_never_built(tmp_path):
    """BUILD on an OrderedDict sets attributes; here it must leave everything as it is."""
    state = OrderedDict(a=tensor())
    state.update = state.keys = state.get = "replaced"
    path = zip_file(tmp_path / "x.bin", pickled(state))
    with TensorFile(path) as file:
        assert file.keys() == ["a"]
        assert file.read("a").tolist() == [[0, 1, 2], [3, 4, 5]]


def test_extension_registry(tmp_path):
    mark = tmp_path / "mark"
    copyreg.add_extension(os.system.__module__, "system", 240)
    try:
        program = pickled({"a": Call(os.system, f"touch {mark}")})
        pickle.loads(program)
        assert mark.exists(), "the payload is not live"
        mark.unlink()
        refused(zip_file(tmp_path / "x.bin", program), "opcode EXT1")
        assert not mark.exists()
    finally:
        copyreg.remove_extension(os.system.__module__, "system", 240)


BY_HAND = {
    "dotted name": (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2.__globals__\n.", "_rebuild_tensor_v2.__globals__"),
    "dotted class": (b"\x80\x02ccollections\nOrderedDict.fromkeys\n.", "OrderedDict.fromkeys"),
    "other spelling": (b"\x80\x02ctorch\nFloatStorage.from_file\n.", "from_file"),
    "unknown escape": (b"\x80\x02c\\q\nsystem\n.", ""),
    "INST": (b"(S'touch mark'\nios\nsystem\n.", "opcode STRING"),
    "INST alone": (b"(ios\nsystem\n.", "opcode INST"),
    "OBJ": (b"(ccollections\nOrderedDict\no.", "opcode OBJ"),
    "NEWOBJ": (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "opcode NEWOBJ"),
    "STACK_GLOBAL": (b"\x80\x04X\x02\0\0\0osX\x06\0\0\0system\x93.", "opcode STACK_GLOBAL"),
    "PERSID": (b"P0\n.", "opcode PERSID"),
    "next buffer": (b"\x80\x05\x97.", "opcode NEXT_BUFFER"),
    "call of a type of storage": (b"\x80\x02ctorch\nFloatStorage\n)R.", "a call of a"),
    "call with a list": (b"\x80\x02ccollections\nOrderedDict\n]R.", "a call of a function with a list"),
    "call with too few": (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "a call of _rebuild_tensor"),
    "build on a function": (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.", "a function filled"),
    "append to a dict": (b"\x80\x02}Na.", "a dict filled"),
    "number as a key": (b"\x80\x02}K\x01Ns.", "keys are not text"),
    "odd number of items": (b"\x80\x02}(Nu.", "keys are not text"),
    "text without a value": (b"\x80\x02}(X\x01\0\0\0au.", "damaged"),
    "empty stack": (b"\x80\x02.", "damaged"),
    "no mark": (b"\x80\x02Nt.", "damaged"),
    "unknown memo": (b"\x80\x02h\x07.", "damaged"),
    "too few items": (b"\x80\x02N\x86.", "takes more from its stack"),
    "no STOP": (b"\x80\x02N", ""),
    "no opcode": (b"\x80\x02\xff.", "damaged"),
    "no text": (b"\x80\x02X\xff\xff\xff\xffa.", "damaged"),
    "no number": (b"\x80\x02I" + b"9" * 5000 + b"\n.", "damaged"),
    "a function": (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n.", "holds a function"),
    "a type of storage": (b"\x80\x02}X\x01\0\0\0actorch\nFloatStorage\ns.", "called 'a'"),
    "name that a terminal obeys": (None, "called 'a\\x1b[2J'"),
}


@BUILD
@pytest.mark.parametrize("case", BY_HAND)
def test_programs_that_torch_does_not_write(tmp_path, case, build):
    program, found = BY_HAND[case]
    refused(build(tmp_path / "x.bin", program or pickled({"a\x1b[2J": tensor()})), found)


@LAYOUTS
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (torch.ones(3), "holds a _Tensor"),
        ([torch.ones(3)], "holds a list"),
        (3, "holds a int"),
        ({"state_dict": {"a": torch.ones(3)}}, "a dict called 'state_dict'"),
        ({"a": torch.ones(3), "epoch": 3}, "a int called 'epoch'"),
        ({"a": torch.ones(3), "loss": 0.5}, "a float called 'loss'"),
        ({"a": torch.ones(3), "args": torch.Size([3])}, "global 'torch Size'"),
        ({"a": torch.ones(3), "dtype": torch.float32}, "global 'torch float32'"),
        ({"a": torch.ones(3, dtype=torch.complex64)}, "global 'torch ComplexFloatStorage'"),
        ({"a": torch.ones(3).to_sparse()}, "global 'torch._utils _rebuild_sparse_tensor'"),
        ({"a": torch.ones(3).to(torch.float8_e4m3fn)}, "global"),
        ({"a": torch.ones(1).expand(1000)}, "larger than its storage of 1 elements"),
        ({3: torch.ones(3)}, "keys are not text"),
    ],
)
def test_what_torch_loads_but_is_no_dictionary_of_tensors(tmp_path, content, found, zipped):
    refused(save(content, tmp_path / "x.bin", zipped), found)


@LAYOUTS
def test_a_whole_module(tmp_path, zipped):
    refused(save(torch.nn.Linear(2, 2), tmp_path / "x.bin", zipped), "holds ")


# --- hostile files: sizes ---------------------------------------------------------------------------------------------

LIES = {
    "offset": (tensor(None, 1), "larger than its storage of 6"),
    "far offset": (tensor(None, 2**40), "larger than its storage"),
    "offset of a scalar": (tensor(None, 6, (), ()), "larger than its storage"),
    "negative offset": (tensor(None, -1), "not natural numbers"),
    "boolean offset": (tensor(None, True), "not natural numbers"),
    "shape": (tensor(None, 0, (3, 3)), "larger than its storage"),
    "repeated": (tensor(None, 0, (7,), (0,)), "larger than its storage"),
    "vast": (tensor(None, 0, (2**31, 2**31), (0, 0)), "larger than its storage"),
    "vast and empty": (tensor(None, 0, (0, 2**40, 2**40), (0, 0, 1)), "larger than its storage"),
    "beyond int64": (tensor(None, 0, (2**64,), (0,)), "not natural numbers"),
    "stride": (tensor(None, 0, (2, 3), (4, 1)), "larger than its storage"),
    "stride that overflows": (tensor(None, 0, (5,), (2**62,)), "larger than its storage"),
    "negative stride": (tensor(None, 5, (6,), (-1,)), "not natural numbers"),
    "fewer strides": (tensor(None, 0, (2, 3), (1,)), "not natural numbers"),
    "list as shape": (tensor(None, 0, [2, 3], (3, 1)), "not natural numbers"),
    "fraction": (tensor(None, 0, (2.0, 3), (3, 1)), "not natural numbers"),
    "too many axes": (tensor(None, 0, (1,) * 33, (1,) * 33), "not natural numbers"),
    "no storage": (tensor("0"), "without a storage"),
    "a tensor as storage": (tensor(tensor()), "without a storage"),
    "conjugated": (tensor(None, 0, (2, 3), (3, 1), {"conj": True}), "conjugated"),
    "larger storage": (tensor(identity=("0", "cpu", 7)), "storage '0' of 7"),
    "smaller storage": (tensor(identity=("0", "cpu", 5), shape=(1,), strides=(1,)), "storage '0' of 5"),
    "vast storage": (tensor(identity=("0", "cpu", 2**61), shape=(2**60,), strides=(1,)), "storage"),
    "vaster storage": (tensor(identity=("0", "cpu", 2**900)), "storage"),
    "negative storage": (tensor(identity=("0", "cpu", -6)), "persistent id"),
    "boolean storage": (tensor(identity=("0", "cpu", True), shape=(1,), strides=(1,)), "persistent id"),
    "number as key": (tensor(identity=(0, "cpu", 6)), "persistent id"),
    "other storage": (tensor(identity=("1", "cpu", 6)), "storage"),
    "path as key": (tensor(identity=("../data/0", "cpu", 6)), "storage"),
    "view of a storage": (tensor(identity=("0", "cpu", 6, ("0", 0, 3))), "persistent id"),
    "short id": (tensor(identity=("0", "cpu")), "persistent id"),
    "no id": (tensor(Stored()), "persistent id"),
    "module": (tensor(Stored("module", "0", "source", "text")), "persistent id"),
    "type by name": (tensor(Stored("storage", "FloatStorage", "0", "cpu", 6)), "persistent id"),
    "two types": ([tensor(), tensor(Stored("storage", torch.IntStorage, "0", "cpu", 6))], "two types or sizes"),
}


@BUILD
@pytest.mark.parametrize("case", LIES)
def test_descriptions_that_lie(tmp_path, case, build):
    lie, found = LIES[case]
    refused(build(tmp_path / "x.bin", pickled({"bad": lie})), found)


@LAYOUTS
def test_a_file_cut_off(tmp_path, zipped):
    whole = save({"a": torch.ones(3, 4), "b": torch.ones(2)}, tmp_path / "whole.bin", zipped).read_bytes()
    path = tmp_path / "x.bin"
    for length in [*range(0, len(whole), 11), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path)


@LAYOUTS
def test_a_file_damaged_anywhere(tmp_path, zipped):
    """A changed byte gives an error, or tensors no larger than the file."""
    good = save({"a": torch.ones(3, 4), "b": torch.ones(2)}, tmp_path / "good.bin", zipped).read_bytes()
    path, rng, refusals = tmp_path / "x.bin", np.random.default_rng(0), 0
    for _ in range(400):
        content = np.frombuffer(good, np.uint8).copy()
        content[rng.integers(0, len(good), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(content.tobytes())
        try:
            with TensorFile(path) as file:
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    assert file.read(name).nbytes == file.nbytes(name) <= len(good)
                    file.read(name).tobytes()
        except ModelError:
            refusals += 1
    assert 40 < refusals < 400


# --- hostile files: time and memory -----------------------------------------------------------------------------------

BOMBS = {
    "tuples in tuples": b")" + b"\x85" * 50_000 + b".",
    "tuples in tuples as a key": b"})" + b"\x85" * 50_000 + b"Ns.",
    "doubled tuples as a key": b"})q\0" + b"h\0h\0\x86q\0" * 100 + b"Ns.",
    "doubled tuples as an offset": b"ctorch._utils\n_rebuild_tensor_v2\n()q\0"
    + b"h\0h\0\x86q\0" * 100
    + b"000NNNNNNtR.",
    "doubled tuples as an id": b")q\0" + b"h\0h\0\x86q\0" * 100 + b"Q.",
    "a dictionary in itself": b"}q\0X\1\0\0\0ah\0s.",
    "a list in itself": b"]q\0h\0a.",
    "a far memo index": b"Nr\xff\xff\xff\xff.",
    "dictionaries": b"}" * (bin_files.MOST_OPCODES + 1) + b".",
    "a long text": b"X\xff\xff\xff\x7f.",
    "a long number": b"\x8b\xff\xff\xff\x7f.",
}


@pytest.mark.parametrize("case", BOMBS)
def test_bombs(tmp_path, case):
    path = zip_file(tmp_path / "x.bin", b"\x80\x02" + BOMBS[case])
    tracemalloc.start()
    refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 128 << 20


def test_a_description_beyond_the_limit(tmp_path):
    found = f"{bin_files.MOST_BYTES + 1:,} bytes"
    refused(zip_file(tmp_path / "x.bin", b"\x80\x02" + b"N" * (bin_files.MOST_BYTES - 1)), found)


def test_a_directory_beyond_the_limit(tmp_path, monkeypatch):
    path = save({str(i): torch.ones(1) for i in range(400)}, tmp_path / "x.bin", zipped=True)
    monkeypatch.setattr(bin_files, "MOST_BYTES", 20_000)
    tracemalloc.start()
    refused(path, "(limit 20,000)")
    assert tracemalloc.get_traced_memory()[1] < 200_000
    tracemalloc.stop()


# --- wrong archives ---------------------------------------------------------------------------------------------------


def archive(path: Path, names: list[str], compression: int = zipfile.ZIP_STORED) -> Path:
    """An archive with the members of a good file under other names."""
    contents = [pickled({"a": tensor()}), SIX.tobytes(), b"little"]
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in zip(names, contents, strict=False):
            file.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a/data.pkl", "a/data/0", "/a/byteorder"], "outside of the archive's folder"),
        (["/data.pkl", "/data/0"], "outside of the archive's folder"),
        (["data.pkl", "data/0"], "outside of the archive's folder"),
        (["a/data.pkl", "a/data/0", "b/byteorder"], "outside of the archive's folder"),
        (["a/data.pkl", "a/data/0", "a/../../byteorder"], "outside of the archive's folder"),
        (["../data.pkl", "../data/0"], "outside of the archive's folder"),
        (["a/data.pkl", "a/data/0", "a/..\\byteorder"], "outside of the archive's folder"),
        (["a/data.pkl", "a/data/1"], "0 bytes as storage '0'"),
        (["a/model.pkl", "a/data/0"], "without data.pkl"),
        ([], "neither"),
    ],
)
def test_archives_with_other_members(tmp_path, names, found):
    if not names:
        found = "damaged"  # an archive without members starts with its directory
    refused(archive(tmp_path / "x.bin", names), found)


def test_an_archive_with_two_members_of_one_name(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive(tmp_path / "x.bin", ["a/data.pkl", "a/data/0", "a/data/0"])
    refused(tmp_path / "x.bin", "'a/data/0', repeated")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_archive(tmp_path, compression):
    refused(archive(tmp_path / "x.bin", ["a/data.pkl", "a/data/0"], compression), "compressed or encrypted")


def test_an_archive_whose_directory_lies(tmp_path):
    good = archive(tmp_path / "x.bin", ["a/data.pkl", "a/data/0"]).read_bytes()
    place = good.rindex(b"PK\x01\x02")
    for field, value in ((42, len(good) + 5), (42, 3), (8, 1)):  # offset beyond the end, of no header; encrypted
        entry = bytearray(good)
        struct.pack_into("<H", entry, place + field, value)
        (tmp_path / "x.bin").write_bytes(entry)
        refused(tmp_path / "x.bin")
    entry = bytearray(good)
    entry[good.rindex(b"PK\x03\x04")] = 0  # no header where the directory says
    (tmp_path / "x.bin").write_bytes(entry)
    refused(tmp_path / "x.bin", "beyond the end of the file")
    entry = bytearray(good)
    struct.pack_into("<II", entry, place + 20, 4000, 4000)  # both sizes of the member
    (tmp_path / "x.bin").write_bytes(entry)
    refused(tmp_path / "x.bin", "beyond the end of the file")


def test_big_endian_files(tmp_path):
    program = pickled({"a": tensor()})
    refused(zip_file(tmp_path / "x.bin", program, byteorder=b"big"), "big-endian")
    refused(legacy_file(tmp_path / "x.bin", program, system=pickled({"little_endian": False})), "big-endian")


@pytest.mark.parametrize(
    ("part", "content", "found"),
    [
        ("magic", pickled(1), "magic number"),
        ("protocol", pickled(1002), "magic number"),
        ("system", pickled([]), "big-endian"),
        ("keys", pickled([]), "list of storages"),
        ("keys", pickled(["0", "0"]), "list of storages"),
        ("keys", pickled(["1"]), "list of storages"),
        ("keys", pickled(["0", "1"]), "list of storages"),
        ("keys", pickled([0]), "list of storages"),
        ("keys", pickled([["0"]]), "list of storages"),
        ("keys", pickled("0"), "list of storages"),
        ("storages", struct.pack("<q", 5) + SIX.tobytes(), "storage '0' of 6 elements"),
        ("storages", struct.pack("<q", -1) + SIX.tobytes(), "storage '0' of 6 elements"),
        ("storages", struct.pack("<q", 6) + SIX.tobytes()[:-1], "storage '0' of 6 elements"),
        ("storages", b"", "damaged"),
    ],
)
def test_legacy_files_whose_parts_disagree(tmp_path, part, content, found):
    refused(legacy_file(tmp_path / "x.bin", pickled({"a": tensor()}), **{part: content}), found)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"version https://git-lfs.github.com/spec/v1\n", b"<!doctype html>", bytes(100), b"\x80"],
)
def test_other_files(tmp_path, content):
    (tmp_path / "x.bin").write_bytes(content)
    refused(tmp_path / "x.bin", "damaged or no PyTorch checkpoint")


def test_no_file(tmp_path):
    refused(tmp_path / "x.bin", "No such file")
    refused(tmp_path, "directory")
