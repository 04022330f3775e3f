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

from fastloss.cpu.prefetch import bring_line

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
def load(typingctx, array, row, column, near, far):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Load ``array[row, column : column + 8]`` of a matrix whose rows are runs, unchecked.

    It is an array, or the pair that ``apart.py`` tells of.

    What lies ``near`` and ``far`` elements further on, unless that is None, is brought to the
    second-level cache meanwhile. It may lie beyond the array's end.
    """
    given = [k for k, on in ((3, near), (4, far)) if not isinstance(on, types.NoneType)]

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        matrix_type = signature.args[0]
        place = _place(context, builder, matrix_type, *arguments[:3])
        for k in given:
            bring_line(builder, builder.gep(place, [arguments[k]]))
        return _load(context, builder, _of_elements(matrix_type), place)

    kinds = (types.intp if k in given else types.none for k in (3, 4))
    return LANES(array, types.intp, types.intp, *kinds), build


@intrinsic
def load_vector(typingctx, array, start):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Load ``array[start : start + 8]`` of a contiguous vector, unchecked."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        array_type = signature.args[0]
        vector = context.make_array(array_type)(context, builder, arguments[0])
        place = builder.gep(vector.data, [arguments[1]])
        return _load(context, builder, array_type, place)

    return LANES(array, types.intp), build


@intrinsic
def entry(typingctx, array, row, column):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Give ``array[row, column]`` of such a matrix, in float64, unchecked."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        matrix_type = signature.args[0]
        place = _place(context, builder, matrix_type, *arguments)
        element = context.get_value_type(_of_elements(matrix_type).dtype)
        loaded = builder.load(place, align=1)
        return loaded if element == FLOAT64 else builder.fpext(loaded, FLOAT64)

    return types.float64(array, types.intp, types.intp), build


def _of_elements(matrix_type: Any) -> Any:
    """Give the type of an array of a matrix's elements."""
    return matrix_type[1] if isinstance(matrix_type, types.BaseTuple) else matrix_type


def _place(context: Any, builder: Any, matrix_type: Any, array: Any, row: Any, column: Any) -> Any:
    if isinstance(matrix_type, types.BaseTuple):
        element = context.get_value_type(matrix_type[1].dtype)
        places = builder.extract_value(array, 0)
        places = context.make_array(matrix_type[0])(context, builder, places)
        place = builder.load(builder.gep(places.data, [row]))
        # Or it would be loaded again after each store of a loop.
        place.set_metadata("invariant.load", builder.module.add_metadata([]))
        return builder.gep(builder.inttoptr(place, element.as_pointer()), [column])
    matrix = context.make_array(matrix_type)(context, builder, array)
    pitch = builder.sdiv(builder.extract_value(matrix.strides, 0), matrix.itemsize)
    return builder.gep(matrix.data, [builder.add(builder.mul(row, pitch), column)])


def _load(context: Any, builder: Any, array_type: Any, place: Any) -> Any:
    element = context.get_value_type(array_type.dtype)
    vector = ir.VectorType(element, WIDTH)
    pointer = builder.bitcast(place, vector.as_pointer())
    loaded = builder.load(pointer, align=1)
    return loaded if element == FLOAT64 else builder.fpext(loaded, VECTOR)


