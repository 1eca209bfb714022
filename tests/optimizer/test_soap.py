"""SOAP against algorithm 3 written out one matrix at a time, against Adam, and under rotation."""

from __future__ import annotations

import pytest
import torch
from refusals import accepted
from torch import Tensor, nn

from sciml.optimizer.soap import SOAP


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient(w: Tensor, step: int, seed: int) -> Tensor:
    """A gradient that turns with the step and depends on the weights."""
    return normal(*w.shape, seed=1000 * seed + step) + 0.5 * w


def sorted_eigenvectors(a: Tensor) -> Tensor:
    return torch.linalg.eigh(a).eigenvectors.flip(-1)


def algorithm_3(w: Tensor, seed: int, steps: int, lr, beta1, beta2, beta_s, eps, decay, f) -> Tensor:
    """One matrix, after ``steps`` gradients of which the first only makes the basis; Q_R = 1 for 7 columns."""
    g = gradient(w, 0, seed)
    left, right = (1 - beta_s) * g @ g.T, (1 - beta_s) * g.T @ g
    q_l, q_r = sorted_eigenvectors(left), torch.eye(7).double() if w.shape[1] == 7 else sorted_eigenvectors(right)
    m, v = torch.zeros_like(w), torch.zeros_like(w)
    for t in range(1, steps):
        g = gradient(w, t, seed)
        g_rotated = q_l.T @ g @ q_r
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g_rotated**2
        m_rotated = q_l.T @ m @ q_r
        n_rotated = (m_rotated / (1 - beta1**t)) / (torch.sqrt(v / (1 - beta2**t)) + eps)
        w = w - lr * (q_l @ n_rotated @ q_r.T + decay * w)
        left = beta_s * left + (1 - beta_s) * g @ g.T
        right = beta_s * right + (1 - beta_s) * g.T @ g
        if t % f == 0:
            order = torch.diag(q_l.T @ left @ q_l).argsort(descending=True)
            q_l, v = q_l[:, order], v[order]
            q_l = torch.linalg.qr(left @ q_l).Q
            if w.shape[1] < 7:
                order = torch.diag(q_r.T @ right @ q_r).argsort(descending=True)
                q_r, v = q_r[:, order], v[:, order]
                q_r = torch.linalg.qr(right @ q_r).Q
    return w


def run(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], steps: range) -> None:
    for step in steps:
        for seed, p in enumerate(params):
            p.grad = gradient(p.detach(), step, seed)
        optimizer.step()


@pytest.mark.parametrize("f", [1, 3])
def test_equals_algorithm_3_one_matrix_at_a_time(f: int) -> None:
    # The first gradient must have full rank for its eigenvectors to be unique: square, or one side only.
    shapes = [(5, 5), (5, 5), (3, 3), (5, 5), (4, 7)]
    start = [normal(*shape, seed=50 + i) for i, shape in enumerate(shapes)]
    params = [nn.Parameter(w.clone()) for w in start]
    settings = {"lr": 1e-2, "eps": 1e-6, "weight_decay": 0.1}
    optimizer = SOAP(
        params, betas=(0.9, 0.97), shampoo_beta=0.8, precondition_frequency=f, max_precondition_dim=6, **settings
    )
    run(optimizer, params, range(12))
    for seed, (w, p) in enumerate(zip(start, params, strict=True)):
        expected = algorithm_3(w, seed, 12, 1e-2, 0.9, 0.97, 0.8, 1e-6, 0.1, f)
        torch.testing.assert_close(p.detach(), expected, rtol=1e-9, atol=1e-9)
        assert (p - w).abs().max() > 0.01


def test_the_first_gradient_moves_vectors_only() -> None:
    params = [nn.Parameter(normal(4, 3)), nn.Parameter(normal(4))]
    start = [p.detach().clone() for p in params]
    run(SOAP(params), params, range(1))
    assert torch.equal(params[0], start[0])
    assert not torch.equal(params[1], start[1])


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_in_the_standard_basis_it_is_adam(decay: float) -> None:
    shapes = [(5, 4), (5, 4), (1, 6), (7,), (2, 3, 2), ()]
    mine, theirs = ([nn.Parameter(normal(*s, seed=i)) for i, s in enumerate(shapes)] for _ in range(2))
    settings = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": decay}
    soap = SOAP(mine, precondition_frequency=10**9, **settings)
    adam = torch.optim.AdamW(theirs, **settings)
    run(soap, mine, range(1))
    for p, q in zip(mine, theirs, strict=True):
        q.data.copy_(p.data)
        state = soap.state[p]
        for side in ("left_basis", "right_basis"):
            if side in state:
                state[side].copy_(torch.eye(len(state[side])))
        # Vectors have taken their first step; so has their Adam.
        if state["step"]:
            adam.state[q] = {name: state[name].clone() for name in ("exp_avg", "exp_avg_sq")} | {
                "step": torch.tensor(1.0)
            }
    run(soap, mine, range(1, 20))
    run(adam, theirs, range(1, 20))
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-12)


