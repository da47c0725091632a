"""Small models: functions `name(dataset, **options) -> nn.Module` that take their widths from the dataset.

Weights come from torch's global generator, which the caller seeds. A task names its model as
`model: {kind: mlp, <options>}`. The table holds import strings, so that listing and planning stay clear of torch.
"""

MODELS = {
    "linear": "lehi_cli.models.mlp:linear",
    "mlp": "lehi_cli.models.mlp:mlp",
    "gru": "lehi_cli.models.sequence:gru",
    "transformer": "lehi_cli.models.sequence:transformer",
}
