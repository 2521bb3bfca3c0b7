"""README and docs say what the code does: commands, links, numbers, pictures, generated pages."""

import ast
import contextlib
import dataclasses
import importlib.util
import io
import re
import subprocess
from pathlib import Path

import build_docs_pages
import documents
import pytest
from docs_pages import markdown, reference
from docs_pages import results as docs_results

import rethink_tf
from rethink_tf.audit.label_kinds import KINDS
from rethink_tf.cli import app
from rethink_tf.config import flags, run_config
from rethink_tf.config.command_line import CommandLine
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.report import measured

ROOT, DOCS = documents.ROOT, documents.ROOT / "docs"
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in documents.pages()}
IMAGES = sorted((DOCS / "images").iterdir())
# Words of this project's own that its language has given up, as whole words in text.
RETIRED = ("arrivals", "online", "foreign", "twin", "the only door", "leaf science", "is said")


class Parsed(Exception):
    """Ends a command once its command line is read."""


def refusal(argv):
    """Why a command line cannot be parsed; empty where it can."""
    silent = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(silent),
        contextlib.redirect_stderr(silent),
    ):
        real = CommandLine.parse

        def parse_alone(line, argv):
            parsed = real(line, argv)
            if line.positionals and "[" not in line.positionals and not parsed.positionals:
                raise RequestError(f"expected {line.positionals}")
            for name in run_config.FIELDS:
                if name in parsed.typed and RunConfig in parsed.values:
                    run_config.check_field(name, parsed.typed[name])
            raise Parsed

        patch.setattr(CommandLine, "parse", parse_alone)
        with contextlib.suppress(Parsed):
            app.main(argv)
    return silent.getvalue()


COMMANDS = [
    pytest.param(argv, id=f"{page}: {' '.join(argv)[:60]}")
    for page, text in PAGES.items()
    for words in documents.command_lines(text)
    if (argv := documents.arguments(words))
]


