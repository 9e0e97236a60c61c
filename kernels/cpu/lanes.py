"""SIMD words for numba: 64 comparisons as the bits of one integer.

LLVM's vector types say what plain loops cannot, and LLVM cuts them to the registers it finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

LANES = 64
"""Rows of a tile."""

TERMS = 17
"""Products of a bound."""

PAIR = 2
"""Vectors multiplied with a tile at a time: each load of the tile serves both."""

CHAINS = 8
"""Chains of products in a score, each of as many."""

WORD = ir.IntType(64)
VECTOR = ir.VectorType(ir.FloatType(), LANES)

Typed = tuple[Any, Callable[..., Any]]


def _reach(_: Any, tile: Any, vectors: Any, limits: Any, words: Any) -> Typed:
    """Set bit j of words[i] where tile[:, j] . vectors[i] >= limits[i]; NaN never reaches.

    Takes float32[TERMS, LANES], float32[PAIR, TERMS], float32[PAIR] and int64[PAIR], contiguous.
    """
    return types.void(tile, vectors, limits, words), _emit_reach


def _emit_reach(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    tile, vectors, limits, words = (
        context.make_array(kind)(context, builder, value).data
        for kind, value in zip(signature.args, arguments, strict=True)
    )
    multiply_add = _multiply_add(builder, VECTOR)
    sums = [ir.Constant(VECTOR, [0.0] * LANES)] * PAIR
    for term in range(TERMS):
        row = builder.bitcast(_at(builder, tile, term * LANES), VECTOR.as_pointer())
        lanes = builder.load(row, align=4)
        for i in range(PAIR):
            factor = _spread(builder, _at(builder, vectors, i * TERMS + term))
            sums[i] = builder.call(multiply_add, [lanes, factor, sums[i]])
    for i in range(PAIR):
        reached = builder.fcmp_ordered(">=", sums[i], _spread(builder, _at(builder, limits, i)))
        builder.store(builder.bitcast(reached, WORD), _at(builder, words, i))
    return context.get_dummy_value()


def _at(builder: Any, pointer: Any, offset: int) -> Any:
    return builder.gep(pointer, [ir.Constant(WORD, offset)])


def _spread(builder: Any, pointer: Any) -> Any:
    """Load a number into every lane."""
    none, lane = ir.Constant(VECTOR, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(none, builder.load(pointer), ir.Constant(lane, 0))
    same = ir.Constant(ir.VectorType(lane, LANES), [0] * LANES)
    return builder.shuffle_vector(first, none, same)


def _chained(_: Any, a: Any, b: Any) -> Typed:
    """Return the product of two woven vectors: eight chains of fused products, summed in order.

    Takes float32[64] twice, contiguous; chain c adds its products d at 8 d + c.
    """
    return types.float32(a, b), _emit_chained


def _emit_chained(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    lanes = ir.VectorType(ir.FloatType(), CHAINS)
    a, b = (
        builder.bitcast(context.make_array(kind)(context, builder, value).data, lanes.as_pointer())
        for kind, value in zip(signature.args, arguments, strict=True)
    )
    order = (1, 0, *range(2, CHAINS))  # what contraction makes of a0 b0 + a1 b1 + ...
    pairs = [[builder.load(_at(builder, p, d), align=4) for p in (a, b)] for d in order]
    sums = builder.fmul(*pairs[0])
    for pair in pairs[1:]:
        sums = builder.call(_multiply_add(builder, lanes), [*pair, sums])
    name, number = f"llvm.vector.reduce.fadd.v{CHAINS}f32", ir.FloatType()
    add = _declare(builder, name, number, [number, lanes])
    return builder.call(add, [ir.Constant(number, 0.0), sums])


def _multiply_add(builder: Any, lanes: Any) -> Any:
    return _declare(builder, f"llvm.fmuladd.v{lanes.count}f32", lanes, [lanes] * 3)


def _declare(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(result, arguments)
    return get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]


def _lowest(_: Any, word: Any) -> Typed:
    """Return the place of the lowest bit that is set."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), emit


reach: Any = intrinsic(_reach)
chained: Any = intrinsic(_chained)
lowest: Any = intrinsic(_lowest)
