"""The training loop: one run in, its metric rows out. It drives each kind of optimizer and measures what it spends."""
