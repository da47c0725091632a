"""Data sources: functions `name(**options) -> Dataset` whose splits and contents never change.

A task names its source as `data: {source: digits, checksum: ..., <options>}`. The table holds import strings, so that
listing and planning stay clear of torch.
"""

SOURCES = {
    "digits": "lehi_cli.data.embedded:digits",
    "breast_cancer": "lehi_cli.data.embedded:breast_cancer",
    "diabetes": "lehi_cli.data.embedded:diabetes",
    "quadratic": "lehi_cli.data.quadratic:quadratic",
    "markov": "lehi_cli.data.markov:markov",
}
