from __future__ import annotations

import torch

from sciml.linalg.sparse import Sparse

ROW, COLUMN = torch.tensor([2, 0, 2, 1, 2]), torch.tensor([1, 3, 1, 0, 0])
VALUE = torch.tensor([1.0, 2.0, 4.0, -3.0, 0.5], dtype=torch.float64)
DENSE = torch.tensor([[0, 0, 0, 2], [-3, 0, 0, 0], [0.5, 5, 0, 0]], dtype=torch.float64)


def test_products_are_those_of_the_dense_matrix_with_entries_at_one_place_added() -> None:
    sparse = Sparse(ROW, COLUMN, VALUE, (3, 4))
    x, y = torch.randn(2, 4, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    torch.testing.assert_close(sparse(x), x @ DENSE.T)
    torch.testing.assert_close(sparse.transpose(y), y @ DENSE)


def test_derivatives_of_both_modes_and_of_second_order() -> None:
    sparse = Sparse(ROW, COLUMN, VALUE, (3, 4))
    x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: sparse(x).pow(3), x)
    assert torch.autograd.gradcheck(lambda y: sparse.transpose(y).sin(), sparse(x).detach().requires_grad_())
    _, along = torch.func.jvp(sparse, (x.detach(),), (torch.ones_like(x),))
    torch.testing.assert_close(along, DENSE.sum(1).expand(2, -1))
