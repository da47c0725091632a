"""The records of the optimizers that come with the tool, one file per origin, in the order of the listing."""

from lehi_cli.registry.record import OptimizerRecord

from . import hessian_free, lehi, packages, series, sophia, torch_optim

BUILT_IN: tuple[OptimizerRecord, ...] = (
    *lehi.RECORDS,
    *sophia.RECORDS,
    *torch_optim.RECORDS,
    *packages.RECORDS,
    *hessian_free.RECORDS,
    *series.RECORDS,
)
