"""Who may import whom, held by reading the sources."""

import ast
import graphlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "rethink_tf"
HEAVY = {"tensorflow", "keras", "tensorboard", "tensorflow_datasets"}
# Package or module below rethink_tf: its layer. A file imports from lower layers, or from its own.
LAYERS = {
    "errors": 0,
    "narrowing": 0,
    "printable": 0,
    "console": 1,
    "environment": 1,
    "storage": 2,
    "corruptions": 3,
    "models": 4,
    "plotting": 4,
    "data": 5,
    "theory": 6,
    "audit": 7,
    "config": 8,
    "runs": 9,
    "training": 10,
    "analysis": 11,
    "experiments": 12,
    "report": 13,
    "cli": 14,
    "api": 14,
    "keras_callback": 14,
    "main": 15,
    "__main__": 15,
}
MOST_FILES = 20  # of a folder; more have rooms of their own
# Importing these must not start TensorFlow, whatever they import in turn.
LIGHT = [
    "",
    "analysis.example_scores",
    "analysis.measures",
    "analysis.rademacher",
    "analysis.randomisation_test",
    "audit",
    "cli",
    "config",
    "console",
    "corruptions",
    "data.label_file",
    "data.noise_file",
    "data.registry",
    "data.types",
    "environment",
    "errors",
    "experiments",
    "main",
    "plotting",
    "report",
    "runs",
    "storage",
    "training.metrics",
    "training.per_example",
    "training.run",
]
# Of these, what is imported only when something is computed.
NOT_LIGHT = ["audit.pixels", "experiments.kernels.data", "experiments.kernels.solutions"]
# These do not even import it inside a function.
NEVER_HEAVY = [
    "audit.check",
    "audit.label_checks",
    "audit.noise_checks",
    "audit.label_kinds",
    "audit.verdict",
    "cli.app",
    "config",
    "console",
    "data.label_file",
    "data.noise_file",
    "environment",
    "errors",
    "experiments.catalogue",
    "experiments.plan",
    "experiments.rates",
    "experiments.sweep",
    "main",
    "report.collection",
    "report.sections",
    "runs",
    "storage",
    "training.metrics",
    "training.per_example",
]
PURE = [
    "corruptions",
    "data.registry",
    "data.resize",
    "data.sources.tfds",
    "models",
    "storage.array_cache",
    "theory",
]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
FILE_NAMES = ("config.json", "history.jsonl", "summary.json")


