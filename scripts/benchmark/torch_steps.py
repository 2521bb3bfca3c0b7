"""The same networks and the same training step in PyTorch, which is optional.

The networks are ours, layer by layer, in size and work, not in weights: PyTorch pads strided
convolutions on both sides, and where FusedBatchNorm has no scale, that of BatchNorm2d is frozen at
one.
"""

import time

from benchmark import task
from benchmark.candidates import LeftOut

try:
    import torch
    from torch import nn
except ImportError:
    torch = None


class Network(nn.Module if torch else object):
    """All layers but the last of `tensorflow_steps.layers_of`; an image to features."""

    def __init__(self, layers):
        super().__init__()
        self.numbers = [numbers for *_, numbers in layers[:-1]]
        self.parts = nn.ModuleList([_module(*layer[:-1]) for layer in layers[:-1]])

    def forward(self, x):
        """float [B, C, H, W] -> float [B, features]."""
        values = [x]
        for part, numbers in zip(self.parts, self.numbers, strict=True):
            values.append(part(*(values[number] for number in numbers)))
        return values[-1]


class _Concatenate(nn.Module if torch else object):
    def forward(self, *x):
        return torch.cat(x, dim=1)


class _Add(nn.Module if torch else object):
    def forward(self, x, y):
        return x + y


def _module(kind, config, before):
    """The module of a layer of this kind that gets so many channels or features."""
    if kind == "Conv2D":
        size, use_bias = config["kernel_size"][0], config["use_bias"]
        made = nn.Conv2d(
            before, config["filters"], size, config["strides"], size // 2, bias=use_bias
        )
    elif kind == "Dense":
        made = nn.Linear(before, config["units"])
    elif kind == "FusedBatchNorm":
        made = nn.BatchNorm2d(before, config["epsilon"], 1 - config["momentum"])
        made.weight.requires_grad_(config["scale"])
    elif kind == "LocalResponseNorm":  # PyTorch divides alpha by the size, TensorFlow does not
        size = 2 * config["radius"] + 1
        alpha = config["alpha"] * size
        made = nn.LocalResponseNorm(size, alpha, config["beta"], config["bias"])
    elif kind == "MaxPooling2D":
        made = nn.MaxPool2d(config["pool_size"], config["strides"], ceil_mode=True)
    elif kind == "GlobalAveragePooling2D":
        made = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    else:
        others = {"Flatten": nn.Flatten, "Concatenate": _Concatenate, "Add": _Add}
        made = nn.ReLU(inplace=True) if kind == "ReLU" else others[kind]()
    if config.get("activation") == "relu":
        made = nn.Sequential(made, nn.ReLU(inplace=True))
    return made


def network(layers):
    """(nn.Module to features, nn.Linear to logits, which stays in float32) of our layers."""
    body, head = Network(layers), _module(*layers[-1][:-1])
    for module in (*body.modules(), head):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return body, head


def candidate(layers, precision, options, channels_last=False, compiled=False):
    """A candidate: steps on a resident table that gather, standardise and train.

    `layers` are of `tensorflow_steps.layers_of`; `mixed_bfloat16` is autocast. LeftOut where
    PyTorch is not here.
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
    body, head = network(layers)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    body, head = body.to(device, memory_format=memory), head.to(device)
    parameters = [p for m in (body, head) for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, task.LEARNING_RATE, momentum=task.MOMENTUM, fused=True)
    loss_sum, correct = torch.zeros([], device=device), torch.zeros([], device=device)

    def loss_and_hits(chosen):
        x = images.index_select(0, chosen).flatten(1).float()
        x = x - x.mean(1, keepdim=True)
        x = x / x.square().mean(1, keepdim=True).sqrt().clamp(min=x.shape[1] ** -0.5)
        if layers[0][0] != "Flatten":  # [B, H, W, C] in memory is PyTorch's channels_last
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
            raise FloatingPointError("in PyTorch the loss became NaN or infinite")
        return time.monotonic() - started

    body.train()
    return run, {}
