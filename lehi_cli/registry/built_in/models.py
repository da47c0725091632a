"""The models: functions `name(dataset, **options) -> nn.Module` that take their widths from the dataset.

A task names its model as `model: {kind: mlp, <options>}`.
"""

MODELS = {
    "linear": "lehi_cli.models.mlp:linear",
    "mlp": "lehi_cli.models.mlp:mlp",
    "cnn": "lehi_cli.models.conv:cnn",
    "resnet18": "lehi_cli.models.resnet:resnet18",
    "resnet18_gn": "lehi_cli.models.resnet:resnet18_gn",
    "autoencoder": "lehi_cli.models.autoencoder:autoencoder",
    "lstm_classifier": "lehi_cli.models.lstm_classifier:lstm_classifier",
    "gru": "lehi_cli.models.sequence:gru",
    "transformer": "lehi_cli.models.sequence:transformer",
    "lstm": "lehi_cli.models.lstm:lstm",
    "llama": "lehi_cli.models.llama:llama",
}
