"""EK-FAC against a transcription with dense matrices and loops, for shared weights, padding and parameters by hand."""

from __future__ import annotations

import pytest
import torch
from network_task import Given, block_scores, given, layers_of, losses_one_by_one, mlp, one_by_one, parameters, pooled
from network_task import vector as flat
from refusals import accepted
from torch import Tensor, nn

import sciml.influence.capture as capture
import sciml.influence.kronecker.index as index
from sciml.errors import ConfigError, RunError
from sciml.influence.attributor.ekfac import EKFAC
from sciml.influence.base import Params
from sciml.influence.capture import Capture, Record
from sciml.influence.correlation import pearson, spearman
from sciml.influence.kronecker.basis import Basis
from sciml.influence.likelihood.softmax import Softmax


def naive(task: Given, params: Params, damping: float = 0.1) -> Tensor:
    """A and G token by token, dense eigenvectors, eigenvalues from whole per-example gradients."""
    seeds = task.likelihood.factors(task.outputs(params, task.x))
    if seeds.dim() == 4 and task.mask is not None:
        seeds = seeds * task.mask[..., None]  # tokens without loss
    captured = Capture(task, params)
    vectors = [one_by_one(task, params, lambda i, s=s: s[i], task.x) for s in seeds]

    def block(names: list[str]) -> Tensor:
        rows = torch.stack([flat(g, names) for part in vectors for g in part])  # every example and output
        name = names[0].removesuffix(".weight")
        if name not in captured.layers:
            return rows.T @ rows  # a parameter by hand: decomposed as it is
        a = torch.zeros((), dtype=torch.float64)
        g = torch.zeros((), dtype=torch.float64)
        pairs = 0
        for c in range(len(seeds)):
            record = captured(task.x, lambda _, c=c: seeds[c : c + 1], task.mask)[name]
            for i in range(task.n_train):
                for t in range(record.inputs.shape[1]):
                    if task.mask is not None and not task.mask[i, t % task.mask.shape[1]]:
                        continue
                    g = g + torch.outer(record.grads[0, i, t], record.grads[0, i, t])
                    if c == 0:
                        a = a + torch.outer(record.inputs[i, t], record.inputs[i, t])
                        pairs += 1
        q_a, q_g = torch.linalg.eigh(a)[1], torch.linalg.eigh(g)[1]
        basis = torch.kron(q_g, q_a)
        eigenvalues = (rows @ basis).square().sum(0)
        return basis @ torch.diag(eigenvalues) @ basis.T

    blocks = layers_of(task)
    blocks = [
        b
        for names in blocks
        for b in ([names] if names[0].removesuffix(".weight") in captured.layers else [[name] for name in names])
    ]
    return block_scores(task, params, blocks, block, damping)


