"""A small model of the library's, saved and read back, against the library's own steps."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import accepted
from torch import Generator, Tensor

from sciml.data.stream import normal, stream
from sciml.datafile import recording
from sciml.diffusion.base import Dataset
from sciml.diffusion.levels import Karras
from sciml.diffusion.prior.diffusers import Diffusers, hidden, library
from sciml.diffusion.sampler.dpmpp_2m import DPMpp2M
from sciml.errors import ConfigError, UsageError

SHAPE = (8, 4, 2)  # not square: an exchange of axes shows
SAMPLER = DPMpp2M(levels=Karras(steps=3, sigma_min=0.1, sigma_max=20.0, rho=7.0))
SMALL: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 2,
    "out_channels": 2,
    "layers_per_block": 1,
    "block_out_channels": (4, 8),
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "norm_num_groups": 2,
    "add_attention": False,
}


@pytest.fixture(scope="module")
def network() -> Any:
    with library():
        from diffusers.models.unets.unet_2d import UNet2DModel
    torch.manual_seed(0)
    return UNet2DModel(**SMALL)


def saved(network: Any, folder: Path, **schedule: Any) -> tuple[str, Any]:
    """The folder of a model, and the library's scheduler for it."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    network.save_pretrained(folder)
    scheduler = DDIMScheduler(clip_sample=False, **schedule)
    scheduler.save_pretrained(folder)
    return str(folder), scheduler


def prior_of(path: str, **parameters: Any) -> Diffusers:
    prior = Diffusers(**{"path": path, "shape": SHAPE, "sampler": SAMPLER} | parameters)
    prior.network.double()
    return prior


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=Generator().manual_seed(seed))


def test_a_run_records_the_files_of_the_model(network: Any, tmp_path: Path) -> None:
    path, _ = saved(network, tmp_path)
    with recording(None, lambda files: None) as readings:
        prior_of(path)
    names = ("config.json", "scheduler_config.json", "diffusion_pytorch_model.safetensors")
    assert list(readings.files) == [str(tmp_path / name) for name in names]


@pytest.mark.parametrize("timesteps", ["continuous", "nearest"])
@pytest.mark.parametrize(
    "schedule",
    [
        {"prediction_type": "epsilon"},
        {"prediction_type": "v_prediction", "beta_schedule": "squaredcos_cap_v2"},
        {"prediction_type": "sample", "beta_schedule": "scaled_linear", "num_train_timesteps": 400},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
    ],
    ids=lambda schedule: "-".join(map(str, schedule.values())),
)
def test_a_step_is_that_of_the_librarys_scheduler(
    network: Any, tmp_path: Path, schedule: dict[str, Any], timesteps: str
) -> None:
    path, scheduler = saved(network, tmp_path, **schedule)
    prior = prior_of(path, timesteps=timesteps)
    scheduler.set_timesteps(10)
    theirs = network.double()
    for t in scheduler.timesteps[2:8].tolist():
        before = scheduler.alphas_cumprod[t].double()
        after = scheduler.alphas_cumprod[t - scheduler.config.num_train_timesteps // 10].double()
        x_t = drawn(3, 2, 8, 4, seed=t)
        with torch.no_grad():
            step = scheduler.step(theirs(x_t, t, return_dict=False)[0], t, x_t)
        # in our coordinates the noise is added, and a step without noise of its own keeps its direction
        sigma, following = ((1 - a).sqrt() / a.sqrt() for a in (before, after))
        x = x_t.movedim(1, -1) / before.sqrt()
        mean = prior.posterior(x, float(sigma)).mean
        torch.testing.assert_close(mean, step.pred_original_sample.movedim(1, -1), rtol=1e-6, atol=1e-6)
        mine = after.sqrt() * (mean + following / sigma * (x - mean))
        torch.testing.assert_close(mine, step.prev_sample.movedim(1, -1), rtol=1e-6, atol=1e-6)


def test_between_two_steps_of_the_schedule(network: Any, tmp_path: Path) -> None:
    path, scheduler = saved(network, tmp_path)
    sigmas = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod).double().sqrt()
    a_third = float(sigmas[100] ** (2 / 3) * sigmas[101] ** (1 / 3))
    assert prior_of(path).timestep(a_third) == pytest.approx(100 + 1 / 3, abs=1e-6)
    nearest = prior_of(path, timesteps="nearest")
    assert [nearest.timestep(s) for s in (1e-6, a_third, float(sigmas[101]), 1e6)] == [0, 100, 101, 999]
    assert all(isinstance(nearest.timestep(s), int) for s in (1e-6, 1.0))


def test_fields_have_a_range_of_their_own(network: Any, tmp_path: Path) -> None:
    path, _ = saved(network, tmp_path)
    x = drawn(2, *SHAPE)
    mean = prior_of(path).posterior(x, 0.5).mean
    shifted = prior_of(path, low=2.0, high=8.0).posterior(5 + 3 * x, 1.5).mean
    torch.testing.assert_close(shifted, 5 + 3 * mean)


def test_weights_are_the_saved_ones_and_stay(network: Any, tmp_path: Path) -> None:
    prior = prior_of(saved(network.float(), tmp_path)[0])
    for name, weights in network.state_dict().items():
        torch.testing.assert_close(prior.network.state_dict()[name].float(), weights)
    x = drawn(1, *SHAPE).requires_grad_()
    prior.posterior(x, 1.0).mean.sum().backward()
    assert x.grad is not None
    assert all(weights.grad is None for weights in prior.parameters())


