"""Does a value from a config fit the type that a constructor's parameter is annotated with?

Only what a config can write is judged (numbers, strings, booleans, lists, mappings, null); a nested
``_target_`` node fits every annotation, and an annotation that cannot be read is not held against anyone.
A number must be finite, and in the range that its annotation names (:mod:`sciml.ranges`).
"""

from __future__ import annotations

import collections.abc
import inspect
import math
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from sciml.ranges import Range


def hints_of(constructor: Callable[..., Any]) -> dict[str, Any]:
    """Evaluated annotations of a constructor's parameters; those that cannot be evaluated are left out."""
    function = constructor.__init__ if inspect.isclass(constructor) else constructor
    scope = vars(sys.modules[function.__module__]) if getattr(function, "__module__", None) in sys.modules else {}
    found: dict[str, Any] = {}
    for name, hint in getattr(function, "__annotations__", {}).items():
        if isinstance(hint, str):
            try:
                hint = eval(hint, dict(scope))  # noqa: S307 - the annotation of an installed, trusted constructor
            except (NameError, AttributeError, TypeError, SyntaxError):
                continue
        found[name] = hint
    found.pop("return", None)
    return found


def kind_of(hint: Any) -> Any:
    """An annotation without the range that it may carry."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def fits(value: Any, hint: Any) -> bool:
    """Whether a config value is acceptable for an annotation."""
    origin, args = get_origin(hint), get_args(hint)
    if isinstance(value, Mapping) and "_target_" in value:
        return True
    if origin is Annotated:
        return fits(value, args[0]) and all(value in mark for mark in args[1:] if isinstance(mark, Range))
    if origin in (Union, types.UnionType):
        return any(fits(value, arg) for arg in args)
    if origin is Literal:
        return any(value == arg and type(value) is type(arg) for arg in args)
    if hint in (None, type(None)):
        return value is None
    if origin in (list, tuple, collections.abc.Sequence, collections.abc.Iterable) or hint in (list, tuple, Sequence):
        return isinstance(value, (list, tuple)) and _items_fit(value, origin, args)
    if origin is collections.abc.Callable:
        return False  # only a node with a _target_ makes one
    if origin in (dict, collections.abc.Mapping) or hint is dict:
        return isinstance(value, Mapping) and (len(args) < 2 or all(fits(v, args[1]) for v in value.values()))
    return _scalar_fits(value, hint)


def _items_fit(value: Sequence[Any], origin: Any, args: tuple[Any, ...]) -> bool:
    if not args:
        return True
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        return len(value) == len(args) and all(fits(v, a) for v, a in zip(value, args, strict=True))
    return all(fits(v, args[0]) for v in value)


def _scalar_fits(value: Any, hint: Any) -> bool:
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if hint is str:
        return isinstance(value, str)
    if inspect.isclass(hint):
        try:
            return isinstance(value, hint)  # an object is asked for, and what a config writes is seldom one
        except TypeError:
            return True  # a protocol or a TypedDict
    return True


def refusal(value: Any, hint: Any) -> str:
    """Why a value does not fit an annotation, for messages."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not finite"
    return f"{value!r} is not {describe(hint)}"


def describe(hint: Any) -> str:
    """An annotation in words, for messages."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return " ".join([describe(args[0]), *(str(mark) for mark in args[1:] if isinstance(mark, Range))])
    if origin is Literal:
        return _one_of(args)
    if origin in (Union, types.UnionType):
        literals = [value for arg in args if get_origin(arg) is Literal for value in get_args(arg)]
        others = [describe(arg) for arg in args if get_origin(arg) is not Literal]
        return " or ".join(dict.fromkeys([*([_one_of(literals)] if literals else []), *others]))
    if origin in (list, collections.abc.Sequence, collections.abc.Iterable) and args:
        return f"a list, each item {describe(args[0])}"
    if origin is tuple:
        items = args[:-1] if args[-1] is Ellipsis else args
        each = " or ".join(dict.fromkeys(map(describe, items)))
        return f"a list, each item {each}" if args[-1] is Ellipsis else f"a list of {len(items)}, each item {each}"
    if origin is collections.abc.Callable:
        return "a node with a _target_"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    words |= {
        list: "a list",
        tuple: "a list",
        dict: "a group of settings",
        collections.abc.Mapping: "a group of settings",
    }
    words[Any] = "anything"
    if hint in words or origin in words:
        return words.get(hint) or words[origin]
    name = getattr(hint, "__name__", str(hint)).replace("typing.", "")
    return f"a node with a _target_ ({name})" if inspect.isclass(hint) else name


def _one_of(values: Sequence[Any]) -> str:
    return "one of " + ", ".join(dict.fromkeys(map(str, values)))
