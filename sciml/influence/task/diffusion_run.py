r"""Attribution of a learned prior: which training fields made its denoiser as good, or as bad, as it is.

An example is a field :math:`x_i` of the training split, with its share of the denoising loss that
:class:`sciml.diffusion.training.Denoising` minimises,

.. math:: \ell_i(\theta) = \frac{1}{N}\,\frac1K\sum_{k=1}^K \frac1d
          \big\|D_\theta(x_i + \sigma_k\epsilon_{ik};\ \sigma_k) - x_i\big\|^2_{\lambda(\sigma_k)} .

The expectation over noise is a mean over K draws with **common random numbers**: the levels are the K quantiles of the
run's own law, the same for all fields; the noise :math:`\epsilon_{ik}` comes from a stream that depends on the number
of the field and on nothing else. Every evaluation of a loss, every training without some fields, and every score see
the same noise, so that differences between them are differences of the parameters. Fields have noise of their own,
because a network could learn the few draws by heart that all of them shared. With the run's augmentation by the
symmetries of a square each draw has its own symmetry, fixed likewise.

The losses are squares, so the generalised Gauss-Newton matrix has the rows :math:`\sqrt{2\lambda(\sigma_k)/(NKd)}\,
\nabla_\theta D_\theta`, exact, NKd of them. They are never held together: the matrix is summed up
(:mod:`sciml.influence.attributor.ggn`), or Kronecker factors are (:mod:`sciml.influence.attributor.ekfac`), for which
the K calls of the network are K tokens of an example, as the places of a convolution are.

Influence of training examples on diffusion models: Mlodozeniec et al. (2025), *Influence Functions for Scalable Data
Attribution in Diffusion Models*, and Zheng et al. (2024), *Intriguing Properties of Data Attribution on Diffusion
Models*. Deviations: the exact matrix where the size allows; the run's averaged weights; *polished* parameters and
trainings from them (:mod:`sciml.influence.run_task`), where both papers train anew.

The measurement is chosen by config: :mod:`sciml.influence.prior_measurement.base`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, cast, final

import torch
from torch import Tensor

from sciml.data.dihedral import dihedral
from sciml.data.stream import stream
from sciml.errors import UsageError
from sciml.influence.base import NetworkTask, Params
from sciml.influence.denoising_loss import quantiles, scale
from sciml.influence.drawing import scored_fields, scored_plane
from sciml.influence.likelihood.squared import Squared
from sciml.influence.prior_measurement.base import PriorMeasurement
from sciml.influence.run_task import RunTask, attributed, use_averaged
from sciml.ranges import Count, NonNegative

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sciml.diffusion.training import Denoising

FIELDS = 64  # whose rows are made at one time


@final
class DiffusionRun(RunTask, NetworkTask):
    """Training fields of a finished run that trained a denoiser.

    Args:
        run: The run, see :mod:`sciml.influence.run_task`.
        measurement: What is asked of its denoiser.
        draws: K, noise levels with one noise each that stand for the expectation in the loss of a field.
        decay: Lambda, of the squared distance from the run's weights.
        tolerance: Of the gradient at an optimum.
        max_steps: Steps of a training.

    Attributes:
        x: Noisy training fields ``(n_train, K, *shape)``, the inputs of the network.
        y: What it should say of them, times the square root of their weight.
        sigma: ``(K,)``, the levels.

    Raises:
        UsageError: No such run, see :func:`sciml.influence.run_task.attributed`, or it trained no denoiser.
        ConfigError: The measurement does not fit the run.
    """

    summed: ClassVar[bool] = True
    mapped: ClassVar[bool] = False  # a network of a denoiser's kind has layers that torch.func cannot map
    asks_losses: ClassVar[bool] = False
    forward_mode: ClassVar[bool] = False
    run: Denoising
    clean: Tensor
    sigma: Tensor
    scales: Tensor

    def __init__(
        self,
        *,
        run: str,
        measurement: PriorMeasurement,
        draws: Count = 4,
        decay: NonNegative = 1e-2,
        tolerance: NonNegative = 1e-6,
        max_steps: Count = 1000,
    ) -> None:
        module = cast("Denoising", attributed(run, family="diffusion"))
        if not hasattr(module, "denoiser"):
            raise UsageError(
                f"influence.task.run: {run} reconstructs or generates fields; choose a run that trained a denoiser"
            )
        use_averaged(module.average, module.denoiser)
        # Weights in channels-last order make layers that torch.func cannot map over examples either.
        network = module.denoiser.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        super().__init__(network=network, decay=decay, tolerance=tolerance, max_steps=max_steps)
        object.__setattr__(self, "run", module)  # not a part of this module: only what it is asked for
        self.likelihood, self.draws = Squared(), draws
        self.network.eval()
        train = module.dataset.splits()["train"].double()
        self.n_train = len(train)
        sigma, clean = quantiles(module, draws), _clean(module, train, draws)
        noise = torch.stack([_numbers(f"attribution/noise {i}", clean[0].shape) for i in range(len(train))])
        scales = torch.stack([scale(module.denoiser, level, train[0]) for level in sigma])
        scales = (2 / (self.n_train * draws)) ** 0.5 * scales.reshape(draws, *[1] * (train.dim() - 2), -1)
        self.register_buffer("sigma", sigma)
        self.register_buffer("clean", clean)
        self.register_buffer("x", clean + sigma.reshape(draws, *[1] * (train.dim() - 1)) * noise)
        self.register_buffer("scales", scales)
        self.register_buffer("y", scales * clean)
        self.register_buffer("owner", torch.arange(self.n_train).repeat_interleave(self.y[0].numel()))
        self.measurement = measurement
        measurement.prepare(module)
        self.n_query = len(measurement.labels)
        if getattr(self.network, "center", None) is not None:
            self.notes.append("the run's preconditioner took mean and components from all training fields; they stay")

    # ------------------------------------------------------------ losses

    def outputs(self, params: Params, x: Tensor) -> Tensor:
        """What the denoiser says of noisy fields ``(n, K, *shape)``, times the square roots of their weights."""
        return self.using(params, self._denoised, x)

    def _denoised(self, x: Tensor) -> Tensor:
        # One call for each level: for those who record calls, the draws of a field are then tokens of one example.
        said = [self.network(x[:, k], sigma.expand(len(x))) for k, sigma in enumerate(self.sigma)]
        return self.scales * torch.stack(said, dim=1)

    def measure(self, params: Params) -> Tensor:
        return self.using(params, self.measurement, self.run)

    # ------------------------------------------------------------ curvature

    def rows(self, params: Params) -> Tensor:
        return torch.cat(list(self.blocks(params)))

    def blocks(self, params: Params) -> Iterator[Tensor]:
        params = {name: p.detach() for name, p in params.items()}
        for x in self.x.split(FIELDS):
            # Draw by draw: what the network says of one depends on no other.
            parts = [self._jacobian_of(params, x[:, k], k) for k in range(self.draws)]
            yield torch.stack(parts, dim=1).flatten(0, 2)

    def _jacobian_of(self, params: Params, x: Tensor, k: int) -> Tensor:
        def said(params: Params, x: Tensor) -> Tensor:
            found = self.using(params, self.network, x[None], self.sigma[k : k + 1])[0]
            return (self.scales[k] * found).flatten()

        return self.differentiated(said, params, x)[1]

    # ------------------------------------------------------------ figures

    def labels(self) -> list[str]:
        return list(self.measurement.labels)

    def figures(self, scores: Tensor) -> dict[str, Figure]:
        """For the first four queries the training fields that matter most; points of a plane all together."""
        x, found = self.clean[:, 0], {}
        for q, label in enumerate(self.measurement.labels[:4]):
            query = self.measurement.x[self.measurement.shares[q] > 0]
            if x[0].numel() == 2:
                found[f"fields_{q}"] = scored_plane(x.flatten(1), scores[q], title=label, marked=query.flatten(1))
            else:
                query_field = (query[0], None)
                found[f"fields_{q}"] = scored_fields(
                    query_field, x, None, scores[q], title=label, what="training fields"
                )
        return found


def _clean(run: Denoising, train: Tensor, draws: int) -> Tensor:
    """The training fields once for each draw, ``(n, draws, *shape)``, turned and reflected where the run did so."""
    repeated = train[:, None].expand(-1, draws, *train.shape[1:])
    if not run.dihedral:
        return repeated.clone()
    chosen = torch.stack([_numbers(f"attribution/symmetry {i}", (draws, 3)) < 0 for i in range(len(train))])
    flat = dihedral(repeated.flatten(0, 1), chosen.flatten(0, 1), closed=run.dataset.periodic[0])
    return flat.reshape(repeated.shape)


def _numbers(name: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers that depend on the name only."""
    return torch.randn(shape, generator=stream(name, 0), dtype=torch.float64)