def test_a_pipelines_folder_will_do(network: Any, tmp_path: Path) -> None:
    path, scheduler = saved(network, tmp_path / "flat")
    network.save_pretrained(tmp_path / "pipeline" / "unet")
    scheduler.save_pretrained(tmp_path / "pipeline" / "scheduler")
    x = drawn(1, *SHAPE)
    means = [prior_of(p).posterior(x, 2.0).mean for p in (path, str(tmp_path / "pipeline"))]
    torch.testing.assert_close(*means)


class Known(Dataset):
    shape, names, periodic = SHAPE, ("a", "b"), (False, False)

    def splits(self) -> dict[str, Tensor]:
        return {name: drawn(n, *SHAPE, seed=n).float() for name, n in (("train", 40), ("val", 2), ("test", 5))}


def test_a_dataset_gives_truths_examples_and_a_covariance(network: Any, tmp_path: Path) -> None:
    path, _ = saved(network, tmp_path)
    prior = prior_of(path, dataset=Known(), rank=3)
    splits = Known().splits()
    truths = prior.sample(5, stream("truths", 0))
    torch.testing.assert_close(truths.sum(0), splits["test"].double().sum(0))
    torch.testing.assert_close(prior.examples(40, stream("x", 0)).sum(0), splits["train"].double().sum(0))
    with pytest.raises(ConfigError, match=r"test split .* 5 fields, not the 6"):
        prior.sample(6, stream("truths", 0))
    mean, covariance = prior.posterior(truths, math.inf)
    torch.testing.assert_close(mean[0], splits["train"].double().mean(0))
    assert covariance is not None
    noisy = prior.posterior(truths, 0.3).covariance
    assert noisy is not None
    expected = torch.linalg.inv(torch.linalg.inv(covariance.dense(mean[0])) + torch.eye(64) / 0.3**2)
    torch.testing.assert_close(noisy.dense(mean[0]), expected)


def test_without_a_dataset_truths_come_from_the_model(network: Any, tmp_path: Path) -> None:
    prior = prior_of(saved(network, tmp_path)[0])
    expected = SAMPLER(prior, (2, *SHAPE), stream("truths", 0))
    torch.testing.assert_close(prior.sample(2, stream("truths", 0)), expected)
    x = normal((2, *SHAPE), stream("x", 0), expected)
    mean, covariance = prior.posterior(x, math.inf)
    assert covariance is None
    torch.testing.assert_close(mean, prior.posterior(torch.zeros_like(x), math.exp(prior.levels[-1])).mean)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"config.json": None}, r"no file .*config\.json: expected a model of diffusers"),
        ({"scheduler_config.json": None}, r"no file .*scheduler_config\.json"),
        ({"diffusion_pytorch_model.safetensors": None}, r"no file .*diffusion_pytorch_model\.safetensors"),
        ({"config.json": "<html>"}, r"config\.json: no JSON"),
        ({"config.json": {"_class_name": "UNet2DConditionModel"}}, "a UNet2DConditionModel, expected a UNet2DModel"),
        ({"config.json": {"num_class_embeds": 3}}, "wants a class of each image"),
        ({"config.json": {"add_attention": True}}, r"missing keys, such as mid_block\.attentions\.0"),
        ({"config.json": {"block_out_channels": [8, 8]}}, "cannot be read|mismatched keys"),
        ({"diffusion_pytorch_model.safetensors": "cut"}, r"safetensors or config\.json cannot be read: .*"),
        ({"scheduler_config.json": {"prediction_type": "flow"}}, "predicts flow; expected .* epsilon, v_prediction"),
        ({"scheduler_config.json": {"beta_schedule": "other"}}, "no schedule of noise"),
    ],
)
def test_a_folder_with_no_such_model_is_one_line(network: Any, tmp_path: Path, change: dict, says: str) -> None:
    path, _ = saved(network, tmp_path)
    for name, now in change.items():
        file = tmp_path / name
        if isinstance(now, dict):
            file.write_text(json.dumps(json.loads(file.read_text()) | now))
        elif now is None:
            file.unlink()
        else:
            file.write_text(now)
    with pytest.raises(UsageError, match=rf"^[^\n]*{says}[^\n]*$"):
        prior_of(path)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"shape": (8, 4, 3)}, r"takes \[height, width, 2\], the first two multiples of 2"),
        ({"shape": (8, 5, 2)}, "multiples of 2"),
        ({"low": 1.0}, "low must be below high"),
        ({"rank": 3}, "there is none"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(network: Any, tmp_path: Path, wrong: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        prior_of(saved(network, tmp_path)[0], **wrong)


def test_a_missing_library_is_named(network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = saved(network, tmp_path)
    monkeypatch.setitem(sys.modules, "diffusers.models.unets.unet_2d", None)
    with pytest.raises(UsageError, match=r"^[^\n]*pip install 'sciml\[diffusers\]'$"):
        prior_of(path)


def test_torchvision_is_not_found_while_it_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchvision_like.py").write_text("raise RuntimeError('operator nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    with hidden("torchvision_like", "json"):
        assert importlib.util.find_spec("torchvision_like") is None
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("torchvision_like")
        assert sys.modules["json"] is json, "what is there stays"
    assert importlib.util.find_spec("torchvision_like") is not None
    assert "torchvision" not in sys.modules


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Diffusers, rank=-1, timesteps="some") == {}
