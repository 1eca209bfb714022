r"""A U-Net of the library *diffusers* as a prior: ``UNet2DModel`` with its weights in safetensors, and its scheduler.

The model was trained on :math:`x_t = \sqrt{\bar\alpha_t}\,x + \sqrt{1 - \bar\alpha_t}\,\epsilon` (Ho et al. 2020,
*Denoising Diffusion Probabilistic Models*). That is :math:`x_\sigma = x + \sigma\epsilon`, scaled:

.. math:: \sigma_t = \sqrt{(1 - \bar\alpha_t) / \bar\alpha_t}, \qquad x_t = \sqrt{\bar\alpha}\,x_\sigma, \qquad
          \bar\alpha = 1 / (1 + \sigma^2) ,

and what the network gives back becomes, by the prediction type of the scheduler's config,

.. math:: E[x | x_\sigma] = x_\sigma - \sigma\,\hat\epsilon \ (\text{epsilon}), \qquad
          \bar\alpha\,x_\sigma - \sqrt{1 - \bar\alpha}\,\hat v \ (\text{v\_prediction}), \qquad
          \hat x \ (\text{sample}) .

Between two steps of the schedule :math:`\log\sigma` decides: t is interpolated, or the nearest step is taken; beyond
the schedule's ends t stays at the end. Clipping (``clip_sample``) is a sampler's matter, and left out.

The library is asked for the network, the weights and :math:`\bar\alpha_t` only. Neither it nor anything here imports
torchvision, whether or not it is installed: a build that does not go with torch's would take the library with it.
"""

from __future__ import annotations

import bisect
import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import torch
from torch import Generator, Tensor

from sciml.datafile import reading
from sciml.diffusion.base import Dataset, Posterior, Prior, Sampler
from sciml.diffusion.fields import Fields
from sciml.errors import ConfigError, UsageError
from sciml.ranges import Count, Natural

_WEIGHTS = "diffusion_pytorch_model.safetensors"
_PREDICTIONS = ("epsilon", "v_prediction", "sample")
_SCHEDULE = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)


@final
class Diffusers(Prior):
    """Images with two axes. The network computes in its own precision.

    Truths and examples are those of a dataset; without one they are drawn from the model.

    Args:
        path: A folder with ``config.json``, ``diffusion_pytorch_model.safetensors`` and ``scheduler_config.json``; or
            that of a pipeline, with the first two in ``unet/`` and the last in ``scheduler/``.
        shape: Of one field, ``(height, width, channels)``.
        sampler: Draws from the model where there is no dataset.
        low: The field's value where the model's is -1.
        high: The field's value where the model's is 1.
        timesteps: ``continuous`` or ``nearest``.
        dataset: The fields that the model was trained on; null for none.
        rank: Principal components of the covariance fitted to the dataset; null for a prior without covariance.

    Raises:
        UsageError: The library is not installed, or the folder holds no such model, or one of another kind.
        ConfigError: The model takes no fields of this shape, or the other parameters do not go together.
    """

    axes: ClassVar[int | None] = 2
    needs_files: ClassVar[bool] = True

    def __init__(
        self,
        *,
        path: str,
        shape: tuple[Count, ...],
        sampler: Sampler,
        low: float = -1.0,
        high: float = 1.0,
        timesteps: Literal["continuous", "nearest"] = "continuous",
        dataset: Dataset | None = None,
        rank: Natural | None = None,
    ) -> None:
        super().__init__()
        if not low < high:
            raise ConfigError(f"diffusion.prior.low must be below high, not {low} and {high}")
        if rank is not None and dataset is None:
            raise ConfigError(f"diffusion.prior.rank is {rank}: a covariance is fitted to a dataset, and there is none")
        folder = Path(path)
        self.network, alphas, self.prediction = _loaded(folder)
        self.network.requires_grad_(False).eval()
        _check_shape(folder, self.network.config, tuple(shape))
        if timesteps == "continuous" and self.network.config["time_embedding_type"] == "learned":
            raise ConfigError(f"{folder} has a table of timesteps: diffusion.prior.timesteps must be nearest")
        self.shape, self.sampler, self.timesteps = tuple(shape), sampler, timesteps
        self.offset, self.scale = (high + low) / 2, (high - low) / 2
        self.levels = [math.log((1 - alpha) / alpha) / 2 for alpha in alphas if 0 < alpha < 1]  # log sigma of each step
        self.fields = None if dataset is None else Fields(dataset, self.shape, rank=rank or 0)
        self.has_covariance = rank is not None  # the config says so, not the class

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        normal = None
        if self.fields is not None and (self.has_covariance or math.isinf(sigma)):
            normal = self.fields.normal().to(self.device)
        covariance = normal.covariance(sigma) if normal is not None and self.has_covariance else None
        if not math.isinf(sigma):
            return Posterior(self._denoised(x_t, sigma), covariance)
        if normal is not None:
            return Posterior(normal.mean.expand(x_t.shape), covariance)
        # Pure noise says nothing: what the network makes of its middle is its mean.
        return Posterior(
            self._denoised(torch.full_like(x_t, self.offset), self.scale * math.exp(self.levels[-1])), None
        )

    def sample(self, n: int, generator: Generator) -> Tensor:
        return self._draw("test", n, generator)

    def examples(self, n: int, generator: Generator) -> Tensor:
        return self._draw("train", n, generator)

    def _draw(self, split: str, n: int, generator: Generator) -> Tensor:
        if self.fields is not None:
            return self.fields.draw(split, n, generator).to(self.device)
        with torch.no_grad():
            return self.sampler(self, (n, *self.shape), generator)

    def _denoised(self, x_t: Tensor, sigma: float) -> Tensor:
        """E[x | x_sigma] of fields; inside the model's own range counts, and channels come first."""
        x, sigma = (x_t - self.offset) / self.scale, sigma / self.scale
        alpha = 1 / (1 + sigma**2)
        given = (math.sqrt(alpha) * x).movedim(-1, 1).to(self.network.dtype)
        time = torch.tensor(self.timestep(sigma), device=x.device)
        found = self.network(given, time, return_dict=False)[0]
        found = found[:, : x.shape[-1]].movedim(1, -1).to(x.dtype)  # some give a variance in further channels
        if self.prediction == "epsilon":
            found = x - sigma * found
        elif self.prediction == "v_prediction":
            found = alpha * x - math.sqrt(1 - alpha) * found
        return self.offset + self.scale * found

    def timestep(self, sigma: float) -> float | int:
        """The model's time for a noise level in units of its own range."""
        level, last = math.log(sigma), len(self.levels) - 1
        after = min(max(bisect.bisect(self.levels, level), 1), last)
        before, gap = self.levels[after - 1], self.levels[after] - self.levels[after - 1]
        time = min(max(after - 1 + (level - before) / gap, 0.0), float(last))
        return time if self.timesteps == "continuous" else round(time)


