"""WRN-28-1 and ResNet-18 for small images in PyTorch, for benchmark_torch.py."""

from torch import nn

# Blocks of each stage, its channels; whether activations come before the convolutions.
_NETWORKS = {
    "wrn_28_1": ((4, 4, 4), (16, 32, 64), True),
    "resnet_18": ((2, 2, 2, 2), (64, 128, 256, 512), False),
}


def _conv(before, after, size, stride=1):
    return nn.Conv2d(before, after, size, stride, size // 2, bias=False)


def _activate(channels):
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class _Before(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU, beside the identity."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.first = _activate(before)
        self.branch = nn.Sequential(
            _conv(before, after, 3, stride), _activate(after), _conv(after, after, 3)
        )
        self.short = _conv(before, after, 1, stride) if before != after or stride > 1 else None

    def forward(self, x):
        y = self.first(x)
        return (x if self.short is None else self.short(y)) + self.branch(y)


class _After(nn.Module):
    """Two 3x3 convolutions, each before its batch norm, beside the identity; then ReLU."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.branch = nn.Sequential(
            _conv(before, after, 3, stride), _activate(after),
            _conv(after, after, 3), nn.BatchNorm2d(after),
        )  # fmt: skip
        self.short = nn.Identity()
        if before != after or stride > 1:
            self.short = nn.Sequential(_conv(before, after, 1, stride), nn.BatchNorm2d(after))

    def forward(self, x):
        return nn.functional.relu(self.short(x) + self.branch(x))


def body(name: str, channels: int) -> tuple[nn.Module, int]:
    """A network from images [B, channels, H, W] to features, and how many these are."""
    counts, widths, before_convolutions = _NETWORKS[name]
    kind, width = (_Before if before_convolutions else _After), widths[0]
    layers = [_conv(channels, width, 3)]
    if not before_convolutions:
        layers.append(_activate(width))
    for stage, (count, after) in enumerate(zip(counts, widths, strict=True)):
        for number in range(count):
            layers.append(kind(width, after, 2 if stage and not number else 1))
            width = after
    if before_convolutions:
        layers.append(_activate(width))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), width
