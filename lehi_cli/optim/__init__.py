"""This project's optimizers. They work in any training script and need torch, but nothing of the command-line tool."""

from lehi_cli.optim.block_hessian_free import BlockHessianFree
from lehi_cli.optim.hessian_free import HessianFree
from lehi_cli.optim.lehi import LEHI
from lehi_cli.optim.lehibrid import LEHIBRID
from lehi_cli.optim.muon import MuonAdamW
from lehi_cli.optim.sfn import SFN
from lehi_cli.optim.soaa import SOAA
from lehi_cli.optim.sophia import Sophia

__all__ = ["LEHI", "LEHIBRID", "SFN", "SOAA", "BlockHessianFree", "HessianFree", "MuonAdamW", "Sophia"]
