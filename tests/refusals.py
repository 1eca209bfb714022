"""What a config may not give a constructor: its annotations say so, not the constructor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sciml.hints import fits, hints_of


def accepted(constructor: Callable[..., Any], **values: Any) -> dict[str, Any]:
    """Those of the values that a config may give the parameters of these names; none, if all are out of range."""
    hints = hints_of(constructor)
    return {name: value for name, value in values.items() if fits(value, hints[name])}
