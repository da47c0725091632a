"""ResNet-18 in its CIFAR form, on torchvision's blocks (He et al., "Deep Residual Learning", 2016).

Images of 32 x 32 are too small for the ImageNet stem: here the first convolution is 3 x 3 with stride 1, and there is
no pooling after it. Weights are drawn as torchvision draws them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from lehi_cli.data.dataset import Dataset
from lehi_cli.models.conv import image_shape


def resnet18(dataset: Dataset) -> nn.Module:
    """ResNet-18 with batch normalisation, [N, C, H, W] -> [N, outputs]; 11,173,962 weights for CIFAR-10.

    Raises:
        ValueError: the inputs are not images.
    """
    return _cifar_resnet18(image_shape("resnet18", dataset)[0], dataset.outputs, nn.BatchNorm2d)


def resnet18_gn(dataset: Dataset, groups: int = 32) -> nn.Module:
    """ResNet-18 with group normalisation: each output depends on its own sample alone, and no statistics are kept.

    Raises:
        ValueError: the inputs are not images, or `groups` does not divide 64, the smallest number of channels.
    """
    if type(groups) is not int or groups < 1 or 64 % groups:
        raise ValueError(f"resnet18_gn: groups={groups!r} must be a positive divisor of 64")
    return _cifar_resnet18(image_shape("resnet18_gn", dataset)[0], dataset.outputs, partial(nn.GroupNorm, groups))


def _cifar_resnet18(channels: int, outputs: int, norm: Callable[..., nn.Module]) -> nn.Module:
    # torchvision takes most of a second to import: only a run that needs it pays for that
    from torchvision.models.resnet import BasicBlock, ResNet

    net = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=outputs, norm_layer=norm)
    net.conv1 = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    net.maxpool = nn.Identity()
    return net
