"""The training loop: one run in, its metric rows out; how it drives each kind of optimizer, and what it measures."""
