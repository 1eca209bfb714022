"""Generation as a run that only tests: draw samples from a prior by any sampler, hold them against its law."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from lightning.pytorch import LightningModule
from torch import Generator, Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import Prior, Sampler
from sciml.diffusion.calibration import sliced_wasserstein
from sciml.diffusion.coloured import White
from sciml.diffusion.likelihood import Likelihood
from sciml.errors import ConfigError
from sciml.ranges import Count, Several

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIRECTIONS = 128  # of the sliced Wasserstein distance


class Generation(LightningModule):
    """Judges samples of p(x) by as many of the reference, and the prior's density by the reference's.

    The reference's samples, and the directions, come from streams of the run's seed that no sampler draws from: the
    same for every sampler with that seed.

    Metrics, with S samples; entries in units of the reference's standard deviations, those that do not vary left out:

    - ``sliced_wasserstein``: from a set of the reference, ``sliced_wasserstein_exact``: the mean of the same of the
      other sets of the reference, which is what exact samples get; ``sliced_wasserstein_ratio``: of the two, and
      ``sliced_wasserstein_z``: their difference in standard deviations of the latter between sets,
    - ``mean_error``: root mean square over the entries (exact samples get 1/sqrt(S)), and ``covariance_error``:
      Frobenius norm of the difference of the correlation matrices, relative; both against the moments of all samples
      of the reference,
    - with a likelihood, or a prior that knows its density, for ``points`` samples of the reference: ``nll``, their mean
      negative log density in nats; and, where the reference knows its own, ``kl``: the mean of the difference of the
      two, an estimate of the Kullback-Leibler divergence, and ``log_density_error``: of its absolute value.

    Args:
        shape: Shape of one field, ``(*grid, channels)``; slots refer to it.
        prior: What the sampler follows.
        sampler: What is judged.
        likelihood: Finds the prior's density; None: the prior itself, if it knows.
        reference: The law that is wanted; None: the prior, by its own samples, which for a learned one are data that
            it was not fitted to.
        samples: S.
        sets: Of the reference, beside the first.
        points: At which densities are compared.
        batch_size: Fields in one call of the sampler.
    """

    def __init__(
        self,
        *,
        shape: tuple[Count, ...],
        prior: Prior,
        sampler: Sampler,
        likelihood: Likelihood | None = None,
        reference: Prior | None = None,
        samples: Several = 4096,
        sets: Several = 16,
        points: Count = 256,
        batch_size: Count = 4096,
    ) -> None:
        super().__init__()
        self.shape, self.prior, self.sampler, self.likelihood = tuple(shape), prior, sampler, likelihood
        self.reference = prior if reference is None else reference
        self.samples, self.sets, self.points, self.batch_size = samples, sets, points, batch_size
        self._seed = torch.initial_seed()
        self._cost: dict[str, int | float] = {}
        self._shown: dict[str, Tensor] = {}
        self._missing: list[str] = []

    def test_dataloader(self) -> list[int]:
        return [0]

    def test_step(self, batch: int, batch_idx: int) -> None:
        # Inference mode would forbid the gradients of the divergence.
        with torch.inference_mode(False), torch.no_grad():
            exact = self.reference.sample((1 + self.sets) * self.samples, stream("exact", self._seed))
            if tuple(exact.shape[1:]) != self.shape:
                raise ConfigError(f"diffusion.shape is {list(self.shape)}; the fields are {list(exact.shape[1:])}")
            x = self._draw()
            self._shown = {"exact": exact[: self.samples], "generated": x}
            found = self._of_samples(x.flatten(1), exact.flatten(1)) | self._of_density(exact[: self.points])
        self.log_dict(found, batch_size=1)

    def _draw(self) -> Tensor:
        """Samples of the prior ``(samples, *shape)``, with their cost counted."""
        before, generator, parts = self.prior.evaluations, stream("sampler", self._seed), []
        for i in range(0, self.samples, self.batch_size):
            shape = (min(self.batch_size, self.samples - i), *self.shape)
            parts.append(drawn(self.sampler, self.prior, shape, generator))
        self._cost = {"network_evaluations": (self.prior.evaluations - before) / len(parts)}
        return torch.cat(parts).detach()

    def _of_samples(self, x: Tensor, exact: Tensor) -> dict[str, Tensor]:
        mean, sd = exact.mean(0), exact.std(0)
        varies = sd > 1e-12 * sd.max()
        x, exact = ((part - mean)[:, varies] / sd[varies] for part in (x, exact))
        wanted = torch.cov(exact.T).reshape(x.shape[1], x.shape[1])
        directions = normal((x.shape[1], DIRECTIONS), stream("directions", self._seed), x)
        directions = directions / directions.norm(dim=0)
        first, *others = exact.split(self.samples)
        distance = sliced_wasserstein(x[None], first[None], directions)[0]
        level = torch.cat([sliced_wasserstein(other[None], first[None], directions) for other in others])
        return {
            "sliced_wasserstein": distance,
            "sliced_wasserstein_exact": level.mean(),
            "sliced_wasserstein_ratio": distance / level.mean(),
            "sliced_wasserstein_z": (distance - level.mean()) / level.std(),
            "mean_error": x.mean(0).square().mean().sqrt(),
            "covariance_error": (torch.cov(x.T).reshape(wanted.shape) - wanted).norm() / wanted.norm(),
        }

    def _of_density(self, x: Tensor) -> dict[str, Tensor]:
        before = self.prior.evaluations, self.prior.backwards
        if self.likelihood is None:
            found = self.prior.log_density(x)
        else:
            found = self.likelihood(self.prior, x, stream("likelihood", self._seed))
        self._cost["likelihood_evaluations"] = self.prior.evaluations - before[0]
        self._cost["backward_passes"] = self.prior.backwards - before[1]
        if found is None:
            self._missing = ["no likelihood: nll is missing"]
            return {}
        wanted = self.reference.log_density(x)
        if wanted is None:
            self._missing = ["no exact density: kl and log_density_error are missing"]
            return {"nll": -found.mean()}
        difference = wanted - found
        return {"nll": -found.mean(), "kl": difference.mean(), "log_density_error": difference.abs().mean()}

    def cost(self) -> dict[str, int | float]:
        """Calls of the prior for a batch of samples, and those of the likelihood, with gradients through them."""
        return self._cost

    def warnings(self) -> list[str]:
        """What a reader of the row must know."""
        return self._missing

    def figures(self) -> dict[str, Figure]:
        """Samples of the reference and generated ones."""
        from sciml.diffusion.samples_figure import samples_figure

        return {"samples": samples_figure(**{name: part.cpu() for name, part in self._shown.items()})}


def drawn(sampler: Sampler, prior: Prior, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Samples ``shape`` ``(batch, *grid, channels)``, in coordinates in which the noise of the prior is white."""
    if prior.noise is None:
        return sampler(prior, shape, generator)
    white = White(prior, prior.noise)
    return white.root.matvec(sampler(white, shape, generator))
