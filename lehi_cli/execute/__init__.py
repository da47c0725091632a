"""Carrying out a plan: which runs are already there, which have to be trained, and on what.

An executor takes specs and leaves runs in the store; how many processes it uses cannot change a number.
"""
