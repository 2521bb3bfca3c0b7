"""What benchmark.py knows of PyTorch without importing it: TensorFlow is in the same process."""

import importlib.metadata

MOMENTUM = 0.9
# The networks that benchmark_torch.py has.
TABLE1 = ("inception", "inception_no_bn", "alexnet", "mlp_3x512", "mlp_1x512")
RESIDUAL = ("wrn_28_1", "resnet_18")
TWINS = TABLE1 + RESIDUAL


def version() -> str | None:
    """PyTorch's version, None where it is not installed."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def settings(name: str) -> dict[str, dict]:
    """The settings worth trying for a model: keyword arguments of `training_step` by name."""
    if name.startswith("mlp"):
        return {"plain": {}}
    return {"channels_last": {"channels_last": True}, "contiguous": {}}