def test_without_any_side_it_is_adam_from_the_first_step() -> None:
    shapes = [(5, 4), (7,)]
    mine, theirs = ([nn.Parameter(normal(*s, seed=i)) for i, s in enumerate(shapes)] for _ in range(2))
    run(SOAP(mine, lr=1e-2, betas=(0.9, 0.99), max_precondition_dim=0), mine, range(20))
    run(torch.optim.Adam(theirs, lr=1e-2, betas=(0.9, 0.99)), theirs, range(20))
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-12)


def test_one_sided_above_the_longest_dimension() -> None:
    p = nn.Parameter(normal(5, 3))
    optimizer = SOAP([p], max_precondition_dim=4)
    run(optimizer, [p], range(3))
    assert {name for name in optimizer.state[p] if name.endswith("basis")} == {"right_basis"}


@pytest.mark.parametrize("kind", ["SOAP", "Adam"])
def test_turns_with_the_coordinates(kind: str) -> None:
    """f(W) and f(Uᵀ W V) take the same path up to the turn: Adam's signs depend on the axes, SOAP's do not."""
    u, v = torch.linalg.qr(normal(4, 4, seed=1)).Q, torch.linalg.qr(normal(4, 4, seed=2)).Q
    scales, target = torch.logspace(0, 2, 16, dtype=torch.float64).reshape(4, 4), normal(4, 4, seed=3)

    def path(turn: bool) -> Tensor:
        w = nn.Parameter(u.T @ normal(4, 4) @ v if turn else normal(4, 4))
        optimizer = SOAP([w], precondition_frequency=2) if kind == "SOAP" else torch.optim.Adam([w], lr=3e-3)
        for step in range(30):
            optimizer.zero_grad()
            plain = u @ w @ v.T if turn else w
            (scales * (plain - target - normal(4, 4, seed=100 + step)).square()).sum().backward()
            optimizer.step()
        return (u @ w @ v.T if turn else w).detach()

    difference = (path(True) - path(False)).abs().max()
    assert difference < 1e-8 if kind == "SOAP" else difference > 1e-3


def test_far_ahead_of_adam_on_an_ill_conditioned_quadratic() -> None:
    """½ tr((W − C)ᵀ H (W − C)) with a dense H of condition 10⁴: Adam sees the axes, SOAP finds the eigenvectors."""
    q = torch.linalg.qr(normal(10, 10, seed=1)).Q
    h = q @ torch.diag(torch.logspace(-4, 0, 10, dtype=torch.float64)) @ q.T
    target = normal(10, 10, seed=2)

    def final(make) -> float:
        w = nn.Parameter(torch.zeros(10, 10, dtype=torch.float64))
        optimizer = make([w])
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=400)
        for _ in range(400):
            optimizer.zero_grad()
            ((w - target) * (h @ (w - target))).sum().div(2).backward()
            optimizer.step()
            scheduler.step()
        return float((w.detach() - target).norm() / target.norm())

    rates = (3e-2, 1e-1)
    soap = min(final(lambda p, lr=lr: SOAP(p, lr=lr, precondition_frequency=5)) for lr in rates)
    adam = min(final(lambda p, lr=lr: torch.optim.Adam(p, lr=lr, betas=(0.95, 0.95))) for lr in rates)
    assert soap < adam / 10, (soap, adam)


def test_the_state_is_always_up_to_date() -> None:
    p = nn.Parameter(normal(4, 3))
    optimizer = SOAP([p], precondition_frequency=2)
    run(optimizer, [p], range(3))
    before = {name: torch.as_tensor(value).clone() for name, value in optimizer.state[p].items()}
    run(optimizer, [p], range(3, 5))
    after = optimizer.state_dict()["state"][0]
    assert after["step"] == 4
    assert all(not torch.equal(torch.as_tensor(after[name]), value) for name, value in before.items())
    for side in ("left", "right"):
        basis = after[f"{side}_basis"]
        torch.testing.assert_close(basis.T @ basis, torch.eye(len(basis), dtype=torch.float64))


def test_complex_parameters_are_refused() -> None:
    p = nn.Parameter(torch.zeros(2, 2, dtype=torch.complex64))
    p.grad = torch.ones_like(p)
    with pytest.raises(ValueError, match="real and imaginary part"):
        SOAP([p]).step()


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(SOAP, betas=[0.9, -0.1], shampoo_beta=2.0, precondition_frequency=0) == {}
