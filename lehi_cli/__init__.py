"""Compare optimizers on real tasks, at an equal price, with paired seeds."""

__version__ = "0.1.0"
