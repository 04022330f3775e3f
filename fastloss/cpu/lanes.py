"""Eight float64 numbers in vector registers, for the inner loops of the linear model.

LLVM does not keep the partial sums of ``X.T @ s`` in registers by itself: written as loops they
are loaded and stored at every row, 13 ns a row of 32 columns against 2 here. A ``Lanes`` value is
one AVX-512 register, two of AVX2, four of NEON; the order of its additions is fixed, so results do
not depend on which. float32 elements are widened as they are loaded.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

WIDTH = 8
FLOAT64 = ir.DoubleType()
VECTOR = ir.VectorType(FLOAT64, WIDTH)


class Lanes(types.Type):  # type: ignore[misc]
    """The type of eight float64 numbers."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


LANES = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, VECTOR)


@intrinsic
def zeros(typingctx):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Give eight zeros."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        return ir.Constant(VECTOR, None)

    return LANES(), build


@intrinsic
def load(typingctx, array, row, column, ahead):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Load ``array[row, column : column + 8]`` of a matrix whose rows are runs, unchecked.

    What lies ``ahead`` elements further on, unless that is None, is brought to the second-level
    cache meanwhile. It may lie beyond the array's end.
    """
    brings = not isinstance(ahead, types.NoneType)

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        matrix_type = signature.args[0]
        matrix = context.make_array(matrix_type)(context, builder, arguments[0])
        pitch = builder.sdiv(builder.extract_value(matrix.strides, 0), matrix.itemsize)
        start = builder.add(builder.mul(arguments[1], pitch), arguments[2])
        if brings:
            number = ir.IntType(32)
            byte = ir.IntType(8).as_pointer()
            kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
            module = builder.module
            prefetch = cgutils.get_or_insert_function(module, kind, "llvm.prefetch.p0i8")
            place = builder.gep(matrix.data, [builder.add(start, arguments[3])])
            read, second_level, data = (ir.Constant(number, n) for n in (0, 2, 1))
            builder.call(prefetch, [builder.bitcast(place, byte), read, second_level, data])
        return _load(context, builder, matrix_type, matrix.data, start)

    return LANES(
        array,
        types.intp,
        types.intp,
        types.none if isinstance(ahead, types.NoneType) else types.intp,
    ), build


@intrinsic
def load_vector(typingctx, array, start):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Load ``array[start : start + 8]`` of a contiguous vector, unchecked."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        array_type = signature.args[0]
        vector = context.make_array(array_type)(context, builder, arguments[0])
        return _load(context, builder, array_type, vector.data, arguments[1])

    return LANES(array, types.intp), build


def _load(context: Any, builder: Any, array_type: Any, data: Any, start: Any) -> Any:
    element = context.get_value_type(array_type.dtype)
    vector = ir.VectorType(element, WIDTH)
    pointer = builder.bitcast(builder.gep(data, [start]), vector.as_pointer())
    loaded = builder.load(pointer, align=context.get_abi_sizeof(element))
    return loaded if element == FLOAT64 else builder.fpext(loaded, VECTOR)


@intrinsic
def drop(typingctx, lanes, count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Make the first ``count`` lanes zero, whatever they hold."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        lanes, count = arguments
        index = ir.VectorType(count.type, WIDTH)
        numbers = ir.Constant(index, [ir.Constant(count.type, k) for k in range(WIDTH)])
        keep = builder.icmp_signed(">=", numbers, _spread(builder, count, index))
        return builder.select(keep, lanes, ir.Constant(VECTOR, None))

    return LANES(LANES, types.intp), build


@intrinsic
def multiply_add(typingctx, sums, a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Give ``sums + a * b``, where ``b`` is lanes or one number for all of them."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        sums, a, b = arguments
        if signature.args[2] is not LANES:
            b = _spread(builder, b, VECTOR)
        product = builder.fmul(a, b, flags=("contract",))
        return builder.fadd(sums, product, flags=("contract",))

    return LANES(LANES, LANES, LANES if b is LANES else types.float64), build


@intrinsic
def add(typingctx, a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Add two."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        return builder.fadd(*arguments)

    return LANES(LANES, LANES), build


@intrinsic
def total(typingctx, lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Add up the eight, by halves."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        lanes, width = arguments[0], WIDTH
        while width > 1:
            width //= 2
            low, high = (_pick(builder, lanes, range(k, k + width)) for k in (0, width))
            lanes = builder.fadd(low, high)
        return builder.extract_element(lanes, ir.Constant(ir.IntType(32), 0))

    return types.float64(LANES), build


@intrinsic
def store(typingctx, array, start, lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Do ``array[start : start + 8] = lanes`` for a contiguous float64 vector, unchecked."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        array_type = signature.args[0]
        vector = context.make_array(array_type)(context, builder, arguments[0])
        pointer = builder.gep(vector.data, [arguments[1]])
        builder.store(arguments[2], builder.bitcast(pointer, VECTOR.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, LANES), build


@intrinsic
def add_to(typingctx, array, start, lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Do ``array[start : start + 8] += lanes`` for a contiguous float64 vector, unchecked."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        array_type = signature.args[0]
        vector = context.make_array(array_type)(context, builder, arguments[0])
        pointer = builder.gep(vector.data, [arguments[1]])
        pointer = builder.bitcast(pointer, VECTOR.as_pointer())
        builder.store(builder.fadd(builder.load(pointer, align=8), arguments[2]), pointer, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, LANES), build


def _spread(builder: Any, scalar: Any, vector: Any) -> Any:
    first = builder.insert_element(
        ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    return _pick(builder, first, [0] * WIDTH)


def _pick(builder: Any, lanes: Any, indices: Any) -> Any:
    kinds = ir.VectorType(ir.IntType(32), len(indices))
    return builder.shuffle_vector(
        lanes,
        ir.Constant(lanes.type, ir.Undefined),
        ir.Constant(kinds, [ir.Constant(ir.IntType(32), i) for i in indices]),
    )
