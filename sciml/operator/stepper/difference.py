r"""The network gives the normalised change to the next state: :math:`u_{k+1} = u_k + \mu + \sigma\,G(u_k)`.

Mean and standard deviation are those of the changes in the training data, a channel each. What Lippe et al. (2023),
*PDE-Refiner*, and many others train with the mean square error where two states differ little: they divide the change
by a number, 0.3 on the Kuramoto-Sivashinsky equation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from torch import Tensor

from sciml.data.normalizer import Normalizer
from sciml.operator.base import Dataset, FieldMap, Split, check_states
from sciml.operator.stepper.base import NetworkFactory, Stepper, chunks


@final
class Difference(Stepper):
    """``newest(u) + decode(network(encode(u)))``.

    Args:
        network: Called with the numbers of channels.
        dataset: Its inputs hold whole states.
        normalizer: Of states, and of changes.
        positions: Append coordinates to what the network sees.

    Raises:
        ConfigError: An input has not the channels to hold a state.
    """

    def __init__(
        self,
        network: NetworkFactory,
        dataset: Dataset,
        normalizer: Callable[[int, tuple[int, ...]], Normalizer],
        *,
        positions: bool = False,
    ) -> None:
        super().__init__(network, dataset, normalizer, positions=positions)
        check_states(dataset, "operator.stepper difference")
        self.channels = dataset.out_channels

    def fit(self, train: Split) -> None:
        self.input.fit(chunks(train, "input"))
        fit_changes(self.output, train)

    def start(self) -> FieldMap:
        return self.predict

    def predict(self, u: Tensor) -> Tensor:
        """Physical inputs ``(n, *grid, in_channels)`` to states ``(n, *grid, out_channels)``."""
        return u[..., -self.channels :] + self.output.decode(self.network(self.encode(u)))


def fit_changes(normalizer: Normalizer, train: Split) -> None:
    """Take mean and standard deviation of the change from an input to the first state that follows."""
    channels = train.target.shape[-1]
    normalizer.fit(lambda: (target[:, 0] - u[..., -channels:] for u, target in train.batches(256)))
