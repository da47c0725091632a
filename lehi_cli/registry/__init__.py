"""Names of optimizers and tasks, and what stands behind them. Importing this never imports torch.

Built-in records and third-party plug-ins come through one door, `Catalog.add`: a name that is taken is an error, and a
plug-in that fails to load is reported by name and stops nothing else.
"""
