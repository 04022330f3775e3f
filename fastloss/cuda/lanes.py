"""Several elements in 16 bytes: loaded, stored and computed with together.

A tuple of lanes holds neighbouring elements in the precision of the arithmetic; float16 is widened
to float32 in registers. Numba makes 128-bit loads neither from records nor from plain indexing,
so these are intrinsics. The simulator has its own in ``plain_lanes.py``.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.types.containers import UniTuple
from numba.cuda.extending import intrinsic

from fastloss.cuda.jit import VECTOR_BYTES

# How 16 bytes cross the bus: eight halves by themselves would go as two times four.
_BITS = ir.VectorType(ir.IntType(32), 4)
_INTRINSIC = {types.float32: ("f", ir.FloatType()), types.float64: ("d", ir.DoubleType())}


def _assembly(builder: Any, code: str, constraints: str, result: Any, *arguments: Any) -> Any:
    kind = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(ir.InlineAsm(kind, code, constraints), arguments)


@intrinsic
def reciprocal(typingctx, x):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Give about 1 / x: to 1 ulp in float32, to 20 bits in float64."""
    if x not in _INTRINSIC:
        return None
    letter, kind = _INTRINSIC[x]
    name = "rcp.approx.f32" if letter == "f" else "rcp.approx.ftz.f64"

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _assembly(builder, f"{name} $0, $1;", f"={letter},{letter}", kind, *arguments)

    return x(x), generate


@intrinsic
def multiply_add(typingctx, a, b, c):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Give ``a * b + c``, rounded once."""
    if a not in _INTRINSIC:
        return None
    letter, kind = _INTRINSIC[a]
    name = f"fma.rn.f{a.bitwidth}"

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        constraints = f"={letter},{letter},{letter},{letter}"
        return _assembly(builder, f"{name} $0, $1, $2, $3;", constraints, kind, *arguments)

    return a(a, a, a), generate


@intrinsic
def plus(typingctx, a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Give ``a + b`` as it stands: no product that was made before is fused into it.

    The compiler fuses one of two products where it likes, which need not be the same one for each
    GPU and beside each gradient.
    """
    if a not in _INTRINSIC:
        return None
    letter, kind = _INTRINSIC[a]
    code = f"add.rn.f{a.bitwidth} $0, $1, $2;"

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _assembly(builder, code, f"={letter},{letter},{letter}", kind, *arguments)

    return a(a, a), generate


def lanes_of(dtype: Any) -> int:
    """Count the elements of a dtype in 16 bytes."""
    return int(VECTOR_BYTES * 8 // dtype.bitwidth)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, i: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [i]), _BITS.as_pointer())


def _index(k: int) -> Any:
    return ir.Constant(ir.IntType(32), k)


def _halves(builder: Any, bits: Any) -> list[Any]:
    """Take eight halves from four words: as a vector of halves they would be loaded in two."""
    found: list[Any] = []
    for k in range(4):
        word = builder.extract_element(bits, _index(k))
        parts = word, builder.lshr(word, _index(16))
        found.extend(builder.trunc(part, ir.IntType(16)) for part in parts)
    return found


def _widened(builder: Any, x: Any) -> Any:
    return _assembly(builder, "cvt.f32.f16 $0, $1;", "=f,h", ir.FloatType(), x)


def _packed(builder: Any, lanes: list[Any]) -> list[Any]:
    """Round eight lanes to halves, two to a word."""
    code = "cvt.rn.f16.f32 $0, $1;"
    halves = [_assembly(builder, code, "=h,f", ir.IntType(16), x) for x in lanes]
    words = [builder.zext(x, ir.IntType(32)) for x in halves]
    return [
        builder.or_(low, builder.shl(high, _index(16)))
        for low, high in zip(words[::2], words[1::2], strict=True)
    ]


@intrinsic
def load(typingctx, array, i):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Load the lanes that start at element i, whose address is a multiple of 16 bytes."""
    if not isinstance(array, types.Array):
        return None
    dtype = array.dtype
    half = dtype == types.float16
    count = lanes_of(dtype)
    lane = types.float32 if half else dtype

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, array, *arguments)
        bits = builder.load(pointer, align=VECTOR_BYTES)
        if half:
            lanes = [_widened(builder, x) for x in _halves(builder, bits)]
        else:
            vector = builder.bitcast(bits, ir.VectorType(_INTRINSIC[dtype][1], count))
            lanes = [builder.extract_element(vector, _index(k)) for k in range(count)]
        return context.make_tuple(builder, signature.return_type, lanes)

    return UniTuple(lane, count)(array, types.int64), generate


@intrinsic
def store(typingctx, array, i, lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Store lanes from element i on, whose address is a multiple of 16 bytes.

    A formula may give numbers of another type than its residual's: they are converted.
    """
    if not isinstance(array, types.Array):
        return None
    dtype = array.dtype
    half = dtype == types.float16
    lane = types.float32 if half else dtype

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, index, values = arguments
        pointer = _pointer(context, builder, array, base, index)
        elements = [
            context.cast(builder, builder.extract_value(values, k), kind, lane)
            for k, kind in enumerate(lanes)
        ]
        if half:
            elements = _packed(builder, elements)
        vector = ir.Constant(ir.VectorType(elements[0].type, len(elements)), ir.Undefined)
        for k, x in enumerate(elements):
            vector = builder.insert_element(vector, x, _index(k))
        builder.store(builder.bitcast(vector, _BITS), pointer, align=VECTOR_BYTES)
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), generate
