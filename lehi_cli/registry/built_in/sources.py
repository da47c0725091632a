"""The data sources: functions `name(**options) -> Dataset` whose splits and contents never change.

A task names its source as `data: {source: digits, checksum: ..., <options>}`.
"""

SOURCES = {
    "digits": "lehi_cli.data.embedded:digits",
    "breast_cancer": "lehi_cli.data.embedded:breast_cancer",
    "diabetes": "lehi_cli.data.embedded:diabetes",
    "quadratic": "lehi_cli.data.quadratic:quadratic",
    "markov": "lehi_cli.data.markov:markov",
    "mnist": "lehi_cli.data.vision:mnist",
    "fashion_mnist": "lehi_cli.data.vision:fashion_mnist",
    "mnist_autoencoder": "lehi_cli.data.vision:mnist_autoencoder",
    "smnist": "lehi_cli.data.vision:smnist",
    "cifar10": "lehi_cli.data.vision:cifar10",
    "cifar100": "lehi_cli.data.vision:cifar100",
    "imagefolder": "lehi_cli.data.images:imagefolder",
    "protein": "lehi_cli.data.tables:protein",
    "csv": "lehi_cli.data.tables:csv",
    "ptb": "lehi_cli.data.text:ptb",
    "shakespeare": "lehi_cli.data.text:shakespeare",
    "text": "lehi_cli.data.text:text",
    "fineweb": "lehi_cli.data.text_fineweb:fineweb",
}
