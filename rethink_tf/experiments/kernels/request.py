"""The flags of the kernel commands, and the audited data that they ask for."""

import dataclasses
from collections.abc import Mapping

from rethink_tf.config import fields, run_config
from rethink_tf.config.command_line import CommandLine, FlagSet, Parsed
from rethink_tf.config.run_config import RunConfig
from rethink_tf.data.sources import custom as custom_data
from rethink_tf.errors import RequestError
from rethink_tf.storage import content_hash
from rethink_tf.theory.kernels.gram import KERNELS

# Fields with the same meaning as in a run. A run's other fields have no meaning here.
OF_A_RUN = (
    "dataset",
    "examples",
    "input_size",
    "corrupt",
    "label_noise",
    "labels_from",
    "pixels",
    "pixel_mix",
    "shuffle_fraction",
    "seed",
)
# Settings that may differ among the solutions of one run.
FREE = ("ridge", "filters", "data_dir", "cache_dir", "threads")
FEATURES = ("pixels", "gabor", "random_conv")
# (data set, features): gamma of exp(-gamma |x - y|^2), and its source. Other pairs need --gamma.
GAMMAS = {
    ("mnist", "pixels"): (0.02, "the paper's first author"),
    ("fashion_mnist", "pixels"): (0.02, "the first author's for MNIST; not chosen anew"),
    ("digits", "pixels"): (0.02, "the first author's for MNIST; not chosen anew"),
    ("cifar10", "pixels"): (
        0.008,
        "chosen by rethink-tf bandwidth: 4,000 training examples, 2,000 held out",
    ),
    ("fashion_mnist", "gabor"): (
        0.002,
        "chosen by rethink-tf bandwidth: 3,000 training examples, 1,000 held out",
    ),
    ("mnist", "gabor"): (0.002, "chosen for Fashion-MNIST on held-out training examples"),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a kernel command is to solve, beside the data."""

    features: str = fields.field(
        "pixels",
        str,
        "features of the images to which the kernel is applied",
        group="Kernel",
        choices=FEATURES,
    )
    kernel: str | None = fields.field(
        None,
        str,
        "the kernel function",
        group="Kernel",
        choices=KERNELS,
        by="linear for random_conv, else gaussian",
    )
    gamma: float | None = fields.field(
        None,
        float,
        "bandwidth of the gaussian kernel exp(-gamma |x - y|^2)",
        group="Kernel",
        low=0.0,
        high=1e9,
        open_ends="low",
        by="depends on data set and features",
    )
    ridge: str = fields.field(
        "0",
        str,
        "number added to the diagonal of K; several, such as 0,0.1,1, are solved in turn",
        group="Kernel",
    )
    filters: str = fields.field(
        "1024",
        str,
        "number of random filters; several, such as 1024,4096, are solved in turn",
        group="Features",
    )
    patch: int = fields.field(
        6,
        int,
        "side of a random filter in pixels (Coates & Ng)",
        group="Features",
        low=1,
        high=64,
    )
    cells: int = fields.field(
        2,
        int,
        "filter responses are averaged over a grid of N x N cells",
        group="Features",
        low=1,
        high=16,
    )
    bias: float = fields.field(
        1.0,
        float,
        "bias of the two rectifiers of a random filter",
        group="Features",
        low=0.0,
        high=100.0,
    )
    zca: float = fields.field(
        0.1,
        float,
        "number added to the eigenvalues in whitening",
        group="Features",
        low=0.0,
        high=100.0,
        open_ends="low",
    )
    orientations: int = fields.field(
        8,
        int,
        "number of orientations of the Gabor filters",
        group="Features",
        low=1,
        high=64,
    )
    frequencies: str = fields.field(
        "0.1,0.2,0.35",
        str,
        "frequencies of the Gabor filters, in cycles per pixel",
        group="Features",
    )
    gabor_cell: int = fields.field(
        2,
        int,
        "side in pixels of the cells over which Gabor magnitudes are averaged",
        group="Features",
        low=1,
        high=64,
    )
    dtype: str = fields.field(
        "float32",
        str,
        "precision of the factor; residuals and coefficients are float64",
        group="Solver",
        choices=("float32", "float64"),
    )
    tolerance: float = fields.field(
        1e-6,
        float,
        "relative residual at which refinement ends",
        group="Solver",
        low=0.0,
        high=1.0,
    )
    refinements: int = fields.field(
        10,
        int,
        "maximum number of refinement steps; each needs a pass over K in float64",
        group="Solver",
        low=0,
        high=1000,
    )
    block: int | None = fields.field(
        None,
        int,
        "number of rows in a block",
        group="Solver",
        low=16,
        high=32768,
        by="256 to 1024",
    )
    backend: str = fields.field(
        "auto",
        str,
        "library for the matrix products: numpy, or tensorflow on the first GPU (or on the CPU)",
        group="Where and how",
        choices=("auto", "numpy", "tensorflow"),
    )
    data_dir: str | None = fields.field(
        None,
        str,
        "folder of data sets prepared by TFDS",
        group="Where and how",
        by="TFDS_DATA_DIR, else ~/tensorflow_datasets",
    )
    cache_dir: str | None = fields.field(
        None,
        str,
        "folder that keeps kernel matrices and factors: an interrupted solve resumes, "
        "other labels reuse the factor",
        group="Where and how",
        by="nothing is kept",
    )
    threads: int = fields.field(
        0,
        int,
        "threads for arithmetic; 0: one for each core that this process may use",
        group="Where and how",
        low=0,
        high=4096,
    )


def line(
    command: str,
    about: str,
    more: type,
    defaults: Mapping[str, str] | None = None,
    left_out: tuple[str, ...] = (),
) -> CommandLine:
    """The command line of a kernel command.

    Args:
        command: as it is typed.
        about: a paragraph of its help.
        more: dataclass of the flags of this command alone.
        defaults: words for defaults of the data that are not a run's.
        left_out: fields of Settings that are no flags of this command.
    """
    shown = {"input_size": "whole images", **(defaults or {})}
    names = tuple(f.name for f in dataclasses.fields(Settings) if f.name not in left_out)
    sets = FlagSet(RunConfig, OF_A_RUN, shown), FlagSet(Settings, names), more
    return CommandLine(command, about, sets)


def data_of(parsed: Parsed) -> RunConfig:
    """The data that a command line names, as a RunConfig (not resolved)."""
    given = {name: getattr(parsed[RunConfig], name) for name in OF_A_RUN if name in parsed.typed}
    return RunConfig(model="mlp_1x512", **given)


def numbers(name: str, text: str, low: float = 0, high: float = 1e12, kind=float) -> list:
    """The numbers of a flag such as 0,0.1,1, in the order given.

    Raises:
        RequestError: none, not numbers, or one that is not from `low` to `high`.
    """
    try:
        values = [kind(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(low <= number <= high for number in values):
        kind = "whole numbers" if kind is int else "numbers"
        raise RequestError(
            f"--{name}: expected {kind} from {low:g} to {high:g} with commas, received {text}"
        )
    return values


def kernel_of(settings: Settings, dataset: str) -> tuple[str, float | None, str]:
    """Kernel, bandwidth, and where the bandwidth is from.

    Raises:
        RequestError: a bandwidth is needed and there is no default.
    """
    name = settings.kernel or ("linear" if settings.features == "random_conv" else "gaussian")
    if name == "linear":
        if settings.gamma is not None:
            raise RequestError("--gamma: expected none with --kernel=linear")
        return name, None, ""
    if settings.gamma is not None:
        return name, settings.gamma, "--gamma"
    if (dataset, settings.features) not in GAMMAS:
        dataset = content_hash.shown(dataset)
        raise RequestError(
            f"--gamma: expected a bandwidth, there is no default for {settings.features} of "
            f"{dataset}; type rethink-tf bandwidth --dataset={dataset} "
            f"--features={settings.features} to choose one on held-out training examples"
        )
    return name, *GAMMAS[dataset, settings.features]


def configuration(run: RunConfig, settings: Settings) -> dict:
    """All that can change a number, plain: what names a kernel run.

    Args:
        run: resolved, the data.
        settings: what is solved of them; where and how is no part of it.

    Raises:
        RequestError: as `kernel_of`; numbers of filters or ridges that are none.
    """
    name, gamma, _ = kernel_of(settings, run.dataset)
    stated = {f.name: f for f in dataclasses.fields(Settings)}
    values = {n: getattr(run, n) for n in OF_A_RUN}
    if custom_data.is_custom(run.dataset):
        values["dataset"] = content_hash.ContentRef.parse(run.dataset).sha256
    if run.labels_from is not None:  # the content counts, not the path
        values["labels_from"] = run_config.labels_ref(run).sha256
    values["label_noise"] = run_config.label_noise_identity(run)
    for key, field in stated.items():
        if field.metadata["group"] != "Where and how":
            values[key] = getattr(settings, key)
    values |= {"kernel": name, "gamma": gamma, "ridge": numbers("ridge", settings.ridge)}
    values["filters"] = []
    if settings.features == "random_conv":
        values["filters"] = sorted(set(numbers("filters", settings.filters, 1, 1_000_000, int)))
    # As in a run, fields at a fixed default are left out, so that a new field changes no run id.
    always = ("dataset", "input_size", "features", "kernel", "gamma", "ridge", "filters", "seed")
    fixed = {n: field.default for n, field in (run_config.FIELDS | stated).items()}
    return {n: v for n, v in values.items() if n in always or v != fixed[n]}
