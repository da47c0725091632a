"""Losses with the factors of their Hessian in the outputs: what curvature-aware optimizers ask of a loss."""

from lehi_cli.curvature.bce import BCE
from lehi_cli.curvature.cross_entropy import CrossEntropy
from lehi_cli.curvature.custom import CustomLoss
from lehi_cli.curvature.loss import FACTOR_KINDS, Loss
from lehi_cli.curvature.mse import MSE
from lehi_cli.curvature.resolve import make_loss

__all__ = ["BCE", "FACTOR_KINDS", "MSE", "CrossEntropy", "CustomLoss", "Loss", "make_loss"]
