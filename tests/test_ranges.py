"""Every number that a config can set is held against a range before anything is built."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import yaml

from sciml.cli.complete import configs
from sciml.config import target
from sciml.hints import fits, hints_of
from sciml.ranges import Range

# Numbers without a lowest one are real: signs of coefficients, positions, exponents of ten.


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        if str(tree.get("_target_")).startswith("sciml."):
            yield tree
        for item in tree.values():
            yield from _nodes(item)
    elif isinstance(tree, list):
        for item in tree:
            yield from _nodes(item)


def _parameters() -> Iterator[tuple[str, Any]]:
    """Every parameter of every class that a file of ``conf/`` names, and its annotation."""
    seen = set()
    for name in configs():
        text = files("sciml.conf").joinpath(f"{name}.yaml").read_text()
        if "_target_: sciml" not in text:
            continue
        for node in _nodes(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))):
            if node["_target_"] not in seen:
                seen.add(node["_target_"])
                constructor = target(node["_target_"])
                hints = hints_of(constructor)
                yield from (
                    (f"{node['_target_']}.{key}", hints.get(key)) for key in inspect.signature(constructor).parameters
                )


def test_every_whole_number_has_a_lowest_one() -> None:
    found = {name: hint for name, hint in _parameters() if hint is not None}
    assert len(found) > 500
    takes_whole = {
        name: hint for name, hint in found.items() if fits(1, hint) and not fits(1.5, hint) and not fits("", hint)
    }
    assert len(takes_whole) > 200
    assert [name for name, hint in takes_whole.items() if fits(-1, hint)] == []


def test_a_range_says_what_it_holds() -> None:
    assert [number in Range(0, 2, above=True) for number in (0, 1e-9, 2, 2.1)] == [False, True, True, False]
    assert [number in Range(0, 2, below=True) for number in (-1, 0, 1.9, 2)] == [False, True, True, False]
    assert float("nan") not in Range(0, 2)
    assert str(Range(0, 2, above=True, below=True)) == "above 0 and below 2"
    assert str(Range(1)) == "of at least 1"
    assert str(Range(high=3)) == "at most 3"


# What no constructor refuses by itself. Where only a bound is at stake, the number lies just outside.
REFUSED: dict[str, dict[str, Any]] = {
    "sciml.conflict.momentum_config.MomentumConFIG": {"beta1": -0.1, "beta2": 1, "updates": 0},
    "sciml.diffusion.dataset.phantoms.Phantoms": {"points": 1, "inner": -1, "n_val": 0},
    "sciml.diffusion.dataset.simulated.Simulated": {"scale": 0.0, "n_val": 0, "seed": -1},
    "sciml.diffusion.generation.Generation": {"samples": 1, "sets": 1, "points": 0},
    "sciml.diffusion.guidance.gauss_newton.GaussNewton": {"values": [1], "iterations": 0},
    "sciml.diffusion.levels.Karras": {"steps": 1, "sigma_min": 0},
    "sciml.diffusion.likelihood.Likelihood": {"probes": 0, "exact_up_to": -1},
    "sciml.diffusion.measurement.blur.Blur": {"kernel": "disc", "width": 0.0, "boundary": "open", "noise_std": 0},
    "sciml.diffusion.measurement.fourier.Fourier": {"pattern": "radial", "acceleration": 0.9, "centre": 1.1},
    "sciml.diffusion.measurement.points.Points": {"noise_std": 0.0, "sensors": 0},
    "sciml.diffusion.measurement.radon.Radon": {"reach": 0.0, "views": 0},
    "sciml.diffusion.module.Inverse": {"samples": 0, "problems": 0},
    "sciml.diffusion.noise.exponential.Exponential": {"length": 1.1, "nugget": 0},
    "sciml.diffusion.preconditioner.edm.EDM": {"sigma_data": 0.0},
    "sciml.diffusion.preconditioner.gaussian.GaussianPreconditioner": {"rank": -1, "p_std": 0},
    "sciml.diffusion.preconditioner.score.ScoreNetwork": {"predicts": "velocity", "condition": "sigma"},
    "sciml.diffusion.prior.diffusers.Diffusers": {"rank": -1, "timesteps": "some"},
    "sciml.diffusion.prior.learned.Learned": {"rank": -1, "fields": 1, "covariance": "jacobian"},
    "sciml.diffusion.prior.moments.Moments": {"examples": 1},
    "sciml.diffusion.prior.source_solution.SourceSolution": {"scale": [1.0, 0.0]},
    "sciml.diffusion.residual.darcy.Darcy": {"average": "mean", "scale": [1.0], "offset": [0.0]},
    "sciml.diffusion.residual.helmholtz.Helmholtz": {"scale": [1.0, 0.0]},
    "sciml.diffusion.sampler.ddim.DDIM": {"eta": 1.1},
    "sciml.diffusion.sampler.euler_maruyama.EulerMaruyama": {"steps": 1},
    "sciml.diffusion.sampler.flow.Flow": {"steps": 1, "order": 3},
    "sciml.diffusion.sampler.ode.ODE": {"rtol": 0.0, "atol": 0},
    "sciml.diffusion.sampler.predictor_corrector.PredictorCorrector": {"steps": 1, "corrections": -1, "snr": 0.0},
    "sciml.diffusion.score.psnr.PSNR": {"data_range": 0.0},
    "sciml.diffusion.sde.ve.VE": {"sigma_min": 0, "t_min": 1.0},
    "sciml.diffusion.sde.vp.VP": {"beta_min": 0, "t_min": 1.0},
    "sciml.diffusion.solution.darcy.Darcy": {"low": 0.0, "average": "geometric"},
    "sciml.diffusion.solution.navier_stokes.NavierStokes": {"time": 0.0, "forcing": "wind"},
    "sciml.diffusion.solver.daps.DAPS": {"ode_steps": 0},
    "sciml.diffusion.solver.dds.DDS": {"gamma": 0, "krylov": 0, "eta": 1.1},
    "sciml.diffusion.solver.diffpir.DiffPIR": {"weight": 0, "zeta": 1.1},
    "sciml.diffusion.solver.diffusionpde.DiffusionPDE": {"late": 1.1},
    "sciml.diffusion.solver.filtered_backprojection.FilteredBackprojection": {"cutoff": 1.1},
    "sciml.diffusion.solver.fundps.FunDPS": {"fading": 0},
    "sciml.diffusion.solver.lmmse.LMMSE": {"pairs": 1},
    "sciml.diffusion.solver.mcg.MCG": {"damping": -0.1},
    "sciml.diffusion.solver.song2022.Song2022": {"weight": 1.1, "damping": -0.1},
    "sciml.diffusion.solver.total_variation.TotalVariation": {"weight": 0.0, "steps": 0, "ratio": 0},
    "sciml.diffusion.training.Denoising": {"tested_at": [0.0], "ema": 1.0},
    "sciml.influence.attributor.cg.CG": {"tolerance": 0, "max_steps": 0, "probes": 0},
    "sciml.influence.attributor.ekfac.EKFAC": {
        "curvature": "fisher",
        "sharing": "tokens",
        "precision": "float16",
        "damping": -0.1,
        "samples": 0,
        "batch_size": 0,
        "rank": -1,
    },
    "sciml.influence.attributor.ensemble.Ensemble": {"models": 0},
    "sciml.influence.attributor.lissa.LiSSA": {"damping": -0.1, "depth": 0, "repeats": 0, "scale": -0.1, "probes": 0},
    "sciml.influence.attributor.mfac.MFAC": {"damping": -0.1},
    "sciml.influence.attributor.tracin.TracIn": {"checkpoints": 0},
    "sciml.influence.evaluation.group_removal.GroupRemoval": {"groups": 1},
    "sciml.influence.evaluation.lds.LDS": {"repeats": 0, "alpha": 1.0},
    "sciml.influence.evaluation.removal.Removal": {"counts": [0, 1]},
    "sciml.influence.pinn_measurement.error.Error": {"stride": 0},
    "sciml.influence.pinn_measurement.value.Value": {"output": -1},
    "sciml.influence.prior_measurement.denoising.DenoisingLoss": {"fields": [[1, -1]], "draws": 0},
    "sciml.influence.prior_measurement.posterior_mean.PosteriorMean": {"level": 0.0, "draws": 0},
    "sciml.influence.prior_measurement.reconstruction.Reconstruction": {"fields": [-1], "draws": 0},
    "sciml.influence.pruning.baseline.Baseline": {"predict": "mean"},
    "sciml.influence.pruning.mfac.MFAC": {"gradients": 0, "damping": 0, "block_size": 0},
    "sciml.influence.pruning.module.Classifier": {"sparsities": [1.0], "recomputations": 0},
    "sciml.influence.retraining.Recipe": {"epochs": 0, "batch_size": 0, "lr": 0.0, "momentum": 1.0},
    "sciml.influence.task.diffusion_run.DiffusionRun": {"draws": 0},
    "sciml.influence.task.operator_run.OperatorRun": {"n_query": 0, "steps": 0},
    "sciml.influence.task.supervised.Supervised": {"n_train": 0, "n_query": 0, "flipped": 1.0},
    "sciml.network.convolution.Convolution": {"width": 0, "depth": 0, "kernel": 0},
    "sciml.network.denoiser.Denoiser": {"dims": 3, "patch": 0, "width": 1, "multipliers": [0], "groups": 0},
    "sciml.network.ffno.FFNO": {"modes": 4, "factor": 0, "projection": 0},
    "sciml.network.fno.FNO": {"modes": [4, 0], "width": 0, "depth": 0, "lifting": -1, "padding": -1},
    "sciml.network.fourier.Fourier": {"features": 0, "sigma": [1.0, 0.0]},
    "sciml.network.galerkin.GalerkinTransformer": {"dims": 4, "coarsening": 0.5, "depth": 0},
    "sciml.network.lsm.LSM": {"scales": 0, "patch": [2, 0]},
    "sciml.network.mlp.MLP": {"width": 0, "depth": 0},
    "sciml.network.modified_mlp.ModifiedMLP": {"width": 0, "depth": 0, "sigma": 0},
    "sciml.network.pirate.PirateNet": {"width": 0, "blocks": 0, "sigma": 0},
    "sciml.network.score_mlp.ScoreMLP": {"width": 0, "blocks": 0},
    "sciml.network.siren.Siren": {"width": 0, "depth": 0, "omega": 0.0},
    "sciml.network.spectral_diagonal.SpectralDiagonal": {"modes": 0},
    "sciml.network.transolver.Transolver": {"dims": 4, "slices": 0, "kernel": 0},
    "sciml.network.unet.UNet": {"dims": 3, "width": 1, "blocks": 0, "multipliers": [0]},
    "sciml.operator.dataset.recorded.Recorded": {"n_train": 0, "history": -1, "steps": 0, "stride": 0},
    "sciml.operator.loss.relative.RelativeGradient": {"weight": -0.1},
    "sciml.operator.source.generated.Generated": {"n": 0, "seed": -1},
    "sciml.optimizer.clipped_adam.ClippedAdam": {"max_norm": 0},
    "sciml.optimizer.dense_quasi_newton.BFGS": {"lr": -0.1, "tolerance_grad": -0.1, "max_evaluations": 0},
    "sciml.optimizer.gauss_newton.ENGDW": {"damping": 0.0, "halvings": -1},
    "sciml.optimizer.gauss_newton.SPRING": {"damping": 0.0, "momentum": 1.0},
    "sciml.optimizer.levenberg_marquardt.LevenbergMarquardt": {"damping": 0.0, "trials": 0, "acceleration": 0.0},
    "sciml.optimizer.mfac.MFAC": {"lr": -0.1, "momentum": 1.0, "window": 0, "damping": 0.0},
    "sciml.optimizer.multiadam.MultiAdam": {"betas": [0.9, 1.0], "eps": -0.1},
    "sciml.optimizer.muon.Muon": {"momentum": 1.0, "betas": [-0.1, 0.9], "lr": -0.1},
    "sciml.optimizer.soap.SOAP": {"betas": [0.9, -0.1], "shampoo_beta": 2.0, "precondition_frequency": 0},
    "sciml.pinn.baseline.Baseline": {"predict": "zero"},
    "sciml.pinn.chebyshev.Chebyshev": {"degree": 1},
    "sciml.pinn.collocation.rad.RAD": {"every": 0, "pool": 0, "k": -0.1, "c": -0.1},
    "sciml.pinn.collocation.rar_d.RARD": {"every": 0, "add": 0, "k": -0.1},
    "sciml.pinn.collocation.rar_g.RARG": {"pool": 0, "add": 0},
    "sciml.pinn.module.Pinn": {"log_every": 0, "val_every": 0},
    "sciml.pinn.problem.box.Box": {"grid": {"x": 1}, "periodic": {"x": 0}},
    "sciml.pinn.weighting.causal.Causal": {"epsilon": [-0.1], "slabs": 0, "every": 0},
    "sciml.pinn.weighting.grad_norm.GradNorm": {"every": 0, "momentum": 1.0},
    "sciml.pinn.weighting.ntk.NTK": {"every": 0, "momentum": 1.0},
    "sciml.equation.burgers.Burgers": {"nodes": 201},
    "sciml.equation.kdv.KdVSolitons": {"c2": 0},
    "sciml.equation.kovasznay.Kovasznay": {"reynolds": 0},
    "sciml.equation.schroedinger.Schroedinger": {"half": 3.0},
    "sciml.simulation.advection.Advection": {"waves": 0, "dt": 0.0, "length": -1.0, "frames": 1},
    "sciml.simulation.burgers.Burgers": {"initial": "white", "modes": 0, "step": 0},
    "sciml.simulation.darcy.Darcy": {"law": "other", "sampling": "faces", "average": "geometric", "points": 2},
    "sciml.simulation.gray_scott.GrayScott": {"spots": 0, "resolution": 7, "warmup": -1},
    "sciml.simulation.heat.Heat": {"modes": 0, "frames": 1, "dt": 0},
    "sciml.simulation.helmholtz.Helmholtz": {"contrast": 1.0, "points": 4, "gain": 0},
    "sciml.simulation.kuramoto_sivashinsky.KuramotoSivashinsky": {"dt_spread": 1.0, "warmup": -1, "highest": 0},
    "sciml.simulation.navier_stokes.NavierStokes": {"forcing": "steady", "period": 0, "nu": 0},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_constructor_does_not_refuse_its_annotations_do(name: str) -> None:
    hints = hints_of(target(name))
    assert {key: value for key, value in REFUSED[name].items() if fits(value, hints[key])} == {}
