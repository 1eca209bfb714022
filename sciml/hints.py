"""Does a value from a config fit the type that a constructor's parameter is annotated with?

Only what a config can write is judged (numbers, strings, booleans, lists, mappings, null); a nested
``_target_`` node fits every annotation, and an annotation that cannot be read is not held against anyone.
"""

from __future__ import annotations

import collections.abc
import inspect
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin


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


def fits(value: Any, hint: Any) -> bool:
    """Whether a config value is acceptable for an annotation."""
    origin, args = get_origin(hint), get_args(hint)
    if isinstance(value, Mapping) and "_target_" in value:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, arg) for arg in args)
    if origin is Literal:
        return any(value == arg and type(value) is type(arg) for arg in args)
    if hint in (None, type(None)):
        return value is None
    if origin in (list, tuple, collections.abc.Sequence, collections.abc.Iterable) or hint in (list, tuple, Sequence):
        return isinstance(value, (list, tuple)) and _items_fit(value, origin, args)
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
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str)
    if inspect.isclass(hint) and hint is not object and isinstance(value, (int, float, str)):
        return isinstance(value, hint)  # a class is asked for; a bare number or word is not one
    return True


def describe(hint: Any) -> str:
    """An annotation in words, for messages."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(describe(arg) for arg in get_args(hint))
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    return words.get(hint) or getattr(hint, "__name__", str(hint)).replace("typing.", "")