@pytest.mark.parametrize("argv", COMMANDS)
def test_every_command_parses(argv, own_signals, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert refusal(argv) == ""


@pytest.mark.parametrize(
    "argv",
    [
        ["train", "--modle=inception"],
        ["train", "--epochs=many"],
        ["train", "--corrupt=2"],
        ["train", "mlp_1x512"],
        ["trian", "--epochs=3"],
        ["audit", "--p=0.5"],
        ["train", "--flagfile=flags/none.flags"],
        ["sweep", "table1", "--scales=cpu"],
        ["report", "--seeds=x"],
        ["audit", "labels.csv", "--noise=other"],
    ],
)
def test_a_command_that_does_not_parse_is_seen(argv, own_signals, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert refusal(argv)


def test_commands_are_found_in_blocks_of_a_shell():
    text = "```\na && rethink-tf x --b='c d'  # e\n```\n```text\nrethink-tf y\n```\n"
    assert documents.command_lines(text) == [["a"], ["rethink-tf", "x", "--b=c d"]]
    assert documents.arguments(["python", "-m", "rethink_tf.main", "--a"]) == ["train", "--a"]
    assert len(COMMANDS) > 40


def test_scripts_that_are_named_are_there():
    named = {
        word
        for text in PAGES.values()
        for word in re.findall(r"(?<![\w/])((?:scripts|flags|tests)/[\w./]*\w\.\w+)", text)
    }
    assert len(named) > 15
    assert not [name for name in named if not (ROOT / name).exists()]


def test_flagfiles_that_are_named_are_there():
    named = {n for text in PAGES.values() for n in re.findall(r"flags/[\w/]+\.flags", text)}
    assert len(named) > 5 and not [name for name in named if not (ROOT / name).is_file()]


@pytest.mark.parametrize("page", [page for page in PAGES if "](" in PAGES[page]])
def test_links_lead_to_files(page):
    prose = re.sub(r"^( *)```.*?^\1```", "", PAGES[page], flags=re.M | re.S)
    links = re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", prose)
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    missing = [link for link in local if not ((ROOT / page).parent / link).exists()]
    assert not missing


def defined_in(module):
    """The names of a module's top level, without importing what needs TensorFlow."""
    if module == "rethink_tf":
        return set(rethink_tf.__all__)
    found = set()
    for node in ast.parse(Path(importlib.util.find_spec(module).origin).read_text()).body:
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        found |= {target.id for target in getattr(node, "targets", []) if hasattr(target, "id")}
        found |= {node.name} if hasattr(node, "name") else set()
    return found


@pytest.mark.parametrize("page", PAGES)
def test_python_in_pages_is_python_and_imports_what_is_there(page):
    cells = [
        re.sub(r"^[!:].*$", "", content, flags=re.M)  # shell commands, options of a cell
        for language, content in documents.blocks(PAGES[page])
        if language in ("python", "{code-cell}")
    ]
    for cell in cells:
        for node in ast.walk(ast.parse(cell)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("rethink_tf"):
                assert {alias.name for alias in node.names} <= defined_in(node.module)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("rethink_tf", "rt"):
                assert node.attr in rethink_tf.__all__


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_in_plain_words_and_name_no_machine(page):
    text = PAGES[page].lower()
    without_keys = re.sub(r"`[^`\n]*`", "", text)
    used = [word for word in RETIRED if re.search(rf"\b{word}\b", without_keys)]
    assert not used
    assert not re.search(r"(?<![\w.~])/(root|home|tmp|work)/", text)


def test_the_pictures_are_small():
    sizes = {path.name: path.stat().st_size for path in IMAGES}
    assert sizes and max(sizes.values()) <= 150_000 and sum(sizes.values()) <= 600_000
    used = "".join(PAGES.values())
    assert not [path.name for path in IMAGES if path.name not in used]


def test_the_table_of_exit_codes_is_the_enum():
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", PAGES["docs/reference/exit_codes.md"], re.M)
    assert [(int(code), name) for code, name in rows] == [(c.value, c.name) for c in ExitCode]


def test_the_verdicts_of_the_guide_are_the_audits():
    guide = PAGES["docs/guides/audit.md"].partition("| verdict |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(\w+)` \|", guide, re.M)
    assert len(named) > 10 and set(named) <= set(KINDS)


def test_notebooks_keep_no_outputs_and_name_a_kernel():
    found = [text for text in PAGES.values() if "file_format: mystnb" in text]
    assert len(found) >= 4
    assert all("kernelspec:" in text and text.count("```{code-cell}") >= 4 for text in found)
    assert not [path for path in DOCS.rglob("*.ipynb") if "_build" not in path.parts]


@pytest.fixture(scope="module")
def results():
    return {path.stem: text for path, text in docs_results.results_pages().items()}


def test_results_pages_have_every_shipped_run(results):
    runs = measured.read()
    assert runs
    for run in runs:
        pages = [text for text in results.values() if f"`{run.run_id}`" in text]
        assert pages, run.run_id
        assert all(run.machine["name"] in text for text in pages)


def test_results_pages_have_the_shipped_numbers(results):
    (run,) = [r for r in measured.read() if r.run_id == "mlp_1x512-22b7dbbb2c3b"]
    lines = results["table1"].replace(markdown.NBSP, " ").splitlines()
    assert re.search("# Table 1: .*CIFAR-10", str(lines))
    row = next(x for x in lines if x.startswith("| mlp_1x512 |") and "| 0.0001 | true |" in x)
    assert f"| {100 * run.summary['train_accuracy']:.2f} (n = 1) |" in row
    assert f"| {100 * run.summary['test_accuracy']:.2f} (n = 1) |" in row
    line = next(x for x in lines if f"`{run.run_id}`" in x)
    hours = f"{run.machine['train_seconds'] / 3600:.2f}"
    assert "`flags/table1/mlp_1x512_true_wd.flags`" in line and f"| {hours} |" in line


def test_results_pages_have_figures_and_commands_that_parse(results, own_signals, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert '<figure class="drawn"><svg ' in results["figure1c"]
    assert "†" not in "".join(results.values())
    for name, text in results.items():
        found = [documents.arguments(words) for words in documents.command_lines(text)]
        assert len(found) == (0 if name in ("overview", "other_runs", "hours") else 2)
        assert [refusal(argv) for argv in found] == [""] * len(found)


def test_the_overview_links_what_is_shipped_and_lists_what_is_not(results):
    overview = results["overview"]
    assert "[table1](generated/table1.md)" in overview and "| `table2` |" in overview
    assert set(re.findall(r"generated/(\w+)\.md", overview)) == set(results) - {
        "overview",
        "other_runs",
    }
    assert "| `mlp_1x512` | `cifar10` | float32 | two cores of an AMD EPYC |" in results["hours"]
    assert "| `resnet_28`, last layer only | `fashion_mnist` |" in results["hours"]
    assert "| `resnet_28` | `fashion_mnist` |" not in results["hours"]
    assert "| hours of solving |" in results["table3"]


def test_the_configuration_page_has_every_field():
    page = reference.configuration_page()
    options = [field.name for field in dataclasses.fields(flags.Options)]
    named = re.findall(r"^\| `(\w+)` \|", page, re.M)
    assert sorted(named) == sorted([*run_config.FIELDS, *options])
    assert "| `dropout` | number ≥ 0, < 1.0 | `0.0` |" in page
    assert re.search("resolved: cifar10.*is on disk", page)


def test_the_page_of_a_runs_files_has_every_key():
    page = reference.files_page()
    assert re.findall(r"^## `(\S+)`$", page, re.M) == list(reference.RECORDS)
    named = re.findall(r"^\| `(\w+)` \|", page, re.M)
    records = reference.RECORDS.values()
    assert named == [key for r in records for key, _, _ in reference.schema.described(r)]
    assert "| `reason` | text, null | Why it is not `DONE`. |" in page


def test_the_commands_page_has_every_commands_help(own_signals):
    page = reference.commands_page()
    assert re.findall(r"^### (\S+)$", page, re.M) == list(app.COMMANDS)
    assert page.count("```text") == len(app.COMMANDS) and "--corrupt" in page


@pytest.mark.parametrize("code", [ExitCode.DONE, ExitCode.WRONG_REQUEST])
def test_a_command_without_help_is_an_error(code, monkeypatch):
    monkeypatch.setattr(app, "main", lambda argv: code)
    with pytest.raises(RuntimeError, match=f"train --help: exit code {int(code)}"):
        reference.help_text("train")


def test_the_api_page_has_every_public_name():
    page = reference.api_page()
    public = [name for name in rethink_tf.__all__ if not name.startswith("_")]
    assert re.findall(r"^## (\w+)$", page, re.M) == public


def test_pages_are_written_and_stale_ones_removed(tmp_path, monkeypatch):
    made = {build_docs_pages.RESULTS / "new.md": "new\n"}
    monkeypatch.setattr(build_docs_pages, "pages", lambda: made)
    stale = tmp_path / build_docs_pages.RESULTS / "old.md"
    stale.parent.mkdir(parents=True)
    stale.write_text("old\n")
    (written,) = build_docs_pages.write(tmp_path)
    assert written.read_text() == "new\n" and not stale.exists()
    before = written.stat().st_mtime_ns
    build_docs_pages.write(tmp_path)
    assert written.stat().st_mtime_ns == before


def test_generated_pages_are_not_committed():
    done = subprocess.run(
        ["git", "ls-files", "docs/results/generated", "docs/reference/generated", "docs/_build"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if done.returncode:
        pytest.skip("no git here")
    assert done.stdout == ""
