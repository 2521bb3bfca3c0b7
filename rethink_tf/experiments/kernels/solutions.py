"""From audited data and Settings to solutions: features in memory, or streamed block by block."""

import functools
import time
from collections.abc import Iterator

from rethink_tf import console
from rethink_tf.errors import RequestError
from rethink_tf.experiments.kernels.data import Data
from rethink_tf.experiments.kernels.request import Settings, numbers
from rethink_tf.storage import paths
from rethink_tf.theory.kernels import (
    cholesky,
    device_tiles,
    features,
    gram,
    interpolate,
    memory,
    minimum_norm,
    random_conv,
    streamed,
)
from rethink_tf.theory.kernels.gram import Kernel
from rethink_tf.theory.kernels.minimum_norm import Solution
from rethink_tf.theory.kernels.random_conv import Layout


def layout_of(settings: Settings) -> Layout:
    """The Layout of random filters that the settings ask for."""
    return Layout(settings.patch, settings.cells, settings.bias, settings.zca)


def feature_options(settings: Settings) -> dict:
    """The arguments of the features in memory."""
    if settings.features != "gabor":
        return {}
    return {
        "frequencies": tuple(numbers("frequencies", settings.frequencies, 0.01, 0.5)),
        "orientations": settings.orientations,
        "cell": settings.gabor_cell,
    }


def steps(settings: Settings) -> list[tuple[int, float]]:
    """What is to be solved, in order: (filters, ridge); filters is 0 for features in memory."""
    ridges = numbers("ridge", settings.ridge)
    counts = [0]
    if settings.features in features.STREAMED:
        counts = sorted(set(numbers("filters", settings.filters, 1, 1_000_000, int)))
    return [(count, ridge) for count in counts for ridge in ridges]


def possible(
    settings: Settings, kernel: Kernel, wanted: list[tuple[int, float]], n: int, image_shape
) -> list[tuple[int, float]]:
    """Those of `wanted` that have a solution; the others are printed.

    Raises:
        RequestError: none has: a linear kernel of fewer features than examples, without ridge.
    """
    solvable, message = [], ""
    for count, ridge in wanted:
        if count:
            d = layout_of(settings).features(count) + 1  # + 1: the constant feature
        else:
            d = features.dimensions(settings.features, image_shape, **feature_options(settings))
        if kernel.name != "linear" or ridge > 0 or d >= n:
            solvable.append((count, ridge))
            continue
        filters = f" of {count:,} filters" if count else ""
        message = (
            f"--ridge: expected more than 0, since {d:,} features{filters} cannot interpolate "
            f"{n:,} examples; type --ridge=0.001, or --examples={d}"
        )
        if len(wanted) > 1:
            console.say(f"left out: {message}")
    if wanted and not solvable:
        raise RequestError(message)
    return solvable


def memory_of(settings: Settings, n: int, m: int, image_shape, dtype: str) -> dict[str, int]:
    """Bytes that solving takes at its peak, by what takes them."""
    if settings.features in features.STREAMED:
        most = max(count for count, _ in steps(settings))
        images = (n + m) * image_shape[0] * image_shape[1] * image_shape[2]
        return streamed.memory_of(n, m, layout_of(settings), most, dtype, settings.block) | {
            "images": 2 * images
        }
    d = features.dimensions(settings.features, image_shape, **feature_options(settings))
    return interpolate.memory_of(n, m, d, dtype, settings.block)


def require_memory(settings: Settings, data: Data) -> None:
    """Prints the memory that will be taken and that is free.

    Raises:
        RequestError: it does not fit; the message says what would.
    """
    n, m = data.train.num_examples, data.test.num_examples

    def parts(count, dtype=settings.dtype):
        return memory_of(settings, count, m, data.train.images.shape[1:], dtype)

    free = memory.available()
    console.say(memory.announced(parts(n), free))
    memory.require(parts(n), free, _suggestion(parts, n, free, settings.dtype))


