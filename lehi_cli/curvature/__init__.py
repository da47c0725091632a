"""Losses with factors of their Hessian in the outputs: what curvature-aware optimizers need from a loss."""

from lehi_cli.curvature.bce import BCE
from lehi_cli.curvature.check import check_loss
from lehi_cli.curvature.cross_entropy import CrossEntropy
from lehi_cli.curvature.custom import CustomLoss
from lehi_cli.curvature.gaussian_nll import GaussianNLL
from lehi_cli.curvature.huber import Huber
from lehi_cli.curvature.loss import FACTOR_KINDS, Loss
from lehi_cli.curvature.mse import MSE
from lehi_cli.curvature.nll import NLL
from lehi_cli.curvature.poisson_nll import PoissonNLL
from lehi_cli.curvature.resolve import make_loss
from lehi_cli.curvature.smooth_l1 import SmoothL1

__all__ = [
    "BCE",
    "FACTOR_KINDS",
    "MSE",
    "NLL",
    "CrossEntropy",
    "CustomLoss",
    "GaussianNLL",
    "Huber",
    "Loss",
    "PoissonNLL",
    "SmoothL1",
    "check_loss",
    "make_loss",
]