def sources():
    return {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


MODULES = sources()


def named(names):
    """The modules there are of the given ones; a package counts with all in it."""
    full = [f"rethink_tf.{name}" if name else "rethink_tf" for name in names]
    return [
        module
        for module in MODULES
        if module in full or any(module.startswith(f"{f}.") for f in full if f != "rethink_tf")
    ]


def light():
    """The modules of LIGHT, without those of NOT_LIGHT, and the registry of models."""
    left_out = set(named(NOT_LIGHT)) | {"rethink_tf.__main__"}
    return [name for name in named(LIGHT) if name not in left_out] + ["rethink_tf.models"]


@cache
def tree(module):
    return ast.parse(MODULES[module].read_text())


def run_as_command(node) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


@cache
def imports(module, *, in_functions, as_command=True) -> frozenset:
    """What a module imports by full name, on being imported or, with `in_functions`, ever.

    Without `as_command`, what it does as a command is left out.
    """
    found, left = set(), [tree(module)]
    while left:
        node = left.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are written in full"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        if run_as_command(node) and not as_command:
            continue
        if in_functions or not (isinstance(node, FUNCTIONS) or run_as_command(node)):
            left += ast.iter_child_nodes(node)
    return frozenset(found)


def ours(module, *, in_functions=False):
    """The files of this package that are imported when a module is; with `in_functions`, ever.

    A package is named by an import of a file in it; it counts where a name of its own is taken.
    """
    found = imports(module, in_functions=in_functions)
    files = {name for name in found & set(MODULES) if name != "rethink_tf"}
    return {name for name in files if not any(other.startswith(f"{name}.") for other in files)} - {
        module
    }


def reached(module, *, in_functions=False):
    """All modules of this package that importing one of them imports, itself included."""
    found, left = set(), {module, "rethink_tf"}
    while left:
        name = left.pop()
        found.add(name)
        # Importing a file imports the packages that it lies in.
        parents = {name.rsplit(".", n)[0] for n in range(1, name.count("."))}
        left |= (ours(name, in_functions=in_functions) | parents) - found
    return found


def room(module):
    """The package, or the module, below rethink_tf that a module belongs to."""
    return module.split(".")[1]


def roots(names):
    return {name.partition(".")[0] for name in names}


def test_this_test_sees_what_it_is_to_see():
    assert "tensorflow" in roots(imports("rethink_tf.training.callbacks", in_functions=False))
    assert "tensorflow" in roots(imports("rethink_tf.corruptions.threefry", in_functions=True))
    assert "rethink_tf.training.train_step" in reached("rethink_tf.training.loop")
    assert "rethink_tf.corruptions.threefry" in reached("rethink_tf.config.run_config"), (
        "by way of datasets"
    )
    assert {"rethink_tf", "rethink_tf.models.mlp"} < set(MODULES)


@pytest.mark.parametrize("module", light())
def test_importing_it_imports_no_tensorflow(module):
    guilty = {m for m in reached(module) if roots(imports(m, in_functions=False)) & HEAVY}
    assert not guilty


@pytest.mark.parametrize(
    "module", ["rethink_tf.report.sections.build", "rethink_tf.theory.implicit"]
)
def test_reports_and_plans_import_no_solver(module):
    guilty = {m for m in reached(module) if "scipy" in roots(imports(m, in_functions=False))}
    assert not guilty


@pytest.mark.parametrize("module", named(NEVER_HEAVY))
def test_it_never_imports_tensorflow(module):
    assert not roots(imports(module, in_functions=True)) & HEAVY


def test_nothing_starts_tensorflow_on_import():
    code = "import sys, importlib, rethink_tf\n"
    names = light()
    code += f"for name in {names!r}: importlib.import_module(name)\n"
    code += "rethink_tf.RunConfig, rethink_tf.load_runs, rethink_tf.run, rethink_tf.audit\n"
    code += f"print(sorted({HEAVY!r} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert (result.stdout, result.returncode) == ("[]\n", 0), result.stderr


@pytest.mark.parametrize("module", named(PURE))
def test_pure_functions_know_no_run(module):
    found = imports(module, in_functions=True, as_command=False)
    assert "rethink_tf.console" not in found
    assert not any(name == "absl" or name.startswith("absl.") for name in found)
    names = {node.id for node in ast.walk(tree(module)) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    assert not names & {"FLAGS", "RunConfig"}


@pytest.mark.parametrize("module", MODULES)
def test_only_the_command_line_knows_absl_flags(module):
    if module != "rethink_tf.config.command_line":
        assert "absl.flags" not in imports(module, in_functions=True)
    assert "FLAGS" not in {n.id for n in ast.walk(tree(module)) if isinstance(n, ast.Name)}


def test_errors_import_nothing_of_ours():
    assert imports("rethink_tf.errors", in_functions=True) == {"enum"}


def test_networks_are_reached_by_the_registry_only():
    networks = {name for name in named(["models"]) if name.count(".") == 2} - {
        "rethink_tf.models.custom",
        "rethink_tf.models.registry",
    }
    for module in MODULES:
        if not module.startswith("rethink_tf.models"):
            assert not imports(module, in_functions=True) & networks, module


def test_every_package_has_a_layer():
    assert set(LAYERS) == {room(name) for name in MODULES if name != "rethink_tf"}


@pytest.mark.parametrize("module", [name for name in MODULES if name != "rethink_tf"])
def test_a_file_imports_from_lower_layers_or_its_own_package(module):
    own = room(module)
    for name in ours(module, in_functions=True):
        assert room(name) == own or LAYERS[room(name)] < LAYERS[own], f"{module} imports {name}"


def test_no_circle_of_files():
    """Imports inside functions count."""
    graph = {name: ours(name, in_functions=True) for name in MODULES if name != "rethink_tf"}
    sorter = graphlib.TopologicalSorter(graph)
    sorter.prepare()  # CycleError names the circle


def test_a_circle_would_be_seen():
    sorter = graphlib.TopologicalSorter({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    with pytest.raises(graphlib.CycleError):
        sorter.prepare()


def test_folders_are_small_enough_to_find_a_file_in():
    for folder in {path.parent for path in MODULES.values()}:
        files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= MOST_FILES, f"{folder}: {sorted(files)}"


def test_tests_lie_in_the_folder_of_what_they_test():
    folders = {path.parent.name for path in REPOSITORY.glob("tests/*/test_*.py")}
    assert folders - {"scripts", "docs"} <= set(LAYERS)


def docstrings(module):
    for node in ast.walk(tree(module)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            yield node.body[0].value


@pytest.mark.parametrize("module", MODULES)
def test_only_results_names_the_files_of_a_run(module):
    skipped = {id(node) for node in docstrings(module)}
    strings = [
        node.value
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in skipped
    ]
    naming = [text for text in strings if any(name in text for name in FILE_NAMES)]
    assert bool(naming) == (module == "rethink_tf.runs.results"), naming


def test_nothing_is_called_utils():
    names = [path.stem for path in REPOSITORY.rglob("*.py") if ".venv" not in path.parts]
    assert len(names) > 30
    assert not [name for name in names if "util" in name or "helper" in name or "misc" in name]
