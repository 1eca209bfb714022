from __future__ import annotations

import torch

from sciml.data.normalizer import Normalizer


def fitted(u: torch.Tensor) -> Normalizer:
    normalizer = Normalizer(u.shape[-1]).double()
    normalizer.fit(u)
    return normalizer


def test_encoded_training_data_have_mean_zero_and_variance_one_in_each_channel() -> None:
    u = torch.randn(7, 5, 2, dtype=torch.float64) * torch.tensor([3.0, 1e-3]) + torch.tensor([-1.0, 5.0])
    z = fitted(u).encode(u).flatten(0, 1)
    torch.testing.assert_close(z.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-10, rtol=0)
    torch.testing.assert_close(z.square().mean(0), torch.ones(2, dtype=torch.float64))


def test_decode_inverts_encode() -> None:
    u = torch.randn(4, 6, 3, dtype=torch.float64) * 7 + 2
    normalizer = fitted(u)
    torch.testing.assert_close(normalizer.decode(normalizer.encode(u)), u)


def test_a_large_mean_does_not_cancel() -> None:
    u = torch.randn(1000, 1, dtype=torch.float64) * 1e-3 + 1e6
    torch.testing.assert_close(fitted(u).std, u.std(0, correction=0), rtol=1e-6, atol=0)


def test_a_constant_channel_keeps_its_scale() -> None:
    normalizer = fitted(torch.full((5, 4, 1), 0.1, dtype=torch.float64))
    assert normalizer.std.tolist() == [1.0]


def test_a_checkpoint_decodes_without_the_data() -> None:
    assert set(Normalizer(2).state_dict()) == {"mean", "std"}
