"""SIMD words for numba: 64 comparisons as the bits of one integer, sums side by side.

LLVM's vector types say what plain loops cannot, and LLVM cuts them to the registers it finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.cgutils import alloca_once, for_range, get_or_insert_function
from numba.extending import intrinsic

LANES = 64
"""Rows of a tile."""

TERMS = 21
"""Products of a bound: odd, for a box has two sides to each direction."""

PAIR = 2
"""Vectors multiplied with a tile at a time: each load of the tile serves both."""

CHAINS = 8
"""Chains of products in a score, each of as many."""

COLUMNS = 8
"""Columns of a table that are summed side by side."""

WEIGHTS = 4
"""Weighted sums of each column that share its loads."""

WORD = ir.IntType(64)
VECTOR = ir.VectorType(ir.FloatType(), LANES)

Typed = tuple[Any, Callable[..., Any]]


def _reach(
    _: Any, tiles: Any, tile: Any, vectors: Any, limits: Any, who: Any, first: Any, words: Any
) -> Typed:
    """Set bit j of words[p] where tiles[tile, :, j] . vectors[who[p]] >= limits[who[p]].

    Serves p = first .. first + PAIR - 1; NaN never reaches. Takes float32[n, TERMS, LANES],
    float32[m, TERMS], float32[m] and two arrays of int64, all contiguous.
    """
    return types.void(tiles, types.int64, vectors, limits, who, types.int64, words), _emit_reach


def _emit_reach(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    tiles, tile, vectors, limits, who, first, words = _pointers(
        context, builder, signature, arguments
    )
    lanes_of = builder.gep(tiles, [builder.mul(tile, ir.Constant(WORD, TERMS * LANES))])
    who, words = (builder.gep(pointer, [first]) for pointer in (who, words))
    chosen = [builder.load(_at(builder, who, p)) for p in range(PAIR)]
    starts = [builder.mul(i, ir.Constant(WORD, TERMS)) for i in chosen]
    factors = [builder.gep(vectors, [start]) for start in starts]
    multiply_add = _multiply_add(builder, VECTOR)
    sums = [ir.Constant(VECTOR, [0.0] * LANES)] * PAIR
    for term in range(TERMS):
        row = builder.bitcast(_at(builder, lanes_of, term * LANES), VECTOR.as_pointer())
        lanes = builder.load(row, align=4)
        for p in range(PAIR):
            factor = _spread(builder, _at(builder, factors[p], term))
            sums[p] = builder.call(multiply_add, [lanes, factor, sums[p]])
    for p in range(PAIR):
        limit = _spread(builder, builder.gep(limits, [chosen[p]]))
        reached = builder.fcmp_ordered(">=", sums[p], limit)
        builder.store(builder.bitcast(reached, WORD), _at(builder, words, p))
    return context.get_dummy_value()


def _pointers(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """Replace arrays by pointers: a view of a row would count references, at each threads' cost."""
    return [
        context.make_array(kind)(context, builder, value).data
        if isinstance(kind, types.Array)
        else value
        for kind, value in zip(signature.args, arguments, strict=True)
    ]


def _at(builder: Any, pointer: Any, offset: int) -> Any:
    return builder.gep(pointer, [ir.Constant(WORD, offset)])


def _spread(builder: Any, pointer: Any, lanes: Any = VECTOR) -> Any:
    """Load a number into every lane."""
    none, lane = ir.Constant(lanes, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(none, builder.load(pointer), ir.Constant(lane, 0))
    same = ir.Constant(ir.VectorType(lane, lanes.count), [0] * lanes.count)
    return builder.shuffle_vector(first, none, same)


def _chained(_: Any, a: Any, i: Any, b: Any, j: Any) -> Typed:
    """Return the product of woven rows a[i], b[j]: eight chains of fused products, then their sum.

    Takes float32[n, 64] and float32[m, 64], contiguous; chain c adds its products d at 8 d + c.
    """
    return types.float32(a, types.int64, b, types.int64), _emit_chained


def _emit_chained(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    lanes = ir.VectorType(ir.FloatType(), CHAINS)
    a, i, b, j = _pointers(context, builder, signature, arguments)
    rows = [
        builder.bitcast(
            builder.gep(array, [builder.mul(row, ir.Constant(WORD, CHAINS * CHAINS))]),
            lanes.as_pointer(),
        )
        for array, row in ((a, i), (b, j))
    ]
    order = (1, 0, *range(2, CHAINS))  # what contraction makes of a0 b0 + a1 b1 + ...
    pairs = [[builder.load(_at(builder, p, d), align=4) for p in rows] for d in order]
    sums = builder.fmul(*pairs[0])
    for pair in pairs[1:]:
        sums = builder.call(_multiply_add(builder, lanes), [*pair, sums])
    name, number = f"llvm.vector.reduce.fadd.v{CHAINS}f32", ir.FloatType()
    add = _declare(builder, name, number, [number, lanes])
    return builder.call(add, [ir.Constant(number, 0.0), sums])


def _multiply_add(builder: Any, lanes: Any) -> Any:
    width = 32 if isinstance(lanes.element, ir.FloatType) else 64
    return _declare(builder, f"llvm.fmuladd.v{lanes.count}f{width}", lanes, [lanes] * 3)


def _declare(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(result, arguments)
    return get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]


def _weigh(_: Any, table: Any, block: Any, weights: Any, count: Any, sums: Any) -> Typed:
    """Set sums[block, v] to the sum of weights[v, i] table[block, i] over i < count, in that order.

    Takes float64[blocks, n, COLUMNS], float64[WEIGHTS, n] and float64[blocks, WEIGHTS, COLUMNS],
    all contiguous.
    """
    return types.void(table, types.int64, weights, types.int64, sums), _emit_weigh


def _emit_weigh(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    lanes = ir.VectorType(ir.DoubleType(), COLUMNS)
    whole = context.make_array(signature.args[2])(context, builder, arguments[2])
    n = builder.extract_value(whole.shape, 1)
    table, block, weights, count, sums = _pointers(context, builder, signature, arguments)
    columns, multiply_add = ir.Constant(WORD, COLUMNS), _multiply_add(builder, lanes)
    zero = ir.Constant(lanes, [0.0] * COLUMNS)
    totals = [alloca_once(builder, lanes) for _ in range(WEIGHTS)]  # type: ignore[no-untyped-call]
    for total in totals:
        builder.store(zero, total)
    with for_range(builder, count) as loop:
        at = builder.add(builder.mul(block, n), loop.index)
        row = builder.gep(table, [builder.mul(at, columns)])
        values = builder.load(builder.bitcast(row, lanes.as_pointer()), align=8)
        for v, total in enumerate(totals):
            place = builder.add(builder.mul(n, ir.Constant(WORD, v)), loop.index)
            factor = _spread(builder, builder.gep(weights, [place]), lanes)
            added = builder.call(multiply_add, [values, factor, builder.load(total)])
            builder.store(added, total)
    out = builder.gep(sums, [builder.mul(block, ir.Constant(WORD, WEIGHTS * COLUMNS))])
    for v, total in enumerate(totals):
        place = builder.bitcast(_at(builder, out, v * COLUMNS), lanes.as_pointer())
        builder.store(builder.load(total), place, align=8)
    return context.get_dummy_value()


def _lowest(_: Any, word: Any) -> Typed:
    """Return the place of the lowest bit that is set."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), emit


reach: Any = intrinsic(_reach)
chained: Any = intrinsic(_chained)
weigh: Any = intrinsic(_weigh)
lowest: Any = intrinsic(_lowest)
