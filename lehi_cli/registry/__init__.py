"""The names of optimizers and tasks, and the records behind them. Importing this package never imports torch.

Built-in records and third-party plug-ins come through one door, `Catalog.add`: a duplicate name is an error, and a
plug-in that fails to load is reported by name and does not stop anything else.
"""
