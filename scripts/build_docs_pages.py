"""Writes the generated pages of the documentation: python scripts/build_docs_pages.py [--images]

`docs/conf.py` calls `write` before each build, so no generated page is committed. Made are:

    docs/results/generated/     a page for each table and figure of which runs are shipped
    docs/reference/generated/   every command's help, all settings of a run, the keys of
                                its files, the public names

With --images it draws the two pictures of the README anew, into docs/images/ (committed).
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from docs_pages import reference, results

from rethink_tf.report import derived, drawing, measured
from rethink_tf.report.collection import collect
from rethink_tf.report.sections import build as sections

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
RESULTS, REFERENCE = results.RESULTS, Path("reference/generated")
# The README shows the part of Figure 1c that has been measured.
README_ROWS = "mlp_1x512"
SAMPLES = ("show", "--dataset=digits", "--corrupt=0.5", "--examples=4")


def pages() -> dict[Path, str]:
    """All generated pages, by path below docs/."""
    return results.results_pages() | {
        REFERENCE / "commands.txt": reference.commands_page(),
        REFERENCE / "configuration.txt": reference.configuration_page(),
        REFERENCE / "files.txt": reference.files_page(),
        REFERENCE / "api.txt": reference.api_page(),
    }


def write(folder: Path = DOCS) -> list[Path]:
    """Writes the pages, and removes those of before that are none any more.

    Args:
        folder: of the documentation.

    Returns:
        The files. One whose text is as before is left alone, so that Sphinx does not read it anew.
    """
    made = pages()
    for below in (RESULTS, REFERENCE):
        (folder / below).mkdir(parents=True, exist_ok=True)
        for old in (folder / below).iterdir():
            if old.relative_to(folder) not in made:
                old.unlink()
    for path, text in made.items():
        target = folder / path
        if not target.exists() or target.read_text() != text:
            target.write_text(text)
    return [folder / path for path in made]


def draw_images(folder: Path = DOCS / "images") -> list[Path]:
    """The pictures of the README: samples of digits, and Figure 1c as far as it is measured."""
    folder.mkdir(parents=True, exist_ok=True)
    samples, figure = folder / "samples_digits.png", folder / "figure1c.png"
    command = [sys.executable, "-m", "rethink_tf", *SAMPLES, f"--out={samples}"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, env=env, cwd=ROOT, stdout=subprocess.DEVNULL)
    section = sections.build(
        "figure1c",
        collect(None, measured.read()),
        scale="paper",
        seeds=None,
        threshold=derived.LOSSES[0],
        runs_dir="runs",
        only=README_ROWS,
    )
    figure.write_bytes(drawing.files(section.figures[0])["png"])
    return [samples, figure]


def main(argv: list[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Writes the generated pages below docs/.")
    parser.add_argument("--images", action="store_true", help="draw the README's pictures too")
    asked = parser.parse_args(argv)
    for path in [*write(), *(draw_images() if asked.images else [])]:
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
