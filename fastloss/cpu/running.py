"""Running sums in vector registers, each with its rounding error beside it.

``PLACES`` numbers of float64 are one value of LLVM, which it keeps in as many registers as the
processor needs. Written as a loop over an array, the sums are loaded and stored with every tile: a
sum of 2**25 float32 takes 8.9 ms where it takes 8.4 so (memory is read in 7.8), and 15.2 where it
takes 13.0 on one thread.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

# Running sums, each of which takes every 32nd of the sums of four terms: with fewer, additions wait
# for each other.
PLACES = 32
# Terms that are added at once.
GROUP = 4 * PLACES
SUMS = ir.VectorType(ir.DoubleType(), PLACES)
# LLVM may make one operation of a multiplication and an addition. Without it, a weighted mean of
# float32 runs at 0.85 of the speed of reading, 0.92 with it.
FUSED = ("contract",)


class Running(types.Type):  # type: ignore[misc]
    """The type of all sums, or of all errors."""

    def __init__(self) -> None:
        super().__init__(name="Running")


RUNNING = Running()
PAIR = types.UniTuple(RUNNING, 2)


@register_model(Running)
class _RunningModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, SUMS)


@intrinsic
def start(typingctx):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Give sums of 0 and their errors."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        zero = ir.Constant(SUMS, None)
        return context.make_tuple(builder, PAIR, (zero, zero))

    return PAIR(), build


@intrinsic
def add_group(typingctx, running, terms, first):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Add ``terms[first : first + GROUP]`` onto the running sums, unchecked."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        running, terms, first = arguments
        quarters = _quarters(context, builder, signature.args[1], terms, first)
        return _onto(context, builder, running, _added(builder, quarters))

    return PAIR(PAIR, terms, types.intp), build


@intrinsic
def add_weighted(typingctx, running, beside, terms, weights, first):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Add the products of such elements of float32, and the weights to ``beside`` if not None.

    Products of these are exact in float64: fused with an addition or not, the bits are the same.
    Weights are converted once for both.
    """
    alone = isinstance(beside, types.NoneType)

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        running, beside, *vectors, first = arguments
        x, w = (
            _quarters(context, builder, kind, vector, first)
            for kind, vector in zip(signature.args[2:4], vectors, strict=True)
        )
        products = [builder.fmul(*pair, flags=FUSED) for pair in zip(x, w, strict=True)]
        sums = _onto(context, builder, running, _added(builder, products, FUSED))
        if not alone:
            beside = _onto(context, builder, beside, _added(builder, w))
        return context.make_tuple(builder, signature.return_type, (sums, beside))

    return types.Tuple((PAIR, beside))(PAIR, beside, terms, weights, types.intp), build


def _quarters(context: Any, builder: Any, kind: Any, vector: Any, first: Any) -> list[Any]:
    """Load a group of a vector in float64."""
    data = context.make_array(kind)(context, builder, vector).data
    element = context.get_value_type(kind.dtype)
    whole = ir.VectorType(element, PLACES)

    def quarter(k: int) -> Any:
        place = builder.add(first, ir.Constant(first.type, k * PLACES))
        pointer = builder.bitcast(builder.gep(data, [place]), whole.as_pointer())
        loaded = builder.load(pointer, align=context.get_abi_sizeof(element))
        return loaded if whole == SUMS else builder.fpext(loaded, SUMS)

    return [quarter(k) for k in range(4)]


def _added(builder: Any, quarters: list[Any], flags: tuple[str, ...] = ()) -> Any:
    a, b, c, d = quarters
    halves = builder.fadd(a, b, flags=flags), builder.fadd(c, d, flags=flags)
    return builder.fadd(*halves, flags=flags)


def _onto(context: Any, builder: Any, running: Any, term: Any) -> Any:
    """Add a term to each running sum, and the rounding errors to theirs."""
    after, error = _two_sum(builder, builder.extract_value(running, 0), term)
    errors = builder.fadd(builder.extract_value(running, 1), error)
    return context.make_tuple(builder, PAIR, (after, errors))


@intrinsic
def combine(typingctx, running):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Reduce running sums and their errors to one of each, by halves."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        sums, errors = (builder.extract_value(arguments[0], k) for k in range(2))
        width = PLACES
        while width > 1:
            width //= 2
            low, high = _halves(builder, sums, width)
            sums, error = _two_sum(builder, low, high)
            low, high = _halves(builder, errors, width)
            errors = builder.fadd(low, builder.fadd(high, error))
        zero = ir.Constant(ir.IntType(32), 0)
        found = [builder.extract_element(lanes, zero) for lanes in (sums, errors)]
        return context.make_tuple(builder, signature.return_type, found)

    return types.UniTuple(types.float64, 2)(PAIR), build


def _two_sum(builder: Any, before: Any, term: Any) -> tuple[Any, Any]:
    """Add, and give the rounding error too, exactly (Knuth)."""
    after = builder.fadd(before, term)
    seen = builder.fsub(after, before)
    lost = builder.fsub(before, builder.fsub(after, seen))
    return after, builder.fadd(lost, builder.fsub(term, seen))


def _halves(builder: Any, lanes: Any, width: int) -> tuple[Any, Any]:
    low, high = (
        builder.shuffle_vector(
            lanes,
            ir.Constant(lanes.type, ir.Undefined),
            ir.Constant(ir.VectorType(ir.IntType(32), width), [first + k for k in range(width)]),
        )
        for first in (0, width)
    )
    return low, high
