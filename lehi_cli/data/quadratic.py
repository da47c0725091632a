"""Linear least squares whose Hessian, minimiser and minimum are known exactly.

The inputs X [N, d] of every split are built, not drawn: `XᵀX / N = R diag(λ) Rᵀ` holds to rounding, with eigenvalues λ
log-spaced from 1 down to 1 / condition and a random rotation R. Targets are `y = X w* + e` with `Xᵀe = 0` and
`|e|² / N = noise²`. For any weights w the mean square error is therefore, on each split alike,

    L(w) = (w − w*)ᵀ R diag(λ) Rᵀ (w − w*) + noise²,    Hessian 2 R diag(λ) Rᵀ,    minimum noise² at w*.

There is no generalisation gap: the validation loss above `noise²` is the optimizer's error alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from lehi_cli.data.dataset import Dataset, Split, checksum

HELD_OUT_SHARE = 4  # val and test have a quarter of the training rows each


@dataclass(frozen=True)
class QuadraticProblem:
    """The problem in float64, before it is stored as float32.

    Attributes:
        eigenvalues: λ [d], descending, of the inputs' second moment `XᵀX / N`.
        rotation: R [d, d]; its columns are the eigenvectors.
        optimum: minimiser w* [d], random, of length about 1.
        splits: inputs X [N, d] and targets y [N] per split.
        checksum: identity of the random draws and options behind them.
    """

    eigenvalues: np.ndarray
    rotation: np.ndarray
    optimum: np.ndarray
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]]
    checksum: str

    @property
    def hessian(self) -> np.ndarray:
        """Hessian [d, d] of the mean square error: `2 R diag(λ) Rᵀ`."""
        return 2 * (self.rotation * self.eigenvalues) @ self.rotation.T


def quadratic(
    dimension: int = 32,
    condition: float = 1000.0,
    rows: int = 2048,
    noise: float = 0.1,
    rotate: bool = True,
    seed: int = 0,
) -> Dataset:
    """The problem of `quadratic_problem` as float32 tensors: inputs [N, dimension], targets [N, 1], one output.

    Raises:
        ValueError: an option is out of its range.
    """
    problem = quadratic_problem(dimension, condition, rows, noise, rotate, seed)
    splits = {
        name: Split(torch.from_numpy(X.astype(np.float32)), torch.from_numpy(y[:, None].astype(np.float32)))
        for name, (X, y) in problem.splits.items()
    }
    return Dataset(splits, outputs=1, checksum=problem.checksum, floor=dict.fromkeys(splits, float(noise**2)))


quadratic.fake = quadratic  # type: ignore[attr-defined]  # it needs no files anyway


def quadratic_problem(
    dimension: int = 32,
    condition: float = 1000.0,
    rows: int = 2048,
    noise: float = 0.1,
    rotate: bool = True,
    seed: int = 0,
) -> QuadraticProblem:
    """Build the least-squares problem.

    Args:
        dimension: number d of weights.
        condition: largest over smallest eigenvalue of the Hessian.
        rows: training rows; `val` and `test` have a quarter of them each.
        noise: root mean square of the part that no weights can explain.
        rotate: rotate the eigenvectors at random; otherwise they are the coordinate axes, where a diagonal
            preconditioner is perfect.
        seed: of all random draws here.

    Raises:
        ValueError: an option is out of its range.
    """
    for name, value, valid, allowed in (
        ("dimension", dimension, dimension >= 1, "at least 1"),
        ("condition", condition, condition >= 1, "at least 1"),
        ("rows", rows, rows // HELD_OUT_SHARE > dimension, f"more than {HELD_OUT_SHARE} times dimension={dimension}"),
        ("noise", noise, noise >= 0, "0 or more"),
    ):
        if not valid:
            raise ValueError(f"quadratic: {name}={value!r} must be {allowed}")

    # RandomState, not default_rng: NumPy has frozen its stream, while a Generator's may change between versions
    random = np.random.RandomState(seed)
    sizes = {"train": rows, "val": rows // HELD_OUT_SHARE, "test": rows // HELD_OUT_SHARE}
    optimum = random.standard_normal(dimension) / np.sqrt(dimension)
    turn = random.standard_normal((dimension, dimension))
    draws = {name: random.standard_normal((size, dimension + 1)) for name, size in sizes.items()}

    eigenvalues = np.geomspace(1, 1 / condition, dimension)
    rotation = _orthonormal(turn) if rotate else np.eye(dimension)
    splits = {}
    for name, draw in draws.items():
        # the last column is orthogonal to all others: it becomes the noise
        basis = _orthonormal(draw) * np.sqrt(len(draw))
        inputs = basis[:, :-1] * np.sqrt(eigenvalues) @ rotation.T
        splits[name] = inputs, inputs @ optimum + noise * basis[:, -1]

    # linear algebra differs in the last bits between machines: the identity is that of the rounded draws
    options = np.array([condition, noise, rotate], dtype=np.float64)
    identity = checksum([options, *(draw.round(4) for draw in (optimum, turn, *draws.values()))])
    return QuadraticProblem(eigenvalues, rotation, optimum, splits, identity)


def _orthonormal(matrix: np.ndarray) -> np.ndarray:
    """Q [n, d] of the one QR factorisation of `matrix` [n, d] whose R has a positive diagonal: Gram–Schmidt."""
    q, r = np.linalg.qr(matrix)
    return q * np.sign(np.diag(r))
