"""The contract of an evaluation: what scores are worth, measured by training again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from sciml.influence.base import Params, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Trainings that judge have repeats from here on: no score comes from a network that is part of its own judgement.
FRESH = 1000


@dataclass(frozen=True)
class Findings:
    """What an evaluation says.

    Args:
        metrics: Numbers by name.
        retrainings: How many trainings were needed to know them.
        figures: Figures by name.
    """

    metrics: dict[str, float]
    retrainings: int = 0
    figures: dict[str, Figure] = field(default_factory=dict)


class Evaluation(ABC):
    """Judges scores. What it trains again does not depend on them where that is possible, so that methods that are
    judged with the same seed are judged by the same trainings.
    """

    @abstractmethod
    def __call__(self, task: Task, params: Params, scores: Tensor) -> Findings:
        """Judge.

        Args:
            task: Model, training data and queries.
            params: The fitted parameters that the scores were computed at.
            scores: ``(n_query, n_train)``, positive: removing the example would raise the query's measurement.
        """