@intrinsic
def load_some(typingctx, array, row, column, count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Load ``array[row, column : column + count]``, fewer than eight, and zeros after them."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        matrix_type = signature.args[0]
        place = _place(context, builder, matrix_type, *arguments[:3])
        dtype = _of_elements(matrix_type).dtype
        return _load_some(context, builder, dtype, place, arguments[3])

    return LANES(array, types.intp, types.intp, types.intp), build


@intrinsic
def load_some_of_vector(typingctx, array, count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Load ``array[:count]`` of a contiguous vector, fewer than eight, and zeros after them."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        array_type = signature.args[0]
        vector = context.make_array(array_type)(context, builder, arguments[0])
        return _load_some(context, builder, array_type.dtype, vector.data, arguments[1])

    return LANES(array, types.intp), build


def _load_some(context: Any, builder: Any, dtype: Any, place: Any, count: Any) -> Any:
    element = context.get_value_type(dtype)
    vector = ir.VectorType(element, WIDTH)
    pointer, mask = vector.as_pointer(), ir.VectorType(ir.IntType(1), WIDTH)
    kind = ir.FunctionType(vector, [pointer, ir.IntType(32), mask, vector])
    bits = "f64" if element == FLOAT64 else "f32"
    name = f"llvm.masked.load.v{WIDTH}{bits}.p0v{WIDTH}{bits}"
    masked = cgutils.get_or_insert_function(builder.module, kind, name)
    align = ir.Constant(ir.IntType(32), 1)
    some = builder.icmp_signed("<", *_numbered(builder, count))
    where = builder.bitcast(place, pointer)
    loaded = builder.call(masked, [where, align, some, ir.Constant(vector, None)])
    return loaded if element == FLOAT64 else builder.fpext(loaded, VECTOR)


def _numbered(builder: Any, count: Any) -> tuple[Any, Any]:
    """Give 0 to 7, and a count eight times."""
    index = ir.VectorType(count.type, WIDTH)
    numbers = ir.Constant(index, [ir.Constant(count.type, k) for k in range(WIDTH)])
    return numbers, _spread(builder, count, index)


@intrinsic
def drop(typingctx, lanes, count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Make the first ``count`` lanes zero, whatever they hold."""
    return LANES(LANES, types.intp), _chosen(">=")


@intrinsic
def keep(typingctx, lanes, count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Make all but the first ``count`` lanes zero, whatever they hold."""
    return LANES(LANES, types.intp), _chosen("<")


def _chosen(comparison: str) -> Any:
    """Keep the lanes whose number compares so with a count."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes, count = arguments
        stay = builder.icmp_signed(comparison, *_numbered(builder, count))
        return builder.select(stay, lanes, ir.Constant(VECTOR, None))

    return build


@intrinsic
def spread(typingctx, number):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Give a number eight times."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        return _spread(builder, arguments[0], VECTOR)

    return LANES(types.float64), build


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
            lanes = _sum_of_halves(builder, lanes, width)
        return builder.extract_element(lanes, ir.Constant(ir.IntType(32), 0))

    return types.float64(LANES), build


@intrinsic
def add_totals(typingctx, array, start, a, b, c, d):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Add to ``array[start : start + 4]`` the totals of four, each as ``total`` gives it.

    Together they take 20 instructions, one by one 32.
    """

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        array_type = signature.args[0]
        vector = context.make_array(array_type)(context, builder, arguments[0])
        a, b, c, d = (_sum_of_halves(builder, lanes, 4) for lanes in arguments[2:])
        ab, cd = (_meet(builder, *pair, ((0, 1, 4, 5), (2, 3, 6, 7))) for pair in ((a, b), (c, d)))
        totals = _meet(builder, ab, cd, ((0, 2, 4, 6), (1, 3, 5, 7)))
        pointer = builder.gep(vector.data, [arguments[1]])
        pointer = builder.bitcast(pointer, totals.type.as_pointer())
        builder.store(builder.fadd(builder.load(pointer, align=8), totals), pointer, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, LANES, LANES, LANES, LANES), build


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


@intrinsic
def add_some_to(typingctx, array, count, lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Do ``array[:count] += lanes[:count]`` for a float64 vector, fewer than eight, unchecked."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        array_type = signature.args[0]
        vector = context.make_array(array_type)(context, builder, arguments[0])
        with cgutils.for_range(builder, arguments[1]) as loop:
            place = builder.gep(vector.data, [loop.index])
            term = builder.extract_element(arguments[2], loop.index)
            builder.store(builder.fadd(builder.load(place), term), place)
        return context.get_dummy_value()

    return types.void(array, types.intp, LANES), build


def _sum_of_halves(builder: Any, lanes: Any, width: int) -> Any:
    return builder.fadd(*(_pick(builder, lanes, range(k, k + width)) for k in (0, width)))


def _meet(builder: Any, a: Any, b: Any, places: Any) -> Any:
    """Add two choices of the numbers of ``a`` and ``b``."""
    return builder.fadd(*(_pick(builder, a, some, b) for some in places))


def _spread(builder: Any, scalar: Any, vector: Any) -> Any:
    first = builder.insert_element(
        ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    return _pick(builder, first, [0] * WIDTH)


def _pick(builder: Any, lanes: Any, indices: Any, others: Any = None) -> Any:
    kinds = ir.VectorType(ir.IntType(32), len(indices))
    return builder.shuffle_vector(
        lanes,
        ir.Constant(lanes.type, ir.Undefined) if others is None else others,
        ir.Constant(kinds, [ir.Constant(ir.IntType(32), i) for i in indices]),
    )
