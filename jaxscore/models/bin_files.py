"""Old PyTorch checkpoints (`pytorch_model.bin`): tensors and nothing else, without torch and without unpickling.

Both layouts of torch.save (a zip archive since torch 1.6, a sequence of pickles and raw storages before) describe each
tensor in a pickle by storage, offset, shape and strides. A pickle is a program for a stack machine. The machine here
knows the opcodes of a dictionary of tensors; its products are numbers, text, tuples, lists, dictionaries keyed by text,
and descriptions of tensors, and all that a program may call is three functions of this file, from a fixed table.
`pickle.Unpickler` with a strict `find_class` would not do: one memo index makes it fill 32 GiB, and hashing tuples
nested deeply enough overflows its C stack or never ends.

Memory: a file is read `MOST_BYTES` at a time at most, and its programs run for `MOST_OPCODES` at most, so that opening
any file takes less than 128 MiB, whatever it says, and an ordinary checkpoint 2 kB a tensor. Tensors are mapped,
anew for each `read`: that allocates nothing, no tensor is larger than the file, and its pages go with its array.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

import ml_dtypes
import numpy as np

from jaxscore.errors import ModelError

MOST_BYTES = 8 << 20
MOST_OPCODES = 1 << 19
"""A tensor takes about 33, so that one file has room for 15,000 tensors."""
MOST_AXES = 32
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
DAMAGE = (
    ValueError, LookupError, OverflowError, OSError, struct.error, zipfile.BadZipFile, NotImplementedError,
    DeprecationWarning,  # of an unknown escape in a global's name, where warnings are errors
)  # fmt: skip
"""What pickletools, zipfile and struct raise on bytes that they cannot read."""
HINT = (
    "Take the safetensors of the repository, or convert on a machine that trusts the file: "
    "AutoModel.from_pretrained(folder).save_pretrained(new_folder) of transformers writes safetensors."
)


class TensorFile:
    """The tensors of one checkpoint file or shard, each read when asked for; a context manager.

    Raises:
        ModelError: if the file holds anything but a dictionary of tensors, or is damaged; says what was found.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = _BoundedFile(path)
            try:
                layout = _zip_layout if self._file.read(4) == b"PK\x03\x04" else _legacy_layout
                self._tensors, self._starts = layout(self._file)
            except BaseException:
                self._file.close()
                raise
        except _RefusedError as refused:
            raise ModelError(f"{path} holds {refused}, where only a dictionary of tensors is read", HINT) from None
        except DAMAGE as error:
            raise ModelError(f"{path} is damaged or no PyTorch checkpoint: {_short(str(error))}", HINT) from None

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def keys(self) -> list[str]:
        """Return the names of the tensors in the order of the file."""
        return list(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self._tensors[name].shape

    def nbytes(self, name: str) -> int:
        """Return the number of bytes of a tensor's elements."""
        return math.prod(self.shape(name)) * self._tensors[name].storage.dtype.itemsize

    def read(self, name: str) -> np.ndarray:
        """Return a tensor as a read-only view of the file, with the strides and the alignment that it has there.

        The array outlives the context manager; it needs the file to stay as it is.
        """
        tensor = self._tensors[name]
        dtype = tensor.storage.dtype
        if 0 in tensor.shape:
            return np.empty(tensor.shape, dtype)
        start = self._starts[tensor.storage.key] + tensor.offset * dtype.itemsize
        mapped = np.memmap(self._file, np.uint8, "r", start, ((tensor.last - tensor.offset + 1) * dtype.itemsize,))
        strides = [s * dtype.itemsize if n > 1 else 0 for n, s in zip(tensor.shape, tensor.strides, strict=True)]
        return np.ndarray(tensor.shape, dtype, mapped, strides=strides)


class _RefusedError(Exception):
    """Says what a file holds that is no tensor."""


class _BoundedFile(io.FileIO):
    """A file of which no reader, this module or zipfile, can be made to take more than `MOST_BYTES` at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.size = self.seek(0, io.SEEK_END)
        self.seek(0)

    def read(self, size: int | None = -1) -> bytes:
        left = max(self.size - self.tell(), 0)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > MOST_BYTES:
            raise _RefusedError(f"a description of {wanted:,} bytes (limit {MOST_BYTES:,})")
        return super().read(wanted)


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: np.dtype
    elements: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Offset and strides count elements of the storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def last(self) -> int:
        """Index in the storage of the last element."""
        return self.offset + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True))


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:120]}..."


def _ordered_dict() -> dict:
    return {}


def _rebuild_tensor(
    storage: object,
    offset: object,
    shape: object,
    strides: object,
    grad: object,
    hooks: object,
    metadata: object = None,
) -> _Tensor:
    """Check a tensor against its storage; the storage is checked against the file later."""
    axes = type(shape) is type(strides) is tuple and len(shape) == len(strides) <= MOST_AXES
    if not axes or not all(type(n) is int and 0 <= n < 1 << 63 for n in (offset, *shape, *strides)):
        raise _RefusedError("a tensor whose offset, shape and strides are not natural numbers")
    if not isinstance(storage, _Storage) or metadata:
        raise _RefusedError("a tensor without a storage, or a conjugated or negated one")
    tensor, count = _Tensor(storage, offset, shape, strides), math.prod(shape)
    inside = count <= storage.elements and tensor.last < storage.elements
    if not (inside if count else math.prod(n or 1 for n in shape) < 1 << 48):
        place = _short(f"offset {offset}, shape {shape}, strides {strides}")
        raise _RefusedError(f"a tensor ({place}) larger than its storage of {storage.elements} elements")
    return tensor


def _rebuild_parameter(data: object, grad: object, hooks: object) -> object:
    return data


GLOBALS: dict[str, FunctionType | np.dtype] = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_parameter": _rebuild_parameter,
    "torch BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch HalfStorage": np.dtype("<f2"),
    "torch FloatStorage": np.dtype("<f4"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ShortStorage": np.dtype("<i2"),
    "torch CharStorage": np.dtype("i1"),
    "torch ByteStorage": np.dtype("u1"),
    "torch BoolStorage": np.dtype("?"),
}
"""All that a file may name, and what stands for it here."""

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


class _Machine:
    """Runs the programs of one file and collects the storages that they mention."""

    def __init__(self) -> None:
        self.storages: dict[str, _Storage] = {}
        self._left = MOST_OPCODES

    def run(self, program: io.BytesIO) -> object:
        """Run to STOP, leave `program` at the byte after it, and return what is on top of the stack."""
        self._stack, self._below, self._memo = [], [], {}
        for opcode, argument, _ in pickletools.genops(program):
            self._left -= 1
            if self._left < 0:
                raise _RefusedError(f"a description of more than {MOST_OPCODES:,} opcodes")
            self._step(opcode.name, argument)
        return self._stack.pop()

    def _step(self, opcode: str, argument: object) -> None:
        match opcode:
            case "PROTO" | "STOP":
                pass
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE":
                self._stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE" | "EMPTY_TUPLE":
                self._stack.append(CONSTANTS[opcode])
            case "EMPTY_LIST" | "EMPTY_DICT":
                self._stack.append([] if opcode == "EMPTY_LIST" else {})
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._stack[-1]
            case "BINGET" | "LONG_BINGET":
                self._stack.append(self._memo[argument])
            case "MARK":
                self._below.append(self._stack)
                self._stack = []
            case "GLOBAL":
                if argument not in GLOBALS:
                    raise _RefusedError(f"the global {_short(repr(argument))}")
                self._stack.append(GLOBALS[argument])
            case _:
                self._combine(opcode)

    def _combine(self, opcode: str) -> None:
        match opcode:
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = self._pop(int(opcode[5:] or 0))
                self._stack.append(tuple(items))
            case "APPEND" | "APPENDS":
                self._fill(list, self._pop(1 if opcode == "APPEND" else 0))
            case "SETITEM" | "SETITEMS":
                self._fill(dict, self._pop(2 if opcode == "SETITEM" else 0))
            case "BUILD":  # attributes, such as the _metadata of a state_dict; nothing here takes any
                self._pop(1)
                self._fill(dict, [])
            case "BINPERSID":
                self._stack.append(self._storage(self._stack.pop()))
            case "REDUCE":
                function, arguments = self._pop(2)
                self._stack.append(self._call(function, arguments))
            case _:
                raise _RefusedError(f"the pickle opcode {opcode}")

    def _pop(self, count: int) -> list:
        """Take the topmost `count` items, or for 0 all above the mark."""
        if not count:
            items, self._stack = self._stack, self._below.pop()
        elif len(self._stack) < count:
            raise _RefusedError("a program that takes more from its stack than it put there")
        else:
            items = self._stack[-count:]
            del self._stack[-count:]
        return items

    def _fill(self, kind: type, items: list) -> None:
        target = self._stack[-1]
        if type(target) is not kind:
            raise _RefusedError(f"a {type(target).__name__} filled as if it were a {kind.__name__}")
        if kind is list:
            target += items
        elif all(type(key) is str for key in items[::2]):
            target.update(zip(items[::2], items[1::2], strict=True))
        else:
            raise _RefusedError("a dictionary whose keys are not text")

    def _storage(self, identity: object) -> _Storage:
        """Return the storage that ("storage", type, key, location, elements), in the legacy layout + (None,), names."""
        views = ([], [None])
        match identity:
            case ("storage", np.dtype() as dtype, str() as key, str(), int() as elements, *view) if view in views:
                storage = _Storage(key, dtype, elements)
                if type(elements) is int and elements >= 0 and self.storages.setdefault(key, storage) == storage:
                    return storage
        raise _RefusedError("a persistent id that is no storage, or a storage of two types or sizes")

    @staticmethod
    def _call(function: object, arguments: object) -> object:
        if not isinstance(function, FunctionType) or type(arguments) is not tuple:
            raise _RefusedError(f"a call of a {type(function).__name__} with a {type(arguments).__name__}")
        try:
            return function(*arguments)
        except TypeError:
            raise _RefusedError(f"a call of {function.__name__} with {len(arguments)} arguments") from None


def _tensors(content: object) -> dict[str, _Tensor]:
    if type(content) is not dict:
        raise _RefusedError(f"a {type(content).__name__}")
    for name, value in content.items():
        if not isinstance(value, _Tensor) or not name.isprintable():
            raise _RefusedError(f"a {type(value).__name__} called {_short(repr(name))}")
    return content


def _zip_layout(file: _BoundedFile) -> tuple[dict[str, _Tensor], dict[str, int]]:
    """Return the tensors, and the byte at which each storage starts, of ROOT/data.pkl and ROOT/data/KEY."""
    members = _members(file)

    def content(name: str) -> bytes:
        start, size = members[name]
        file.seek(start)
        return file.read(size)

    if "byteorder" in members and content("byteorder") != b"little":
        raise _RefusedError("big-endian numbers")
    if "data.pkl" not in members:
        raise _RefusedError("an archive without data.pkl")
    machine, starts = _Machine(), {}
    tensors = _tensors(machine.run(io.BytesIO(content("data.pkl"))))
    for key, storage in machine.storages.items():
        starts[key], size = members.get(f"data/{key}", (0, 0))
        if size != storage.elements * storage.dtype.itemsize:
            raise _RefusedError(f"{size} bytes as storage {_short(key)!r} of {storage.elements} {storage.dtype}")
    return tensors, starts


def _members(file: _BoundedFile) -> dict[str, tuple[int, int]]:
    """Return where the content of each member starts and its size, by the name behind the one folder of the archive."""
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
    members, roots = {}, set()
    for info in infos:
        root, *inner = info.filename.split("/")
        roots.add(root)
        name, shown = "/".join(inner), _short(repr(info.filename))
        if not {"", ".", ".."}.isdisjoint((root, *inner, name)) or "\\" in name or name in members or len(roots) > 1:
            raise _RefusedError(f"the member {shown}, repeated or outside of the archive's folder")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise _RefusedError(f"the compressed or encrypted member {shown}")
        file.seek(info.header_offset)
        signature, *lengths = struct.unpack("<4s22xHH", file.read(30))
        start = info.header_offset + 30 + sum(lengths)
        if signature != b"PK\x03\x04" or start + info.file_size > file.size:
            raise _RefusedError(f"the member {shown} beyond the end of the file")
        members[name] = start, info.file_size
    return members


def _legacy_layout(file: _BoundedFile) -> tuple[dict[str, _Tensor], dict[str, int]]:
    """Return the tensors, and the byte at which each storage starts, of five pickles with the storages behind them."""
    file.seek(0)
    head, machine = io.BytesIO(file.read(MOST_BYTES)), _Machine()
    if machine.run(head) != LEGACY_MAGIC or machine.run(head) != LEGACY_PROTOCOL:
        raise _RefusedError("neither a zip archive nor the magic number of the legacy layout")
    match machine.run(head):
        case {"little_endian": True}:
            tensors, keys = _tensors(machine.run(head)), machine.run(head)
        case _:
            raise _RefusedError("big-endian numbers")
    known = type(keys) is list and all(type(key) is str for key in keys)
    if not known or len(keys) != len(machine.storages) or set(keys) != set(machine.storages):
        raise _RefusedError("a list of storages other than those of its tensors")
    starts, place = {}, head.tell()
    for key in keys:
        storage = machine.storages[key]
        file.seek(place)
        (elements,) = struct.unpack("<q", file.read(8))
        starts[key] = place + 8
        place += 8 + storage.elements * storage.dtype.itemsize
        if elements != storage.elements or place > file.size:
            raise _RefusedError(f"storage {_short(key)!r} of {storage.elements} elements, cut off or of another size")
    return tensors, starts
