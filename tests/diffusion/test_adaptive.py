from __future__ import annotations

import math

import pytest
import torch

from sciml.diffusion import adaptive
from sciml.diffusion.adaptive import METHODS, State, check, integrate
from sciml.errors import ConfigError, RunError, UsageError


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("begin", "end"), [(0.0, 1.0), (1.0, 0.0)])
def test_the_error_follows_the_tolerance_and_nothing_is_evaluated_beyond_the_end(
    method: str, begin: float, end: float
) -> None:
    def slope(t: float, state: State) -> State:
        assert 0 <= t <= 1
        x, _ = state
        return (-2 * x, x.sum(1))

    x = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64)
    found, total = integrate(
        slope, (x, torch.zeros(2, dtype=torch.float64)), begin, end, method=method, rtol=1e-6, atol=1e-6
    )
    factor = math.exp(-2 * (end - begin))
    torch.testing.assert_close(found, factor * x, rtol=1e-3, atol=0)
    torch.testing.assert_close(total, (1 - factor) / 2 * x.sum(1), rtol=1e-3, atol=1e-5)


def test_what_cannot_be_integrated_is_an_error_in_one_line() -> None:
    x = (torch.ones(3, dtype=torch.float64),)
    with pytest.raises(RunError, match="could not be integrated: underflow in dt"):
        integrate(lambda t, s: (s[0] * math.nan,), x, 0.0, 1.0, method="dopri5", rtol=1e-5, atol=1e-5)


def test_settings_are_checked_early(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="one of dopri5"):
        check("euler")
    monkeypatch.setattr(adaptive, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'sciml\[ode\]'"):
        check("dopri5")
