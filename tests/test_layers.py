"""Who may import whom (design.md, section 2), held by reading the sources."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "rethink_tf"
HEAVY = {"tensorflow", "keras", "tensorboard", "tensorflow_datasets"}
# Importing these must not start TensorFlow, whatever they import in turn.
LIGHT = [
    "", "audit", "bandwidth_command", "command_line", "config", "console", "corruptions",
    "datasets", "errors", "experiments", "kernel_command", "main", "metrics", "models", "noise",
    "paper", "parents", "rates", "ray_tasks", "report", "results", "rng", "run_progress", "slots",
    "sweep", "sweep_jobs", "sweep_loop", "sweep_view", "train",
]  # fmt: skip
# These do not even import it inside a function.
NEVER_HEAVY = [
    "audit", "child", "command_line", "config", "console", "errors", "experiments", "main",
    "metrics", "noise", "paper", "parents", "rates", "ray_tasks", "report", "results", "run_lock",
    "run_progress", "slots", "sweep", "sweep_jobs", "sweep_loop", "sweep_view",
]  # fmt: skip
SCIENCE = ["array_cache", "corruptions", "datasets", "image_shape", "models", "pixels", "rng",
           "tfds_source", "theory"]  # fmt: skip
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


def ours(module):
    """The modules of this package that are imported when a module is."""
    found = imports(module, in_functions=False) & set(MODULES)
    return {name for name in found if name != "rethink_tf"}


def reached(module):
    """All modules of this package that importing one of them imports."""
    found, left = set(), {module, "rethink_tf"}
    while left:
        name = left.pop()
        found.add(name)
        left |= ours(name) - found
    return found


def roots(names):
    return {name.partition(".")[0] for name in names}


def test_this_test_sees_what_it_is_to_see():
    assert "tensorflow" in roots(imports("rethink_tf.training.loop", in_functions=False))
    assert "tensorflow" in roots(imports("rethink_tf.corruptions.threefry", in_functions=True))
    assert "rethink_tf.training.train_step" in reached("rethink_tf.training.loop")
    assert "rethink_tf.corruptions.threefry" in reached("rethink_tf.config.run_config"), (
        "by way of datasets"
    )
    assert {"rethink_tf", "rethink_tf.models.mlp"} < set(MODULES)


@pytest.mark.parametrize("module", named(set(LIGHT) - {"models"}) + ["rethink_tf.models"])
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
    names = named(set(LIGHT) - {"models"}) + ["rethink_tf.models"]
    code += f"for name in {names!r}: importlib.import_module(name)\n"
    code += "rethink_tf.RunConfig, rethink_tf.load_runs, rethink_tf.run, rethink_tf.audit.dataset\n"
    code += f"print(sorted({HEAVY!r} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert (result.stdout, result.returncode) == ("[]\n", 0), result.stderr


@pytest.mark.parametrize("module", named(SCIENCE))
def test_leaf_science_knows_no_run(module):
    found = imports(module, in_functions=True, as_command=False)
    forbidden = {"config", "command_line", "console", "results", "train", "loop", "main"}
    assert not found & {f"rethink_tf.{name}" for name in forbidden}
    assert not any(name == "absl" or name.startswith("absl.") for name in found)
    names = {node.id for node in ast.walk(tree(module)) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    assert not names & {"FLAGS", "RunConfig"}


@pytest.mark.parametrize("module", MODULES)
def test_only_the_command_line_knows_absl_flags(module):
    if module != "rethink_tf.config.flags":
        assert "absl.flags" not in imports(module, in_functions=True)
    assert "FLAGS" not in {n.id for n in ast.walk(tree(module)) if isinstance(n, ast.Name)}


def test_errors_import_nothing_of_ours():
    assert imports("rethink_tf.errors", in_functions=True) == {"enum"}


def test_models_are_reached_by_their_door_only():
    for module in MODULES:
        found = imports(module, in_functions=True) & set(MODULES)
        if not module.startswith("rethink_tf.models"):
            assert not [name for name in found if name.startswith("rethink_tf.models.")], module


def test_no_circle():
    for module in MODULES:
        for name in ours(module):
            assert module not in reached(name) - {"rethink_tf"}, f"{module} and {name}"


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
