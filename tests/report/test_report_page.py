"""report.html in a browser: it sorts, filters, draws a run's curves, and asks for nothing."""

import dataclasses
import io
from xml.etree import ElementTree

import browser
import numpy as np
import pytest
from PIL import Image
from report_runs import write_experiment, write_run

from rethink_tf.cli import report as command
from rethink_tf.cli.app import guarded
from rethink_tf.config import paper

PROGRAM = browser.find()
needs_browser = pytest.mark.skipif(
    PROGRAM is None, reason=f"no browser: none of {', '.join(browser.NAMES)} is installed"
)
RANDOM = paper.row_config(paper.TABLE1["mlp_1x512_random"])


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of the six MLPs of Table 1, one of them INVALID, and two broken directories."""
    folder = tmp_path_factory.mktemp("report")
    runs_dir = folder / "runs"
    write_run(runs_dir, RANDOM, status="INVALID")
    write_experiment(runs_dir, "table1", only="mlp", seeds=2)
    (runs_dir / "broken").mkdir()
    (runs_dir / "broken" / "summary.json").write_text("{</script><b>")
    other = dataclasses.replace(RANDOM, epochs=7)
    write_run(runs_dir, other, run_id="mlp_1x512-000000000000")
    argv = ["table1", f"--runs_dir={runs_dir}", f"--out={folder / 'out'}", "--measured=none"]
    assert guarded(command.main, argv) == 0
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def opened(report, tmp_path_factory):
    """The page in a browser."""
    with browser.page(PROGRAM, tmp_path_factory.mktemp("profile")) as page:
        page.size(1200, 900)
        page.open(report.as_uri())
        yield page


def column(page, title):
    """The texts of a column of the table of runs."""
    return page.value(
        "(() => { const place = [...document.querySelectorAll('#runs th')]"
        f".findIndex((h) => h.textContent === '{title}');"
        "return [...document.querySelectorAll('#runs tbody tr')]"
        ".map((row) => row.cells[place].textContent); })()"
    )


def click(page, title):
    page.value(
        "[...document.querySelectorAll('#runs th button')]"
        f".find((b) => b.textContent === '{title}').click()"
    )


def choose(page, name, value):
    enter(page, f".filters [name={name}]", value)


def enter(page, selector, value):
    page.value(
        f"(() => {{ const s = document.querySelector('{selector}'); s.value = '{value}';"
        "s.dispatchEvent(new Event('input')); })()"
    )


@needs_browser
def test_it_opens_without_a_request_or_a_complaint(opened, report):
    assert opened.value("document.title") == "rethink_tf: paper and ours"
    assert opened.requests == [report.as_uri()]
    assert opened.complaints == []
    rows = "document.querySelectorAll('#table-table1 tbody:not(.fold):not(.empty) tr').length"
    assert opened.value(rows) == 6, "the rows that have runs"
    assert opened.value("document.getElementById('count').textContent") == "14 of 14 runs"


@needs_browser
def test_it_sorts_by_a_number_both_ways_with_what_is_missing_last(opened):
    click(opened, "test %")
    first = column(opened, "test %")
    assert first[-2:] == ["–", "–"], "broken directories have no accuracy"
    assert [float(text) for text in first[:-2]] == sorted(float(text) for text in first[:-2])
    assert first[0] == "10.00" and first[-3] == "51.00"
    click(opened, "test %")
    second = column(opened, "test %")
    assert second == [*first[:-2][::-1], "–", "–"]
    sorting = "document.querySelector('#runs th[aria-sort]').getAttribute('aria-sort')"
    assert opened.value(sorting) == "descending"


@needs_browser
def test_it_sorts_by_text(opened):
    click(opened, "training data")
    data = column(opened, "training data")
    assert data == ["labels p = 1"] * 4 + ["true labels"] * 8 + ["–"] * 2


@needs_browser
def test_it_filters(opened):
    choose(opened, "model", "mlp_3x512")
    assert {run.partition("-")[0] for run in column(opened, "run")} == {"mlp_3x512"}
    assert opened.value("document.getElementById('count').textContent") == "6 of 14 runs"
    choose(opened, "model", "")
    choose(opened, "status", "INVALID")
    assert column(opened, "status") == ["INVALID"]
    choose(opened, "status", "")
    enter(opened, "#search", "labels 3x512")
    assert set(column(opened, "training data")) == {"true labels", "labels p = 1"}
    assert len(column(opened, "run")) == 6
    enter(opened, "#search", "")
    assert len(column(opened, "run")) == 14


@needs_browser
def test_a_run_is_linked_to_its_curves(opened, report):
    opened.value("document.querySelector('#table-table1 a[href^=\"#run-mlp_3x512\"]').click()")
    opened.wait("!!document.querySelector('#curves svg')")
    heading = opened.value("document.querySelector('#panel h3').textContent")
    assert opened.value("location.hash") == f"#run-{heading}"
    titles = (
        "[...document.querySelectorAll('#curves svg')].map((s) => s.getAttribute('aria-label'))"
    )
    assert opened.value(titles) == ["Loss", "Accuracy"]
    facts = opened.value("document.querySelector('#panel dl').textContent")
    assert "examplesall" in facts and "epochs70" in facts, "the scale of the run"
    paths = "[...s.querySelectorAll('path')].map((p) => p.getAttribute('stroke'))"
    strokes = opened.value(f"[...document.querySelectorAll('#curves svg')].map((s) => {paths})")
    loss, accuracy = (set(found) for found in strokes)
    assert loss == {f"var(--series-{number})" for number in (6, 0, 2)}
    assert loss <= accuracy, "training and test have one colour in both"
    path = opened.value("document.querySelector('#curves path').getAttribute('d')")
    assert path.count("L") == 69, "70 epochs"
    opened.value("location.hash = '#run-broken'")
    opened.wait("!!document.querySelector('#panel > p')")
    assert opened.value("document.querySelector('#panel h3').textContent") == "broken"
    text = opened.value("document.getElementById('panel').textContent")
    assert "expected JSON, found something else" in text
    assert opened.requests == [report.as_uri()]
    assert opened.complaints == []


@needs_browser
def test_rows_without_a_run_are_folded_and_unfold(opened):
    hidden = "document.querySelector('#table-table1 tbody.empty').hidden"
    button = "document.querySelector('#table-table1 .fold button')"
    assert opened.value(f"{button}.textContent") == "13 rows without a result"
    assert opened.value(hidden) is True
    opened.value(f"{button}.click()")
    assert opened.value(hidden) is False
    assert opened.value(f"{button}.getAttribute('aria-expanded')") == "true"
    opened.value(f"{button}.click()")
    assert opened.value(hidden) is True


@needs_browser
def test_a_table_without_a_result_is_one_line(opened):
    derived = "document.getElementById('table-table1_derived').closest('details')"
    assert opened.value(f"{derived}.open") is False
    text = opened.value(f"{derived}.querySelector('summary').textContent")
    assert text == "Derived from Table 1: 7 rows without a result"
    assert opened.value("document.getElementById('table-table1').closest('details')") is None


@needs_browser
def test_a_chart_is_enlarged_and_saved_with_its_data(opened):
    opened.value("document.querySelector('#table-table1 a[href^=\"#run-mlp_3x512\"]').click()")
    opened.wait("!!document.querySelector('#curves svg')")
    opened.value("document.querySelector('#curves .tools button').click()")
    assert opened.value("document.querySelectorAll('#large[open] svg').length") == 1
    opened.value("document.querySelector('#large button').click()")
    assert opened.value("document.querySelectorAll('#large[open]').length") == 0
    text = opened.value("standalone(document.querySelector('#curves svg'))")
    assert "var(--" not in text, "a file of its own knows no colours of the page"
    root = ElementTree.fromstring(text)
    numbers = root.find("{*}metadata").text.splitlines()
    assert numbers[0] == 'epoch,"training, running",training,test' and len(numbers) == 71


@needs_browser
def test_no_table_is_wider_than_a_page_of_1200_pixels(opened):
    opened.size(1200, 900)
    opened.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    wide = "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth)"
    assert opened.value(f"{wide}.map((e) => e.querySelector('table').id)") == []


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_it_is_read_on_a_phone_in_light_and_dark(opened, dark):
    opened.size(390, 800, dark)
    assert opened.value("document.documentElement.scrollWidth") <= 390
    opened.value("window.scrollTo(0, 0)")
    pixels = np.asarray(Image.open(io.BytesIO(opened.picture())).convert("L"))
    assert pixels.shape == (800, 390)
    ground = np.median(pixels)
    assert ground < 40 if dark else ground > 240
    ink = pixels.max() if dark else pixels.min()
    assert abs(float(ink) - ground) > 180, "text stands out"


@needs_browser
@pytest.mark.parametrize("wide", [390, 768])
def test_a_narrow_screen_shows_each_row_as_a_block(opened, wide):
    opened.size(wide, 800)
    opened.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    wider = "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth)"
    assert opened.value(f"{wider}.map((e) => e.querySelector('table').id)") == []
    row = "document.querySelector('#table-table1 tbody tr').innerText.split(/\\s*\\n\\s*/)"
    labels = "mlp_3x512, parameters 1,735,178, random crop no, weight decay 0.0001, labels true"
    ours = "99.99 ± 0.01 (n = 2)"
    shown = [text.replace("\N{NO-BREAK SPACE}", " ") for text in opened.value(row)]
    assert shown[:4] == [labels, "train (%)", "100.00", ours]
    run = "document.querySelector('#runs tbody tr')"
    assert opened.value(f"getComputedStyle({run}).display") == "block"
    opened.size(1200, 900)
    assert opened.value(f"getComputedStyle({run}).display") == "table-row"


def test_the_page_holds_no_address_of_elsewhere(report):
    text = report.read_text()
    assert str(report.parents[1]) not in text, "where it was made is nobody's business"
    assert "{</script><b>" not in text
    assert "default-src 'none'" in text
    for part in ('src="http', "@import", "url(http", "fetch("):
        assert part not in text
