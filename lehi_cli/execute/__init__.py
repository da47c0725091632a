"""Execution of a plan: which runs are stored, which have to be trained, and where.

An executor takes specs and leaves runs in the store; how many processes it uses cannot change a number.
"""
