"""The original's gallery, `face_db.pkl`: a pickle of {name: 128 numbers}, read without unpickling.

A pickle is a program for a stack machine, and two of its instructions call what it names. This reader knows just
the instructions that a dictionary of numpy arrays is made of. It never imports, looks up or calls anything: a
"call" makes a `Call`, a note of what was asked, which is then read as data. Any other pickle is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from faces.encoding import DIMENSIONS, Vector
from faces.errors import RollcallError

MAX_BYTES = 256 * 2**20


class NotAGallery(RollcallError):
    """The file is not a gallery of the original service."""

    code = "not_a_gallery"


@dataclass(frozen=True, slots=True)
class Name:
    """A global that the pickle names. It is never looked up."""

    module: str
    name: str


@dataclass(slots=True)
class Call:
    """A call that the pickle asks for, and the state it would set on the result. Nothing is ever called."""

    function: object
    arguments: tuple[Any, ...]
    state: object = None


@dataclass(slots=True)
class _Machine:
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


ARRAYS = frozenset({"numpy.core.multiarray", "numpy._core.multiarray"})
BUFFERS = frozenset({"numpy.core.numeric", "numpy._core.numeric"})
LARGEST = 10.0
"""The numbers of an encoding are well below this; `nan` is not either."""


def read(data: bytes) -> dict[str, Vector]:
    """The people of a `face_db.pkl` with their encodings, float32 of shape (128,); raises NotAGallery."""
    if len(data) > MAX_BYTES:
        raise NotAGallery(f"the file is larger than {MAX_BYTES // 2**20} MB")
    gallery = _interpret(data)
    if not isinstance(gallery, dict) or not all(isinstance(name, str) for name in gallery):
        raise _refused("it holds no dictionary of names")
    return {name: _array(value, name) for name, value in gallery.items()}


def _interpret(data: bytes) -> object:
    machine = _Machine()
    try:
        for opcode, argument, position in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.stack.pop()
            step = _STEPS.get(opcode.name)
            if step is None:
                raise _refused(f"instruction {opcode.name} at byte {position} has no place in a gallery")
            step(machine, argument)
    except (ValueError, IndexError, KeyError, TypeError, UnicodeError) as error:
        raise _refused("it is damaged") from error
    raise _refused("it breaks off")


def _array(value: object, name: str) -> Vector:
    """The vector that a noted call to numpy's array constructor describes."""
    shape, kind, raw = _described(value, name)
    if shape != (DIMENSIONS,) or not isinstance(raw, bytes | bytearray) or len(raw) != DIMENSIONS * 8:
        raise _refused(f"the entry of {name[:80]!r} is not {DIMENSIONS} numbers")
    vector = np.frombuffer(raw, _order(kind) + "f8")
    if not (np.abs(vector) <= LARGEST).all():
        raise _refused(f"the entry of {name[:80]!r} is no encoding")
    return vector.astype(np.float32)


def _described(value: object, name: str) -> tuple[object, object, object]:
    """Shape, dtype and bytes of a noted array: by `_reconstruct` and a state, or from protocol 5 by `_frombuffer`."""
    match value:
        case Call(Name(module, "_reconstruct"), _, (_, shape, kind, _, raw)) if module in ARRAYS:
            return shape, kind, raw
        case Call(Name(module, "_frombuffer"), (raw, kind, shape, _), None) if module in BUFFERS:
            return shape, kind, raw
    raise _refused(f"the entry of {name[:80]!r} is no array")


def _order(kind: object) -> str:
    """The byte order of a noted dtype, which must be a double."""
    if isinstance(kind, Call) and kind.function == Name("numpy", "dtype") and isinstance(kind.state, tuple):
        order = kind.state[1] if len(kind.state) > 1 else None
        if kind.arguments[:1] == ("f8",) and order in ("<", ">"):
            return str(order)
    raise _refused("its arrays are not of doubles")


def _refused(why: str) -> NotAGallery:
    return NotAGallery(
        f"this is no gallery of the original service: {why}",
        remedy="Give the file that its DB_PATH names (face_db.pkl). Nothing of this file was run.",
    )


def _push(machine: _Machine, argument: object) -> None:
    machine.stack.append(argument)


def _constant(make: Callable[[], object]) -> Callable[[_Machine, object], None]:
    return lambda machine, _: machine.stack.append(make())


def _dict(machine: _Machine, _: object) -> None:
    items = machine.pop_to_mark()
    machine.stack.append(dict(zip(items[::2], items[1::2], strict=True)))


def _mark(machine: _Machine, _: object) -> None:
    machine.marks.append(len(machine.stack))


def _tuple(size: int) -> Callable[[_Machine, object], None]:
    def step(machine: _Machine, _: object) -> None:
        items = [machine.stack.pop() for _ in range(size)]
        machine.stack.append(tuple(reversed(items)))

    return step


def _tuple_to_mark(machine: _Machine, _: object) -> None:
    machine.stack.append(tuple(machine.pop_to_mark()))


def _memoize(machine: _Machine, _: object) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _put(machine: _Machine, index: Any) -> None:
    machine.memo[index] = machine.stack[-1]


def _get(machine: _Machine, index: Any) -> None:
    machine.stack.append(machine.memo[index])


def _global(machine: _Machine, argument: Any) -> None:
    module, name = argument.split(" ", 1)
    machine.stack.append(Name(module, name))


def _stack_global(machine: _Machine, _: object) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(Name(str(module), str(name)))


def _reduce(machine: _Machine, _: object) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    if function == Name("_codecs", "encode") and arguments[1:] == ("latin1",):
        # How protocols 0 to 2 write bytes: text whose characters are the bytes.
        machine.stack.append(str(arguments[0]).encode("latin1"))
        return
    machine.stack.append(Call(function, tuple(arguments)))


def _build(machine: _Machine, _: object) -> None:
    state = machine.stack.pop()
    call = machine.stack[-1]
    if not isinstance(call, Call):
        raise TypeError("state for something that is no call")
    call.state = state


def _set_item(machine: _Machine, _: object) -> None:
    value, name = machine.stack.pop(), machine.stack.pop()
    machine.stack[-1][name] = value


def _set_items(machine: _Machine, _: object) -> None:
    items = machine.pop_to_mark()
    machine.stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _nothing(machine: _Machine, argument: object) -> None:
    """An instruction that says only how the pickle is written."""


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), _nothing),
    **dict.fromkeys(
        (
            *(
                "UNICODE",
                "BINUNICODE",
                "SHORT_BINUNICODE",
                "BINUNICODE8",
                "BINBYTES",
                "SHORT_BINBYTES",
                "BINBYTES8",
                "BYTEARRAY8",
            ),
            *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "BINFLOAT"),
        ),
        _push,
    ),
    "NONE": _constant(lambda: None),
    "NEWTRUE": _constant(lambda: True),
    "NEWFALSE": _constant(lambda: False),
    "DICT": _dict,
    "EMPTY_DICT": _constant(dict),
    "EMPTY_TUPLE": _constant(tuple),
    "MARK": _mark,
    "TUPLE": _tuple_to_mark,
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "MEMOIZE": _memoize,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _get),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "BUILD": _build,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
}
