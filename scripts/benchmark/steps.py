"""The parts of benchmark.py that time one thing alone: training steps, and reading ImageNet."""

from benchmark.candidates import Race

OURS = "benchmark.tensorflow_steps:ours"
# Square matrices whose products come near the peak, by the device.
MATMUL_SIZES = {"cpu": (2048, 4096), "gpu": (4096, 8192, 16384)}
STEP = "our step"  # its name in the race
TORCH_SETTINGS = ("contiguous", "contiguous compiled", "channels_last", "channels_last compiled")


def measure(who: dict, options, race: Race) -> dict:
    """The row of one model in one precision: our step and, with `step` among the parts, others.

    These are our step without seals (`seals`: what they add to it), our step fed by tf.data
    (`input`: the share of its time that the input takes), PyTorch's, and the matmul. Our step still
    runs in the race afterwards. Empty where it cannot run at all.
    """
    same = {"precision": who["precision"], "options": options}
    race.enter(STEP, OURS, model=who["model"], **same)
    if STEP in race.left_out:
        return {}
    facts = race.running[STEP].facts
    if "step" in options.parts:
        for kind in ("UnsealedSteps", "StreamedSteps"):
            race.enter(kind, OURS, model=who["model"], kind=kind, **same)
        if not options.no_torch:
            layers, make = facts["layers"], "benchmark.torch_steps:candidate"
            is_mlp = layers[0][0] == "Flatten"  # it gets no images
            for setting in TORCH_SETTINGS[:2] if is_mlp else TORCH_SETTINGS:
                race.enter(f"PyTorch {setting}", make, layers=layers, setting=setting, **same)
        for size in MATMUL_SIZES[options.device]:
            race.enter(f"matmul {size}", "benchmark.tensorflow_steps:matmul", size=size, **same)
    best = race.best(options.seconds)
    for key in set(race.running) - {STEP}:
        race.running.pop(key).close()
    return row(facts, best, options.batch_size) if STEP in best else {}


def row(facts: dict, best: dict[str, float], batch_size: int) -> dict:
    """The columns of a row, by the best seconds of a unit of each candidate."""
    rates = {key: batch_size / seconds for key, seconds in best.items()}
    torch = {key.removeprefix("PyTorch "): rates[key] for key in rates if "PyTorch" in key}
    setting = max(torch, key=torch.get, default=None)
    sizes = {key: int(key.split()[1]) for key in best if "matmul" in key}
    peak = max((2e-9 * n**3 / best[key] for key, n in sizes.items()), default=None)
    unsealed, streamed = best.get("UnsealedSteps"), best.get("StreamedSteps")
    return {
        "images/s": rates[STEP],
        "XLA": "on" if facts["xla"] else "off",
        "GFLOP/s peak": peak,
        "of peak": peak and rates[STEP] * facts["flops_per_image"] / 1e9 / peak,
        "seals": unsealed and best[STEP] / unsealed - 1,
        "input": streamed and 1 - best[STEP] / streamed,
        "PyTorch": torch.get(setting),
        "ratio": setting and rates[STEP] / torch[setting],
        "setting": setting,
    }


def measure_input(options, race: Race) -> list[dict]:
    """The row of ImageNet, read as training gets it and decoded alone; none if one cannot run."""
    race.enter("decode and resize alone", "benchmark.imagenet_input:decoding", options=options)
    race.enter("the whole input", "benchmark.imagenet_input:feeding", options=options)
    best = race.best(options.seconds)
    if race.left_out:
        return []
    alone, whole = best.values()
    rate = options.batch_size / whole
    return [
        {
            "data": "imagenet2012",
            "model": "inception_v3",
            "images/s": rate,
            "of decoding": alone / whole,
            "cores": options.gpu_rate / rate * options.threads,
        }
    ]
