"""Small models: functions `name(dataset, **options) -> nn.Module` that take their widths from the dataset.

Weights come from torch's global generator, which the caller seeds.
"""
