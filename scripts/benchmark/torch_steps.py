"""The same networks and the same training step in PyTorch, which is optional.

They are the same in size and work, not in weights: PyTorch pads strided convolutions on both sides,
and BatchNorm2d's scale, which FusedBatchNorm has not, is frozen at one.
"""

import itertools
import time

from benchmark import task
from benchmark.candidates import LeftOut

try:
    import torch
    from torch import nn
except ImportError:
    torch = None


def network(name: str, input_size: int, channels: int, num_classes: int):
    """(nn.Module to features, nn.Linear to logits, which stays in float32) of one of task.MODELS.

    The input size is a multiple of 4.
    """
    if name.startswith("mlp"):
        widths = [input_size**2 * channels] + [512] * int(name.removeprefix("mlp_")[0])
        layers = [nn.Flatten()]
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        body, features = nn.Sequential(*layers), 512
    elif name == "alexnet":
        body, features = _alexnet(input_size, channels), 192
    elif name == "wrn_28_1":
        body, features = _residual(channels, (4, 4, 4), (16, 32, 64), _block_before), 64
    elif name == "resnet_18":
        body, features = _residual(channels, (2,) * 4, (64, 128, 256, 512), _block_after), 512
    else:
        body, features = _inception(channels, batch_norm=name == "inception"), 336
    head = nn.Linear(features, num_classes)
    for module in (*body.modules(), head):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return body, head


class _Both(nn.Module if torch else object):
    """Two branches of one input, concatenated by channel, or added."""

    def __init__(self, left, right, add=False):
        super().__init__()
        self.left, self.right, self.add = left, right, add

    def forward(self, x):
        left, right = self.left(x), self.right(x)
        return left + right if self.add else torch.cat([left, right], dim=1)


def _conv(before, after, size, stride=1, bias=False):
    return nn.Conv2d(before, after, size, stride, size // 2, bias=bias)


def _pooled(*layers):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _alexnet(input_size, channels):
    def block(before):
        # PyTorch divides alpha by the size, TensorFlow does not.
        normalise = nn.LocalResponseNorm(9, alpha=0.001, beta=0.75, k=1.0)
        pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        return _conv(before, 64, 5, bias=True), nn.ReLU(), pool, normalise

    flat = 64 * (input_size // 4) ** 2
    dense = (nn.Linear(flat, 384), nn.ReLU(), nn.Linear(384, 192), nn.ReLU())
    return nn.Sequential(*block(channels), *block(64), nn.Flatten(), *dense)


def _inception(channels, batch_norm):
    def conv(before, after, size, stride=1):
        layers = [_conv(before, after, size, stride, bias=not batch_norm)]
        if batch_norm:
            layers.append(nn.BatchNorm2d(after, eps=1e-3, momentum=0.1))
            layers[-1].weight.requires_grad_(False)
        return nn.Sequential(*layers, nn.ReLU(inplace=True))

    def inception(before, one, three):
        return _Both(conv(before, one, 1), conv(before, three, 3))

    def downsample(before, after):
        return _Both(conv(before, after, 3, 2), nn.MaxPool2d(3, 2, ceil_mode=True))

    return _pooled(
        conv(channels, 96, 3),
        inception(96, 32, 32),
        inception(64, 32, 48),
        downsample(80, 80),
        inception(160, 112, 48),
        inception(160, 96, 64),
        inception(160, 80, 80),
        inception(160, 48, 96),
        downsample(144, 96),
        inception(240, 176, 160),
        inception(336, 176, 160),
    )


def _activate(channels):
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def _block_before(before, after, stride):
    """Two 3x3 convolutions, each after batch norm and ReLU, beside the identity.

    Where the size changes, a 1x1 convolution of what is activated stands for the identity.
    """
    first = _activate(before)
    branch = (_conv(before, after, 3, stride), _activate(after), _conv(after, after, 3))
    if before == after and stride == 1:
        return _Both(nn.Sequential(first, *branch), nn.Identity(), add=True)
    short = _conv(before, after, 1, stride)
    return nn.Sequential(first, _Both(nn.Sequential(*branch), short, add=True))


def _block_after(before, after, stride):
    """Two 3x3 convolutions, each before its batch norm, beside the identity; then ReLU."""
    branch = nn.Sequential(
        _conv(before, after, 3, stride),
        _activate(after),
        _conv(after, after, 3),
        nn.BatchNorm2d(after),
    )
    short = nn.Identity()
    if before != after or stride > 1:
        short = nn.Sequential(_conv(before, after, 1, stride), nn.BatchNorm2d(after))
    return nn.Sequential(_Both(branch, short, add=True), nn.ReLU())


def _residual(channels, counts, widths, block):
    """Blocks by stage, and one more activation: before them, or after those that begin with one."""
    width, layers = widths[0], [_conv(channels, widths[0], 3)]
    if block is _block_after:
        layers.append(_activate(width))
    for stage, (count, after) in enumerate(zip(counts, widths, strict=True)):
        for number in range(count):
            layers.append(block(width, after, 2 if stage and not number else 1))
            width = after
    if block is _block_before:
        layers.append(_activate(width))
    return _pooled(*layers)


def count_trainable(*modules) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for m in modules for p in m.parameters() if p.requires_grad)


def candidate(name, precision, options, channels_last=False, compiled=False):
    """A candidate: steps on a resident table that gather, standardise and train.

    `mixed_bfloat16` is autocast. LeftOut where PyTorch is not here.
    """
    if torch is None:
        raise LeftOut("PyTorch is not installed")
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # as TensorFlow does
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    arrays = task.noise(options.examples, options.input_size)
    images, labels = (torch.tensor(array).to(device) for array in arrays)
    labels, size, channels = labels.long(), options.input_size, images.shape[-1]
    batch_size, whole = options.batch_size, options.examples // options.batch_size
    order = torch.randperm(options.examples, device=device)
    body, head = network(name, size, channels, task.CLASSES)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    body, head = body.to(device, memory_format=memory), head.to(device)
    parameters = [p for m in (body, head) for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, task.LEARNING_RATE, momentum=task.MOMENTUM, fused=True)
    loss_sum, correct = torch.zeros([], device=device), torch.zeros([], device=device)

    def loss_and_hits(chosen):
        x = images.index_select(0, chosen).flatten(1).float()
        x = x - x.mean(1, keepdim=True)
        x = x / x.square().mean(1, keepdim=True).sqrt().clamp(min=x.shape[1] ** -0.5)
        if not name.startswith("mlp"):  # [B, H, W, C] in memory is PyTorch's channels_last
            x = x.view(-1, size, size, channels).permute(0, 3, 1, 2)
            x = x.contiguous(memory_format=memory)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision != "float32"):
            x = body(x)
        logits, given = head(x.float()), labels.index_select(0, chosen)
        loss = nn.functional.cross_entropy(logits, given)
        return loss, (logits.argmax(1) == given).sum()

    forward = torch.compile(loss_and_hits) if compiled else loss_and_hits
    position = 0

    def run(count):
        nonlocal position
        started = time.monotonic()
        for _ in range(count):
            low = position % whole * batch_size
            position += 1
            optimizer.zero_grad(set_to_none=True)
            loss, hits = forward(order[low : low + batch_size])
            loss.backward()
            optimizer.step()
            loss_sum.add_(loss.detach(), alpha=batch_size)
            correct.add_(hits)
        if not torch.isfinite(loss_sum):  # waits for the device
            raise FloatingPointError(f"{name} in PyTorch: the loss became NaN or infinite")
        return time.monotonic() - started

    body.train()
    return run, {"parameters": count_trainable(body, head)}
