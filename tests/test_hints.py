"""Which values of a config fit which annotation, and how an annotation is put in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Optional, Protocol, TypedDict

import pytest
from torch import Tensor, nn

from sciml.hints import describe, fits, hints_of, kind_of, refusal
from sciml.ranges import Count, Fraction, Momentum, Natural, NonNegative, Positive, Range

NODE = {"_target_": "torch.nn.Tanh"}


class Speaks(Protocol):
    def speak(self) -> str: ...


class Fields(TypedDict):
    a: int


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [0, -3], [True, 1.5, "1", None, [1], {"a": 1}]),
        (float, [0, -1.5], [False, "1.5", None, [1.0], float("inf"), float("nan")]),
        (Count, [1, 3], [0, -1, 1.0, True]),
        (Natural | None, [0, None], [-1, 0.0]),
        (Positive, [1e-9, 1], [0, 0.0, -1.0, float("inf"), float("nan"), "1"]),
        (NonNegative, [0, 0.5], [-1e-9]),
        (Fraction, [0, 1, 0.5], [1.01, -0.01]),
        (Momentum, [0, 0.99], [1, 1.0, -0.1]),
        (Annotated[int, Range(below=True, high=3), "of no concern"], [2, -9], [3]),
        (Sequence[Count], [[], [1, 2]], [[1, 0], 1]),
        (Mapping[str, NonNegative], [{"a": 0}], [{"a": -1}]),
        (bool, [True, False], [0, 1, "true", None]),
        (str, ["", "a"], [1, None, ["a"]]),
        (None, [None], [0, ""]),
        (int | None, [None, 3], ["a", 1.5, True]),
        (Optional[str], ["a", None], [1]),  # noqa: UP045
        (Literal["a", 1], ["a", 1], ["b", True, 1.0, None]),
        (list[int], [[], [1, 2]], [1, "ab", [1.5], None, {"a": 1}]),
        (Sequence[float], [[1, 2.5]], ["ab", [None]]),
        (Iterable[str], [["a"]], ["a", [1]]),
        (list, [[1, "a"]], [1, "ab"]),
        (tuple[int, str], [[1, "a"]], [[1], ["a", 1], [1, "a", 2]]),
        (tuple[float, ...], [[], [1.0, 2]], [["a"], 1.0]),
        (dict[str, float], [{}, {"a": 1}], [[], {"a": "b"}, None]),
        (dict, [{"a": [1]}], [[], 3]),
        (Mapping[str, int] | None, [{"a": 1}, None], [{"a": "b"}, 3]),
        (Tensor, [NODE], [1, "a", None, [1.0], {"a": 1}]),
        (nn.Module | None, [NODE, None], [1, "silu", {"a": 1}]),
        (Callable[[int], int], [NODE], [1, "f", None, {"a": 1}]),
        (Callable, [NODE], [1, None]),
        (Any, [1, None, "a", [1], {"a": 1}], []),
        (object, [1, None], []),
        (Speaks, [NODE, 1], []),
        (Fields, [{"a": 1}], []),
    ],
)
def test_fits(hint: Any, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not fits(value, hint)] == []
    assert [value for value in bad if fits(value, hint)] == []
    assert fits(NODE, hint)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "a whole number"),
        (Count, "a whole number of at least 1"),
        (Positive | None, "a number above 0 or null"),
        (Sequence[Fraction], "a list, each item a number of at least 0 and at most 1"),
        (Annotated[float, Range(high=2, below=True)], "a number below 2"),
        (float | None, "a number or null"),
        (bool, "true or false"),
        (Literal["a", "b"], "one of a, b"),
        (Literal["a"] | Literal["b", "a"] | None, "one of a, b or null"),
        (list[int], "a list, each item a whole number"),
        (Sequence[str] | None, "a list, each item text or null"),
        (tuple[float, float], "a list of 2, each item a number"),
        (tuple[int, str], "a list of 2, each item a whole number or text"),
        (tuple[int, ...], "a list, each item a whole number"),
        (list, "a list"),
        (dict[str, int], "a group of settings"),
        (Mapping[str, int], "a group of settings"),
        (Callable[[int], int], "a node with a _target_"),
        (nn.Module, "a node with a _target_ (Module)"),
        (nn.Module | None, "a node with a _target_ (Module) or null"),
        (Any, "anything"),
    ],
)
def test_describe(hint: Any, words: str) -> None:
    assert describe(hint) == words


@pytest.mark.parametrize(
    ("value", "hint", "words"),
    [
        (0, Count, "0 is not a whole number of at least 1"),
        ("a", Positive, "'a' is not a number above 0"),
        (float("nan"), float, "nan is not finite"),
        (float("-inf"), Positive, "-inf is not finite"),
    ],
)
def test_refusal(value: Any, hint: Any, words: str) -> None:
    assert refusal(value, hint) == words


def test_kind_of() -> None:
    assert [kind_of(hint) for hint in (Positive, Count, float, Count | None)] == [float, int, float, Count | None]


def test_hints_of() -> None:
    class Part:
        def __init__(self, a: int, *, b: Unknown, c: list[float] = ()) -> None:  # noqa: F821
            pass

    assert hints_of(Part) == {"a": int, "c": list[float]}

    def function(x: Tensor, y: Missing.Name = 1) -> int:  # noqa: F821
        return 0

    assert hints_of(function) == {"x": Tensor}
    assert hints_of(nn.Linear)["in_features"] is int
