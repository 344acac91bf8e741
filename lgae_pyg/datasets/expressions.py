"""Formulas over columns, as data cards hold them: arithmetic and a fixed list of functions, nothing else."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lgae_pyg.registry import suggestion

#: Longest formula that is read.
LONGEST = 4000

_OPERATORS: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}

_NUMPY = """abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin ceil clip cos
cosh deg2rad divide equal exp expm1 fabs float_power floor fmod greater greater_equal hypot isfinite
isinf isnan less less_equal log log10 log1p log2 logical_and logical_not logical_or logical_xor max
maximum min minimum mod multiply nan_to_num negative not_equal ones_like power rad2deg reciprocal
remainder rint round sign sin sinh sqrt square stack subtract sum tan tanh trunc where zeros_like""".split()
_AWKWARD = """all any argmax argmin argsort concatenate count count_nonzero fill_none firsts flatten full_like
local_index max mean min nan_to_num num ones_like prod sort sum to_numpy where zeros_like""".split()
_MATH = "acos asin atan atan2 ceil cos cosh exp fabs floor hypot log log10 pow sin sinh sqrt tan tanh".split()
_CONSTANTS = ("pi", "e", "inf", "nan")
_LIBRARIES = {"np": _NUMPY, "numpy": _NUMPY, "ak": _AWKWARD, "awkward": _AWKWARD, "math": _MATH}


class ExpressionError(ValueError):
    """A formula that is not understood; the message shows it, names the part, and says what is."""


def evaluate(text: str, columns: Mapping[str, Any]) -> Any:
    r"""The value of a formula of columns.

    A formula is made of names of columns, numbers, ``+ - * / // % **``, comparisons, ``& | ~`` for *and*, *or*,
    *not*, subscripts such as ``X[:, :, 0]``, and functions: of NumPy as ``np.log(pt)``, of awkward as
    ``ak.sum(pt, axis=1)``, of ``math``, and ``clip(x, low, high)``; :math:`\pi` is ``np.pi``. The text is parsed
    and walked; it is never run as Python, and nothing else can be reached by it.

    Args:
        text: the formula.
        columns: the columns by name; NumPy arrays, or awkward arrays for what has several values in each jet.

    Returns:
        An array of one of these kinds, or a number where the formula names no column.

    Raises:
        ExpressionError: for what is no such formula, and for a name that is no column; both are named.
    """
    try:
        with np.errstate(all="ignore"):  # what is not finite is found, and said, by the gate
            return _value(_parse(text), columns)
    except ExpressionError as error:
        raise ExpressionError(f"the formula '{_short(text)}': {error}") from None
    except (TypeError, ValueError, ArithmeticError, IndexError, MemoryError, RecursionError) as error:
        raise ExpressionError(f"the formula '{_short(text)}' cannot be computed: {error}") from error


def names_in(text: str) -> set[str]:
    """The names of the columns that a formula uses.

    Raises:
        ExpressionError: it is no formula.
    """
    try:
        tree = _parse(text)
    except ExpressionError as error:
        raise ExpressionError(f"the formula '{_short(text)}': {error}") from None
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}
    return names - set(_LIBRARIES)


def _short(text: str) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 80 else line[:77] + "..."


def _parse(text: str) -> ast.expr:
    if not isinstance(text, str) or not text.strip():
        raise ExpressionError("must be a text that is not empty")
    if len(text) > LONGEST:
        raise ExpressionError(f"has {len(text)} characters, more than {LONGEST}")
    try:
        return ast.parse(" ".join(text.split()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"is not understood ({getattr(error, 'msg', error)})") from None


def _value(node: ast.AST, columns: Mapping[str, Any]) -> Any:
    """The value of a node of the parsed formula."""
    match node:
        case ast.Constant(value=bool() | int() | float() as value):
            # Numbers of NumPy: those of Python grow without bounds in powers.
            return np.float64(value) if isinstance(value, float) else value if abs(value) < 2**31 else float(value)
        case ast.Name(id=name):
            return _column(name, columns)
        case ast.Attribute(value=ast.Name(id=library), attr=name) if library in _LIBRARIES:
            if name in _CONSTANTS:
                return getattr(math, name)
            raise ExpressionError(f"{library}.{name} is no number (there are {', '.join(_CONSTANTS)})")
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(operand, columns))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _binary(op, _value(left, columns), _value(right, columns))
        case ast.Compare(left=left, ops=ops, comparators=others):
            values = [_value(one, columns) for one in (left, *others)]
            results = [_OPERATORS[type(op)](*pair) for op, *pair in zip(ops, values, values[1:]) if _known(op)]
            return results[0] if len(results) == 1 else _all(results)
        case ast.Subscript(value=array, slice=index):
            return _value(array, columns)[_index(index)]
        case ast.List(elts=entries) | ast.Tuple(elts=entries):
            return [_value(entry, columns) for entry in entries]
        case ast.Call():
            return _call(node, columns)
        case ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
            raise ExpressionError("for whole columns write & | ~ and parentheses, not: and, or, not")
    raise ExpressionError(f"'{_short(ast.unparse(node))}' is not allowed in a formula")


def _known(op: ast.cmpop) -> bool:
    if type(op) not in _OPERATORS:
        raise ExpressionError(f"the comparison '{type(op).__name__}' is not allowed in a formula")
    return True


def _all(results: list) -> Any:
    together = results[0]
    for result in results[1:]:
        together = together & result
    return together


def _binary(op: ast.operator, left: Any, right: Any) -> Any:
    """The result of an operator; powers and products of mere numbers are taken with bounded numbers."""
    if isinstance(left, list) or isinstance(right, list):
        raise ExpressionError("lists stand in the arguments of functions only")
    if all(isinstance(one, int | float) for one in (left, right)) and isinstance(op, ast.Pow | ast.Mult):
        left = np.float64(left)
    return _OPERATORS[type(op)](left, right)


def _column(name: str, columns: Mapping[str, Any]) -> Any:
    if name in columns:
        return columns[name]
    if name in _LIBRARIES:
        raise ExpressionError(f"'{name}' stands alone: call one of its functions, as in {name}.log(x)")
    raise ExpressionError(f"there is no column '{name}'{suggestion(name, columns)}")


def _index(node: ast.AST) -> Any:
    """A subscript: whole numbers, slices and their tuples."""
    match node:
        case ast.Tuple(elts=entries):
            return tuple(_index(entry) for entry in entries)
        case ast.Slice(lower=lower, upper=upper, step=step):
            return slice(*(None if part is None else _index(part) for part in (lower, upper, step)))
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return value
        case ast.Constant(value=value) if value is Ellipsis:
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
            return -value
    raise ExpressionError(f"'{_short(ast.unparse(node))}' is no subscript: write whole numbers and slices")


def _call(node: ast.Call, columns: Mapping[str, Any]) -> Any:
    function = _function(node.func)
    arguments = [_value(argument, columns) for argument in node.args]
    options = {}
    for option in node.keywords:
        if option.arg not in ("axis", "keepdims"):
            raise ExpressionError(f"functions take the options axis and keepdims, not '{option.arg}'")
        given = option.value
        options[option.arg] = given.value if isinstance(given, ast.Constant) else _index(given)
    return function(*arguments, **options)


def _function(node: ast.AST) -> Callable:
    match node:
        case ast.Attribute(value=ast.Name(id=library), attr=name) if library in _LIBRARIES:
            known = _LIBRARIES[library]
            if name not in known:
                where = f"{library} has no function '{name}' in formulas"
                raise ExpressionError(f"{where}{suggestion(name, known)} (there are {', '.join(known)})")
            if library == "math":
                return getattr(math, name)
            if library in ("ak", "awkward"):
                import awkward

                return getattr(awkward, name)
            return _clip if name == "clip" else getattr(np, name)
        case ast.Name(id="clip" | "_clip"):
            return _clip
        case ast.Name(id="_stack" | "_concat" as name):  # as weaver calls them
            import awkward

            return awkward.concatenate if name == "_concat" else np.stack
        case ast.Name(id="abs" | "min" | "max" as name):
            return {"abs": np.abs, "min": np.minimum, "max": np.maximum}[name]
    raise ExpressionError(f"there is no function '{_short(ast.unparse(node))}': write np.NAME, ak.NAME or clip")


def _clip(values: Any, low: Any, high: Any) -> Any:
    """Values between two bounds; unlike NumPy's, of awkward arrays too."""
    return np.minimum(np.maximum(values, low), high)
