"""The same networks and the same training step in PyTorch, for benchmark.py. Optional.

Twins in size and work, not in weights: PyTorch pads strided convolutions on both sides, and
BatchNorm2d's scale, which FusedBatchNorm has not, is frozen at one.
"""

import itertools
import time
from types import SimpleNamespace

from benchmark_candidate import LeftOut
from benchmark_twins import MOMENTUM, RESIDUAL

try:
    import torch
    from torch import nn
except ImportError:
    torch = None


def why_not(run) -> str | None:
    """Why a compiled step does not run here, in words; None where it does. Compiles it.

    Args:
        run: see `training_step`.
    """
    try:
        run(1)
    except FloatingPointError:
        raise
    except Exception as error:  # whatever the compiler, or what it calls, finds wrong
        text = str(error)
        if "C++ compiler" in text or "CppCompile" in type(error).__name__:
            return "torch.compile: no C++ compiler works here"
        return f"torch.compile: {type(error).__name__}: {(text.splitlines() or [''])[0]}"[:200]
    return None


def candidate(name: str, precision: str, options: dict, learning_rate: float, **setting):
    """A candidate for benchmark_candidate.py: `training_step` on a table of noise.

    Raises:
        LeftOut: PyTorch is not here, or it cannot compile the step.
    """
    import benchmark_noise

    if torch is None:
        raise LeftOut("PyTorch is not installed")
    given = SimpleNamespace(**options)
    run, parameters = training_step(
        name, precision, benchmark_noise.arrays(given), batch_size=given.batch_size,
        input_size=given.input_size, crop=given.augment == "crop", learning_rate=learning_rate,
        threads=given.threads, **setting,
    )  # fmt: skip
    if setting.get("compiled"):
        reason = why_not(run)
        if reason is not None:
            raise LeftOut(reason)
    return run, {"parameters": parameters}


def network(name: str, input_size: int, channels: int, num_classes: int):
    """Body and head of a model.

    Args:
        name: one of TWINS.
        input_size: height and width, a multiple of 4.
        channels: of the images.
        num_classes: number of logits.

    Returns:
        (nn.Module to features, nn.Linear to logits); the head stays in float32.
    """
    if name.startswith("mlp"):
        widths = [input_size**2 * channels] + [512] * int(name.removeprefix("mlp_")[0])
        layers = [nn.Flatten()]
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        body, features = nn.Sequential(*layers), 512
    elif name == "alexnet":
        body, features = _alexnet(input_size, channels), 192
    elif name in RESIDUAL:
        import benchmark_torch_residual  # which needs PyTorch

        body, features = benchmark_torch_residual.body(name, channels)
    else:
        body, features = _inception(channels, batch_norm=name == "inception"), 336
    head = nn.Linear(features, num_classes)
    for module in (*body.modules(), head):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return body, head


def _alexnet(input_size, channels):
    def block(before):
        return (
            nn.Conv2d(before, 64, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            # PyTorch divides alpha by the size, TensorFlow does not.
            nn.LocalResponseNorm(9, alpha=0.001, beta=0.75, k=1.0),
        )

    flat = 64 * (input_size // 4) ** 2
    dense = (nn.Linear(flat, 384), nn.ReLU(), nn.Linear(384, 192), nn.ReLU())
    return nn.Sequential(*block(channels), *block(64), nn.Flatten(), *dense)


class _Both(nn.Module if torch else object):
    """Two branches of one input, concatenated by channel."""

    def __init__(self, left, right):
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x):
        return torch.cat([self.left(x), self.right(x)], dim=1)


def _inception(channels, batch_norm):
    def conv(before, after, size, stride=1):
        layers = [nn.Conv2d(before, after, size, stride, size // 2, bias=not batch_norm)]
        if batch_norm:
            layers.append(nn.BatchNorm2d(after, eps=1e-3, momentum=0.1))
            layers[-1].weight.requires_grad_(False)
        return nn.Sequential(*layers, nn.ReLU(inplace=True))

    def inception(before, one, three):
        return _Both(conv(before, one, 1), conv(before, three, 3))

    def downsample(before, after):
        return _Both(conv(before, after, 3, 2), nn.MaxPool2d(3, 2, ceil_mode=True))

    return nn.Sequential(
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
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def count_trainable(*modules) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for m in modules for p in m.parameters() if p.requires_grad)


def training_step(
    name,
    precision,
    table,
    *,
    batch_size,
    input_size,
    crop,
    learning_rate,
    threads,
    channels_last=False,
    compiled=False,
):
    """A resident model and table with a step that gathers, crops, standardises and trains.

    Args:
        name: one of TWINS.
        precision: `float32` or `mixed_bfloat16`; the latter is autocast.
        table: of uint8 images [N, H, W, C]; see `pipeline.Table`.
        batch_size: examples per step.
        input_size: height and width that the model sees.
        crop: random crops; else the images have the input's size.
        learning_rate: of SGD with momentum 0.9.
        threads: of arithmetic.
        channels_last: memory format of the convolutions.
        compiled: use torch.compile.

    Returns:
        (run, number of trainable parameters); run(count) trains `count` steps and returns seconds.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # as TensorFlow does
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = torch.tensor(table.images).to(device)
    labels = torch.tensor(table.given).long().to(device)
    size, whole = input_size, table.num_examples // batch_size
    order = torch.randperm(table.num_examples, device=device)
    body, head = network(name, size, images.shape[-1], table.num_classes)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    body, head = body.to(device, memory_format=memory), head.to(device)
    parameters = [p for m in (body, head) for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, learning_rate, momentum=MOMENTUM, fused=True)
    loss_sum, correct = torch.zeros([], device=device), torch.zeros([], device=device)

    def gather(chosen):
        if not crop:
            return images.index_select(0, chosen)
        room = images.shape[1] - size + 1
        pixels = torch.arange(size, device=device)
        top, left = (torch.randint(room, (batch_size, 1), device=device) + pixels for _ in range(2))
        return images[chosen[:, None, None], top[:, :, None], left[:, None, :]]

    def loss_and_hits(chosen):
        x = gather(chosen).flatten(1).float()
        x = x - x.mean(1, keepdim=True)
        x = x / x.square().mean(1, keepdim=True).sqrt().clamp(min=x.shape[1] ** -0.5)
        if not name.startswith("mlp"):  # [B, H, W, C] in memory is PyTorch's channels_last
            x = x.view(-1, size, size, images.shape[-1]).permute(0, 3, 1, 2)
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
    return run, count_trainable(body, head)
