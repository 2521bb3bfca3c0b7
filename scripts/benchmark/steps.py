"""The parts of benchmark.py that time training steps alone."""

from benchmark import task
from benchmark.candidates import ROUNDS, LeftOut, Race
from benchmark.tensorflow_steps import REPLICAS

OURS, MATMUL, TORCH = (
    "benchmark.tensorflow_steps:ours",
    "benchmark.tensorflow_steps:matmul",
    "benchmark.torch_steps:candidate",
)
MATMUL_SIZES = (2048, 4096)


def enter_torch(name: str, same: dict, options, parameters: int, race: Race) -> None:
    """PyTorch's candidates enter the race as `PyTorch <setting>`.

    torch.compile takes minutes, so it is tried on the fastest of the other settings alone. `same`
    are arguments of every candidate; ValueError where a reference has not our number of parameters.
    """
    settings = {f"PyTorch {key}": value for key, value in task.torch_settings(name).items()}

    def enter(key, setting):
        race.enter(key, TORCH, name=name, **same, **setting)
        if key in race.running:
            count = race.running[key].facts["parameters"]
            if count != parameters:
                raise ValueError(f"{name}: {parameters} parameters, but {count} in PyTorch")

    for key, setting in settings.items():
        enter(key, setting)
    tried = [key for key in settings if key in race.running]
    if tried and not options.no_torch_compile:
        first = race.best(options.seconds / ROUNDS, 1, tried)
        if first:
            fastest = min(first, key=first.get)
            enter(f"{fastest} compiled", settings[fastest] | {"compiled": True})


def measure(name: str, precision: str, options, race: Race) -> dict:
    """The row of one model in one precision: our step and, as `--parts` says, others.

    With `step` these are our step without seals, PyTorch's and the matmul, with `streamed` our step
    fed by tf.data. The candidate `default` of the row still runs in the race afterwards. LeftOut
    where our step cannot run at all.
    """
    from rethink_tf.training.trainer import compile_with_xla

    default = compile_with_xla(name, options.threads)
    same = {"precision": precision, "options": vars(options)}
    ours = {f"XLA {'on' if jit else 'off'}": jit for jit in (default, not default)}
    normal, other = ours
    if options.xla != "both":
        del ours[other]
    for key, jit in ours.items():
        race.enter(key, OURS, name=name, jit=jit, **same)
    facts = next((race.running[key].facts for key in ours if key in race.running), None)
    if facts is None:
        raise LeftOut("; ".join(dict.fromkeys(race.left_out.values())))
    if "streamed" in options.parts:
        race.enter("streamed", OURS, name=name, jit=default, kind="StreamedSteps", **same)
    if "step" in options.parts:
        race.enter("unsealed", OURS, name=name, jit=default, kind="UnsealedSteps", **same)
        if not options.no_torch:
            enter_torch(name, same, options, facts["parameters"], race)
        for size in MATMUL_SIZES:
            race.enter(f"matmul {size}", MATMUL, size=size, **same)
    best = race.best(options.seconds)
    rates = {key: options.batch_size / seconds for key, seconds in best.items()}
    row = {
        **facts,
        "ours": {key: rates[key] for key in ours if key in rates},
        "torch": {
            key.removeprefix("PyTorch "): rates[key] for key in rates if key.startswith("PyTorch ")
        },
        "left_out": race.left_out,
    }
    if not row["ours"]:
        raise LeftOut("; ".join(dict.fromkeys(race.left_out[key] for key in ours)))
    row["default"] = next(iter(row["ours"]))
    if "streamed" in rates:
        row["streamed"] = rates["streamed"]
    if {normal, "unsealed"} <= set(best):
        row["seals"] = best[normal] / best["unsealed"] - 1
    products = {size: f"matmul {size}" for size in MATMUL_SIZES}
    peaks = [2e-9 * size**3 / best[key] for size, key in products.items() if key in best]
    if peaks:
        row["matmul_gflops"] = max(peaks)
    race.close(but=row["default"])
    return row


def replicas(name: str, precision: str, options, race: Race) -> dict:
    """Images/s with one replica and with two; LeftOut where one of them cannot run."""
    from rethink_tf.training.trainer import compile_with_xla

    arguments = {"precision": precision, "options": vars(options)}
    arguments["jit"] = compile_with_xla(name, options.threads)
    for count in (1, REPLICAS):
        race.enter(str(count), OURS, name=name, replicas=count, **arguments)
    best = race.best(options.seconds)
    race.close()
    if race.left_out:
        raise LeftOut(next(iter(race.left_out.values())))
    return {"replicas": {count: options.batch_size / best[count] for count in best}}
