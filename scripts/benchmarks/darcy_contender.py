"""One contender of the Darcy benchmark, in whichever environment: solves the same systems each time it is asked to.

Says the largest relative residual of its solutions once, then answers each line of its input with the processor and
wall seconds of solving all samples anew, from coefficients to solutions: matrices, factors and hierarchies included,
as each sample has its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np

RTOL = 1e-8
Solver = Callable[[np.ndarray], np.ndarray]  # (samples, points, points) of coefficients to solutions


def own() -> Solver:
    import torch

    from sciml.equation.darcy import Darcy

    torch.set_num_threads(1)
    one = torch.tensor(1.0, dtype=torch.float64)
    return lambda a: Darcy().solve(torch.from_numpy(a), one, rtol=RTOL).u.numpy()


def each(points: int, solve: Callable) -> Solver:
    """A solver of one matrix at a time; where its entries stand is found once."""
    import scipy.sparse as sparse

    n = points - 2
    number = np.arange(n * n).reshape(n, n)
    rows = [number, number[:-1], number[1:], number[:, :-1], number[:, 1:]]
    columns = [number, number[1:], number[:-1], number[:, 1:], number[:, :-1]]
    count = sum(part.size for part in rows)
    where = sparse.csc_matrix(
        (
            np.arange(1, count + 1),
            (np.concatenate([r.ravel() for r in rows]), np.concatenate([c.ravel() for c in columns])),
        )
    )
    order = where.data - 1
    right = np.ones(n * n)

    def one(a: np.ndarray) -> np.ndarray:
        x = (a[1:, 1:-1] + a[:-1, 1:-1]) / 2 * (points - 1) ** 2
        y = (a[1:-1, 1:] + a[1:-1, :-1]) / 2 * (points - 1) ** 2
        diagonal = x[1:] + x[:-1] + y[:, 1:] + y[:, :-1]
        data = np.concatenate([part.ravel() for part in (diagonal, -x[1:-1], -x[1:-1], -y[:, 1:-1], -y[:, 1:-1])])
        matrix = sparse.csc_matrix((data[order], where.indices, where.indptr), shape=where.shape)
        return np.pad(solve(matrix, right).reshape(n, n), 1)

    return lambda a: np.stack([one(sample) for sample in a])


def direct(points: int) -> Solver:
    from scipy.sparse.linalg import splu

    def solve(matrix, right):  # the ordering and pivoting for symmetric matrices: two to four times faster than spsolve
        return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}).solve(
            right
        )

    return each(points, solve)


def spsolve(points: int) -> Solver:
    from scipy.sparse.linalg import spsolve as default

    return each(points, default)


def pyamg(points: int) -> Solver:
    import pyamg as amg

    def solve(matrix, right):  # symmetric: its columns are its rows
        return amg.ruge_stuben_solver(matrix.T.tocsr()).solve(right, tol=RTOL, accel="cg")

    return each(points, solve)


def residual(a: np.ndarray, u: np.ndarray) -> float:
    n = a.shape[-1] - 1
    flux_x = (a[:, 1:, 1:-1] + a[:, :-1, 1:-1]) / 2 * np.diff(u, axis=1)[:, :, 1:-1]
    flux_y = (a[:, 1:-1, 1:] + a[:, 1:-1, :-1]) / 2 * np.diff(u, axis=2)[:, 1:-1]
    left = 1 + n**2 * (np.diff(flux_x, axis=1) + np.diff(flux_y, axis=2))
    return float(np.sqrt((left**2).mean(axis=(1, 2))).max())


def main() -> None:
    name, file = sys.argv[1:]
    a = np.load(file)
    solver = own() if name == "own" else globals()[name](a.shape[-1])
    print(json.dumps({"residual": residual(a, solver(a))}), flush=True)
    for _ in sys.stdin:
        start = time.process_time(), time.perf_counter()
        solver(a)
        print(json.dumps({"cpu": time.process_time() - start[0], "wall": time.perf_counter() - start[1]}), flush=True)


if __name__ == "__main__":
    main()
