"""The same networks and the same training step in PyTorch, which is optional.

The networks are ours, layer by layer, in size and work, not in weights: PyTorch pads strided
convolutions on both sides, and where FusedBatchNorm has no scale, that of BatchNorm2d is frozen at
one.
"""

import torch
from torch import nn

from benchmark import task


class Network(nn.Module):
    """Layers of `tensorflow_steps.layers_of`; `mixed`: all but the last in bfloat16, as ours."""

    def __init__(self, layers: list[tuple], mixed: bool = False):
        super().__init__()
        self.numbers, self.mixed = [numbers for *_, numbers in layers], mixed
        self.parts = [part(*layer[:-1]) for layer in layers]
        self.registered = nn.ModuleList(p for p in self.parts if isinstance(p, nn.Module))

    def forward(self, x):
        """float [B, C, H, W] -> float32 [B, classes]."""
        values = [x]
        *body, head = self.parts
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.mixed):
            for layer, numbers in zip(body, self.numbers, strict=False):
                values.append(layer(*(values[number] for number in numbers)))
        return head(values[-1].float())


def part(kind: str, config: dict, before: int):
    """What computes a layer of this kind that gets so many channels or features."""
    if kind == "Add":
        return torch.add
    if kind == "Concatenate":
        return lambda *x: torch.cat(x, dim=1)
    if kind == "Flatten":
        return nn.Flatten()
    if kind == "ReLU":
        return nn.ReLU(inplace=True)
    if kind == "MaxPooling2D":
        return nn.MaxPool2d(config["pool_size"], config["strides"], ceil_mode=True)
    if kind == "GlobalAveragePooling2D":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if kind == "LocalResponseNorm":  # PyTorch divides alpha by the size, TensorFlow does not
        size = 2 * config["radius"] + 1
        return nn.LocalResponseNorm(size, config["alpha"] * size, config["beta"], config["bias"])
    if kind == "FusedBatchNorm":
        made = nn.BatchNorm2d(before, config["epsilon"], 1 - config["momentum"])
        made.weight.requires_grad_(config["scale"])
        return made
    if kind == "Dense":
        made = nn.Linear(before, config["units"])
    else:
        size, bias = config["kernel_size"][0], config["use_bias"]
        made = nn.Conv2d(before, config["filters"], size, config["strides"], size // 2, bias=bias)
    return nn.Sequential(made, nn.ReLU(inplace=True)) if config["activation"] == "relu" else made


def candidate(layers: list[tuple], precision: str, options, setting: str):
    """A candidate: steps on a resident table that gather, standardise and train.

    `layers` are of `tensorflow_steps.layers_of`, `setting` is of `steps.TORCH_SETTINGS`.
    """
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # as TensorFlow does
    device = "cuda" if options.device == "gpu" else "cpu"
    arrays = task.noise(task.EXAMPLES, options.input_size)
    images, labels = (torch.tensor(array, device=device) for array in arrays)
    labels, batch_size = labels.long(), options.batch_size
    whole = len(images) // batch_size  # batches of an epoch
    order = torch.randperm(len(images), device=device)
    memory = torch.channels_last if "channels_last" in setting else torch.contiguous_format
    network = Network(layers, precision != "float32").to(device, memory_format=memory)
    optimizer = torch.optim.SGD(
        network.parameters(), task.LEARNING_RATE, momentum=task.MOMENTUM, fused=True
    )
    loss_sum, correct = torch.zeros([], device=device), torch.zeros([], device=device)

    def loss_and_hits(chosen):
        x = images.index_select(0, chosen)
        shape = x.shape
        x = x.flatten(1).float()
        x = x - x.mean(1, keepdim=True)
        x = x / x.square().mean(1, keepdim=True).sqrt().clamp(min=x.shape[1] ** -0.5)
        if layers[0][0] != "Flatten":  # [B, H, W, C] in memory is PyTorch's channels_last
            x = x.view(shape).permute(0, 3, 1, 2).contiguous(memory_format=memory)
        logits, given = network(x), labels.index_select(0, chosen)
        loss = nn.functional.cross_entropy(logits, given)
        return loss, (logits.argmax(1) == given).sum()

    forward = torch.compile(loss_and_hits) if "compiled" in setting else loss_and_hits

    def run(count):
        for step in range(count):
            low = step % whole * batch_size
            optimizer.zero_grad()
            loss, hits = forward(order[low : low + batch_size])
            loss.backward()
            optimizer.step()
            loss_sum.add_(loss.detach(), alpha=batch_size)
            correct.add_(hits)
        if not torch.isfinite(loss_sum):  # waits for the device
            raise FloatingPointError("the loss became NaN or infinite")

    return run, {}
