"""The losses by name: the class, and those of its options that a task file can hold."""

from collections.abc import Mapping, Sequence

LOSSES: Mapping[str, tuple[str, Sequence[str]]] = {
    "cross_entropy": ("lehi_cli.curvature:CrossEntropy", ("ignore_index", "label_smoothing")),
    "bce": ("lehi_cli.curvature:BCE", ()),
    "mse": ("lehi_cli.curvature:MSE", ()),
    "huber": ("lehi_cli.curvature:Huber", ("delta",)),
    "smooth_l1": ("lehi_cli.curvature:SmoothL1", ("beta",)),
    "nll": ("lehi_cli.curvature:NLL", ("ignore_index",)),
    "poisson_nll": ("lehi_cli.curvature:PoissonNLL", ("log_input", "full", "eps")),
    "gaussian_nll": ("lehi_cli.curvature:GaussianNLL", ("var", "full", "eps")),
}