def _suggestion(parts, n: int, free: int | None, dtype: str) -> str:
    """What to type where it does not fit: the other precision if that does, or fewer examples."""
    if free is None:
        return ""
    if dtype == "float64" and sum(parts(n, "float32").values()) <= free:
        return "type --dtype=float32 (residuals stay in float64)"
    fits = [count for count in range(1000, n, 1000) if sum(parts(count).values()) <= free]
    return f"type --examples={fits[-1]}" if fits else "free memory first: 1,000 do not fit either"


def device_of(settings: Settings) -> str | None:
    """The TensorFlow device that multiplies, or None for NumPy."""
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    if settings.backend == "numpy" or (settings.backend == "auto" and not gpus):
        return None
    return "/GPU:0" if gpus else "/CPU:0"


def features_library(settings: Settings) -> str | None:
    """The library that computes random filters' responses: numba, numpy or tensorflow.

    None for other features, which one library computes.
    """
    if settings.features not in features.STREAMED:
        return None
    return "tensorflow" if device_of(settings) else random_conv.host_library()


def solutions(
    settings: Settings, data: Data, kernel: Kernel, wanted: list[tuple[int, float]], progress
) -> Iterator[tuple[int, Solution]]:
    """Yields (filters, Solution) for each of `wanted`, which is of `steps`, ascending."""
    targets = minimum_norm.one_hot(data.train.given, data.train.num_classes)
    cache = None if settings.cache_dir is None else paths.cache_directory(settings.cache_dir)
    eliminate, product, add = cholesky.eliminate_on_host, gram.product_on_host, None
    device = device_of(settings)
    if device is not None:
        eliminate, product, add = device_tiles.start(device)
        console.say(f"multiplying with TensorFlow on {device}")
    options = {
        "dtype": settings.dtype,
        "tolerance": settings.tolerance,
        "refinements": settings.refinements,
        "eliminate": eliminate,
        "report": console.say,
        "progress": progress,
    }
    if settings.features not in features.STREAMED:
        made = features.FEATURES[settings.features]
        train, test = (
            made(
                table.images,
                **feature_options(settings),
                progress=lambda share, of=name: progress(f"features of the {of} images", share),
            )
            for name, table in (("training", data.train), ("test", data.test))
        )
        for _, ridge in wanted:
            yield (
                0,
                interpolate.interpolate(
                    train,
                    test,
                    targets,
                    kernel,
                    ridge=ridge,
                    cache=cache,
                    product=product,
                    block=settings.block,
                    **options,
                ),
            )
        return
    kept = _kept(settings, data, cache, device)
    for sums in _sums(settings, data, kept, wanted, progress, device, add):
        for ridge in [ridge for count, ridge in wanted if count == sums.filters]:
            matrix = streamed.as_gram(sums, kernel)
            facts = (kernel.name, kernel.gamma, ridge, settings.dtype)
            factor = None if kept is None else kept.factor(sums.filters, facts)
            solve = functools.partial(minimum_norm.solve, matrix, targets, rows=sums.rows)
            try:
                yield sums.filters, solve(ridge=ridge, cache=factor, **options)
            except RequestError as error:  # more filters may make it solvable
                console.say(f"{sums.filters:,} filters, ridge {ridge:g}: {error}")


def _kept(settings: Settings, data: Data, cache, device) -> streamed.Kept | None:
    """What keeps streamed sums, and the factor of the last."""
    if cache is None:
        return None
    images = data.train.images, data.test.images
    shapes = images[0].shape, images[1].shape
    computed_by = device, features_library(settings)
    facts = (layout_of(settings), data.run.seed, *shapes, settings.block, *computed_by)
    return streamed.Kept(cache, facts, images, console.say, time.monotonic)


def _sums(settings: Settings, data: Data, kept, wanted, progress, device, add):
    """The streamed sums at each number of filters that is wanted."""
    more = {}
    if device is not None:
        more = {
            "add_products": add,
            "responses": functools.partial(random_conv.on_device, device=device),
        }
    return streamed.accumulate(
        data.train.images,
        data.test.images,
        layout_of(settings),
        sorted({count for count, _ in wanted}),
        seed=data.run.seed,
        block=settings.block,
        kept=kept,
        progress=progress,
        **more,
    )