class ByHand(nn.Module):
    """Parameters that no linear layer owns, beside one that does."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.norm = nn.LayerNorm(4)
        self.raw = nn.Parameter(torch.randn(2, 4))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.norm(torch.tanh(self.layer(x))), self.raw)


def examples() -> dict[str, Given]:
    torch.manual_seed(5)
    return {"mlp": given(mlp(3, 4, 2), 2, 3), "pooled": pooled(), "by hand": given(ByHand(), 2, 3)}


@pytest.mark.parametrize("name", ["mlp", "pooled", "by hand"])
def test_it_equals_the_dense_transcription(name: str) -> None:
    task = examples()[name]
    params = parameters(task)
    expected = naive(task, params)
    for batch_size in (1024, 2):
        found = EKFAC(batch_size=batch_size)(task, params)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9 * float(expected.abs().max()))


def test_what_stands_in_padding_changes_nothing() -> None:
    torch.manual_seed(6)
    task = pooled()
    params = parameters(task)
    expected = EKFAC()(task, params)
    padding = task.x[..., -1:] == 0
    task.x = torch.where(padding & (torch.arange(4) < 3), 3 * task.x + 1, task.x)
    torch.testing.assert_close(EKFAC()(task, params), expected)
    task.mask = None
    assert (EKFAC()(task, params) - expected).abs().max() > 0.01 * expected.abs().max()


def _transposed(self: Basis, record: Record) -> Record:
    return Record(
        record.inputs if self.right is None else record.inputs @ self.right.T,
        record.grads if self.left is None else record.grads @ self.left.T,
        record.tokens,
    )


def _token_by_token(record: Record) -> Tensor:
    return torch.einsum("knto,nti->oi", record.grads.square(), record.inputs.square())


def _mean(record: Record) -> Tensor:
    return record.gradients().square().mean((0, 1))


def test_planted_errors_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    task = examples()["pooled"]
    params = parameters(task)
    expected = naive(task, params)

    def error(**options: str) -> float:
        return float((EKFAC(**options)(task, params) - expected).abs().max() / expected.abs().max())

    assert error() < 1e-9
    assert error(curvature="empirical") > 0.01
    assert error(sharing="reduce") > 0.001
    with monkeypatch.context() as patch:
        patch.setattr(Basis, "rotate", _transposed)
        assert error() > 0.01
    for wrong in (_token_by_token, _mean):
        with monkeypatch.context() as patch:
            patch.setattr(index, "second_moment", wrong)
            assert error() > 0.01
    with monkeypatch.context() as patch:
        patch.setattr(capture.torch, "ones_like", torch.zeros_like)  # the column of the bias
        with pytest.raises(AssertionError):
            assert error() < 1e-6


def test_more_samples_come_closer_to_the_exact_curvature() -> None:
    torch.manual_seed(7)
    task = given(mlp(3, 4, 3), 3, 3)
    params = parameters(task)
    exact = EKFAC(curvature="exact")(task, params)
    errors = [
        float((EKFAC(curvature="monte_carlo", samples=k)(task, params) - exact).norm() / exact.norm())
        for k in (1, 1000)
    ]
    assert errors[1] < 0.06 < 0.3 < errors[0]


def test_auto_is_exact_for_few_outputs_and_samples_for_many() -> None:
    torch.manual_seed(8)
    for classes, equal in ((20, True), (21, False)):
        task = given(mlp(3, 4, classes), classes, 3)
        params = parameters(task)
        auto, exact = (EKFAC(curvature=kind)(task, params) for kind in ("auto", "exact"))
        assert torch.equal(auto, exact) == equal


def wide() -> tuple[Given, Params, Tensor]:
    torch.manual_seed(9)
    task = given(mlp(30, 24, 3, activation=nn.ReLU), 3, 30, n=40, queries=6)
    params = parameters(task)
    return task, params, EKFAC()(task, params)


@pytest.mark.parametrize("option", ["rank", "query_rank"])
def test_low_rank_forms_converge_to_the_exact_scores(option: str) -> None:
    task, params, exact = wide()
    correlations = [float(pearson(EKFAC(**{option: r})(task, params).flatten(), exact.flatten())) for r in (1, 4, 12)]
    assert correlations[0] > 0.8
    assert sorted(correlations) == correlations
    assert correlations[2] > 0.999
    torch.testing.assert_close(EKFAC(**{option: 31})(task, params), exact)


def test_the_largest_scores_can_be_computed_again_exactly() -> None:
    task, params, exact = wide()
    rough = EKFAC(rank=1)(task, params)
    mixed = EKFAC(rank=1, rescore=5)(task, params)
    best = rough.abs().topk(5).indices
    torch.testing.assert_close(mixed.gather(1, best), exact.gather(1, best))
    assert not torch.allclose(rough.gather(1, best), exact.gather(1, best), rtol=1e-3)
    others = torch.ones_like(rough, dtype=torch.bool).scatter(1, best, False)
    assert torch.equal(mixed[others], rough[others])


def test_bfloat16_orders_as_float32_does() -> None:
    torch.manual_seed(9)
    task = given(mlp(30, 24, 3, activation=nn.ReLU), 3, 30, n=40, queries=6)
    for name in ("x", "x_query"):
        setattr(task, name, getattr(task, name).float())
    task.network.float()
    params = parameters(task)
    exact, rounded = (EKFAC(precision=p)(task, params) for p in ("float32", "bfloat16"))
    assert exact.dtype == rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert float(spearman(exact.flatten(), rounded.flatten())) > 0.999


def test_damping_is_in_units_of_the_mean_eigenvalue() -> None:
    """Twice every example is twice the curvature: with no decay the scores halve, whatever the damping."""
    torch.manual_seed(10)
    task = given(mlp(3, 4, 2), 2, 3, decay=0.0)
    params = parameters(task)
    once = EKFAC()(task, params)
    task.x, task.y, task.n_train = task.x.repeat(2, 1), task.y.repeat(2), 2 * task.n_train
    torch.testing.assert_close(EKFAC()(task, params), once.repeat(1, 2) / 2)
    # Where damping is all that is left, it is that many mean eigenvalues.
    heavy = EKFAC(damping=1e8)(task, params)
    dots = torch.zeros_like(heavy)
    train, query = (losses_one_by_one(task, params, x, y) for x, y in ((task.x, task.y), (task.x_query, task.y_query)))
    rows = [
        one_by_one(task, params, lambda i, s=s: s[i], task.x)
        for s in task.likelihood.factors(task.outputs(params, task.x))
    ]
    for names in layers_of(task):
        stacked = torch.stack([flat(g, names) for part in rows for g in part])
        mean = float(stacked.square().sum()) / stacked.shape[1]
        left, right = (torch.stack([flat(g, names) for g in part]) for part in (query, train))
        dots += left @ right.T / (1e8 * mean)
    torch.testing.assert_close(heavy, dots, rtol=1e-6, atol=0)


def test_no_damping_at_all_is_refused_with_the_key() -> None:
    torch.manual_seed(11)
    task = given(mlp(3, 4, 2), 2, 3, decay=0.0, n=2)
    with pytest.raises(RunError, match=r"curvature of 0 has no inverse.*influence.attributor.damping"):
        EKFAC(damping=0.0)(task, parameters(task))


def test_two_approximations_of_one_thing_are_refused() -> None:
    with pytest.raises(ConfigError, match="query_rank"):
        EKFAC(rank=2, query_rank=2)


def test_a_loss_for_each_token_counts_each_token_that_is_not_padding() -> None:
    """Next-token losses: exact curvature token by token, against the same tokens as examples of one layer."""
    torch.manual_seed(12)
    layer = mlp(3, 3)
    task = given(layer, 3, 4, 3, n=5, queries=2)
    task.mask = torch.arange(4) < torch.tensor([[4], [2], [3], [1], [4]])
    task.mask_query = torch.ones(2, 4, dtype=torch.bool)
    task.y, task.y_query = torch.randint(3, (5, 4)), torch.randint(3, (2, 4))
    task.y[~task.mask] = -100
    params = parameters(task)
    found = EKFAC(curvature="exact")(task, params)
    flattened = Given(layer, Softmax(), (task.x[task.mask], task.y[task.mask]), (task.x_query[0], task.y_query[0]))
    basis = index.build(flattened, Capture(flattened, params), EKFAC(curvature="exact").recipe)["0"].basis
    own = index.build(task, Capture(task, params), EKFAC(curvature="exact").recipe)["0"].basis
    assert basis is not None
    assert own is not None
    torch.testing.assert_close(own.spectrum, basis.spectrum)
    torch.testing.assert_close(found, naive(task, params), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("attributor", [EKFAC(), EKFAC(query_rank=2), EKFAC(rank=2, rescore=2)])
def test_measurements_that_are_no_losses_have_whole_gradients(
    attributor: EKFAC, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same queries as before, only that the task does not say that they are losses."""
    task = pooled()
    params = parameters(task)
    expected = EKFAC(query_rank=attributor.query_rank)(task, params)
    monkeypatch.setattr(type(task), "asks_losses", False)
    torch.testing.assert_close(attributor(task, params), expected, rtol=1e-6, atol=1e-9)


def test_what_is_out_of_range_is_refused() -> None:
    assert (
        accepted(
            EKFAC,
            curvature="fisher",
            sharing="tokens",
            precision="float16",
            damping=-0.1,
            samples=0,
            batch_size=0,
            rank=-1,
        )
        == {}
    )
