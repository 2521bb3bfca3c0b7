"""The part of benchmark.py that times training steps alone."""

from benchmark.candidates import ROUNDS, Race

OURS, MATMUL, TORCH = (
    "benchmark.tensorflow_steps:ours",
    "benchmark.tensorflow_steps:matmul",
    "benchmark.torch_steps:candidate",
)
# Products that come near the peak, by the device.
MATMUL_SIZES = {"cpu": (2048, 4096), "gpu": (4096, 8192, 16384)}
STEP = "our step"  # its name in the race


def enter_torch(facts: dict, precision: str, options, race: Race) -> None:
    """PyTorch's candidates enter the race as `PyTorch <setting>`.

    torch.compile takes minutes, so it is tried on the fastest of the other settings alone. `facts`
    are those of our step.
    """
    settings = {"PyTorch contiguous": {}}
    if facts["layers"][0][0] != "Flatten":
        settings["PyTorch channels_last"] = {"channels_last": True}

    same = {"layers": facts["layers"], "precision": precision, "options": options}
    for key, setting in settings.items():
        race.enter(key, TORCH, **same, **setting)
    tried = [key for key in settings if key in race.running]
    if tried and (first := race.best(options.seconds / ROUNDS, 1, tried)):
        fastest = min(first, key=first.get)
        race.enter(f"{fastest} compiled", TORCH, **same, **settings[fastest], compiled=True)


def measure(name: str, precision: str, options, race: Race) -> dict:
    """The row of one model in one precision: our step and, with `step` among the parts, others.

    These are our step without seals (`seals`: what they add to it), our step fed by tf.data
    (`input`: the share of its time that the input takes), PyTorch's, and the matmul. Our step still
    runs in the race afterwards. Empty where it cannot run at all.
    """
    same = {"name": name, "precision": precision, "options": options}
    race.enter(STEP, OURS, **same)
    if STEP in race.left_out:
        return {}
    facts = race.running[STEP].facts
    if "step" in options.parts:
        for kind in ("UnsealedSteps", "StreamedSteps"):
            race.enter(kind, OURS, kind=kind, **same)
        if not options.no_torch:
            enter_torch(facts, precision, options, race)
        for size in MATMUL_SIZES[facts["device"]]:
            race.enter(f"matmul {size}", MATMUL, precision=precision, options=options, size=size)
    best = race.best(options.seconds)
    for key in set(race.running) - {STEP}:
        race.running.pop(key).close()
    return row(facts, best, options.batch_size) if STEP in best else {}


def row(facts: dict, best: dict[str, float], batch_size: int) -> dict:
    """The columns of a row, by the best seconds of a unit of each candidate."""
    rates = {key: batch_size / seconds for key, seconds in best.items()}
    torch = {key.removeprefix("PyTorch "): rates[key] for key in rates if key[:7] == "PyTorch"}
    setting = max(torch, key=torch.get, default=None)
    sizes = {key: int(key.split()[1]) for key in best if key.startswith("matmul")}
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
        "ratio": (torch and rates[STEP] / torch[setting]) or None,
        "setting": setting,
    }