def _loaded(folder: Path) -> tuple[Any, list[float], str]:
    r"""The network, :math:`\bar\alpha_t`, and what the network predicts."""
    unet = folder / "unet" if (folder / "unet").is_dir() else folder
    scheduler = folder / "scheduler" if (folder / "scheduler").is_dir() else folder
    described = scheduler / "scheduler_config.json"
    config, schedule = _json(unet / "config.json"), _json(described)
    if config.get("_class_name") != "UNet2DModel":
        raise UsageError(f"{unet / 'config.json'}: a {config.get('_class_name')}, expected a UNet2DModel")
    if not (unet / _WEIGHTS).is_file():
        raise UsageError(f"there is no file {unet / _WEIGHTS}")
    reading(unet / _WEIGHTS)
    prediction = schedule.get("prediction_type", "epsilon")
    if "beta_schedule" not in schedule or prediction not in _PREDICTIONS:
        raise UsageError(
            f"{described}: a {schedule.get('_class_name')} that predicts {prediction}; expected one with a"
            f" beta_schedule that predicts {', '.join(_PREDICTIONS)}"
        )
    if config.get("class_embed_type") is not None or config.get("num_class_embeds") is not None:
        raise UsageError(f"{unet / 'config.json'}: the model wants a class of each image, which a prior has not")
    return _network(unet), _alphas(described, schedule), prediction


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"there is no file {path}: expected a model of diffusers")
    reading(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path}: no JSON") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path}: no JSON object")
    return found


def _network(folder: Path) -> Any:
    with library():
        from diffusers.models.unets.unet_2d import UNet2DModel
        from safetensors import SafetensorError
    # All is on disk: the name of a folder is never looked up elsewhere, and no other format than safetensors is read.
    how = {"use_safetensors": True, "local_files_only": True, "low_cpu_mem_usage": False, "output_loading_info": True}
    try:
        loaded: Any = UNet2DModel.from_pretrained(str(folder), **how)
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        raise UsageError(f"{folder / _WEIGHTS} or config.json cannot be read: {_short(error)}") from error
    network, found = loaded
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if found[kind]:
            raise UsageError(
                f"{folder / _WEIGHTS} does not go with config.json: {kind.replace('_', ' ')}, such as"
                f" {sorted(map(str, found[kind]))[0]}"
            )
    return network


def _alphas(path: Path, schedule: dict[str, Any]) -> list[float]:
    with library():
        from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    try:
        alphas = DDPMScheduler(**{key: schedule[key] for key in _SCHEDULE if key in schedule}).alphas_cumprod.tolist()
    except (NotImplementedError, TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{path}: no schedule of noise: {_short(error)}") from error
    if len(alphas) < 2 or any(not 0 <= after < before < 1 for before, after in pairwise(alphas)):
        raise UsageError(f"{path}: the noise of its schedule does not increase from step to step")
    return alphas


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _check_shape(folder: Path, config: Any, shape: tuple[int, ...]) -> None:
    halvings = 2 ** (len(config["block_out_channels"]) - 1)
    channels = config["in_channels"]
    if len(shape) != 3 or shape[-1] != channels or any(n % halvings for n in shape[:-1]):
        raise ConfigError(
            f"diffusion.shape is {list(shape)}; {folder} takes [height, width, {channels}], the first two multiples"
            f" of {halvings}"
        )
    if config["out_channels"] not in (channels, 2 * channels):
        raise UsageError(f"{folder}: {channels} channels in and {config['out_channels']} out, expected as many")


@contextmanager
def library() -> Iterator[None]:
    """Around imports from diffusers.

    Raises:
        UsageError: It is not installed.
    """
    with hidden("torchvision"):
        try:
            yield
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("diffusers", "safetensors"):
                raise
            raise UsageError("prior diffusers needs the library: pip install 'sciml[diffusers]'") from error


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Packages that are not imported yet are not to be found in the meantime."""
    mine: Sequence[str] = [name for name in names if name not in sys.modules]
    for name in mine:
        sys.modules[name] = None  # type: ignore[assignment] # as Python has it
    try:
        yield
    finally:
        for name in mine:
            del sys.modules[name]
