"""What a run says, to the letter: lines that align, estimates, verdicts in words."""

import dataclasses
import io
import re
import sys

import pytest

from rethink_tf import console
from rethink_tf.config.run_config import FIELDS, RunConfig, resolve, run_id
from rethink_tf.training.recording import messages

LINE = {
    "epoch": 12,
    "loss": 1.23456,
    "accuracy": 0.5,
    "train_accuracy": 1.0,
    "clean_accuracy": 0.25,
    "corrupted_accuracy": 0.125,
    "corrupted_original_accuracy": 0.0625,
    "test_accuracy": 0.1,
    "best_test_accuracy": 0.11,
    "learning_rate": 0.095,
    "train_loss": 1.0,
    "test_loss": 2.0,
    "timing": {"images_per_second": 1234.4, "train_seconds": 10.0, "eval_seconds": 2.34},
}
NULLS = (
    "train_accuracy",
    "clean_accuracy",
    "corrupted_accuracy",
    "corrupted_original_accuracy",
    "test_accuracy",
    "test_loss",
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def open_terminal(monkeypatch):
    """Makes standard output a terminal of 100 columns that knows colour."""

    def opened():
        stream = Terminal()
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.delenv("NO_COLOR", raising=False)
        return stream

    yield opened
    console.end_live()


class Kernel:
    """What IPython shows in a notebook, in place of IPython: all that was displayed, in order."""

    def __init__(self):
        self.kernel, self.shown = self, []

    def get_ipython(self):
        return self

    def display(self, content, **_):
        self.shown.append(content["text/plain"])
        return self

    def update(self, content, raw):
        self.shown[-1] = content["text/plain"]


@pytest.fixture
def notebook(monkeypatch):
    """The kernel of a notebook."""
    kernel = Kernel()
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setitem(sys.modules, "IPython.display", kernel)
    yield kernel
    console.end_live()


ALL = messages.columns()


def test_the_header():
    assert messages.header(ALL) == (
        "epoch      loss  train_running   train   clean   noisy  noisy>true    test  test_loss"
        "      rate  images/s    time"
    )


def test_an_epoch_line():
    assert messages.epoch_line(LINE, ALL) == (
        "   12    1.2346          50.00  100.00   25.00   12.50        6.25   10.00     2.0000"
        "   0.09500      1234   12.3s"
    )


def test_an_epoch_line_without_evaluation():
    assert messages.epoch_line({**LINE, **dict.fromkeys(NULLS)}, ALL) == (
        "   12    1.2346          50.00       -       -       -           -       -          -"
        "   0.09500      1234   12.3s"
    )


@pytest.mark.parametrize(
    "width, left_out",
    [
        (None, set()),
        (113, set()),
        (112, {"rate"}),
        (100, {"rate", "test_loss"}),
        (80, {"rate", "test_loss", "train_running"}),
        (76, {"rate", "test_loss", "train_running", "images/s"}),
        (20, set(messages._LESS_NEEDED)),
    ],
)
def test_columns_are_left_out_where_the_terminal_is_narrow(width, left_out):
    shown = messages.columns(width)
    assert set(ALL) - set(shown) == left_out
    assert list(shown) == [title for title in ALL if title in shown]
    assert width in (None, 20) or len(messages.header(shown)) <= width
    row = messages.epoch_line(LINE, shown)
    assert len(row) == len(messages.header(shown))
    assert row.split() == [
        cell
        for title, cell in zip(ALL, messages.epoch_line(LINE, ALL).split(), strict=True)
        if title in shown
    ]


def test_the_width_is_that_of_a_terminal_alone(open_terminal, monkeypatch):
    open_terminal()
    assert console.terminal_width() == 100
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert console.terminal_width() is None


def test_a_notebook_has_every_column(open_terminal, notebook):
    open_terminal()
    assert console.terminal_width() is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"epoch": 99_999},
        {"loss": 999.5},
        {"loss": 18424159185435552271826944.0},
        {"learning_rate": 1000.0},
        {"learning_rate": 1e-7},
        {"timing": {"images_per_second": 5e6, "train_seconds": 9000.0, "eval_seconds": 1.0}},
    ],
)
def test_a_line_is_as_wide_as_the_header(changes):
    width = len(messages.header(ALL))
    assert len(messages.epoch_line({**LINE, **changes}, ALL)) == width
    for key in NULLS:
        assert len(messages.epoch_line({**LINE, **changes, key: None}, ALL)) == width


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0.4, "0 s"),
        (45, "45 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (719, "12 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
        (12_240, "3.4 h"),
    ],
)
def test_duration(seconds, words):
    assert console.duration(seconds) == words


def test_an_estimate_says_what_to_type_only_where_it_is_long_on_a_cpu():
    assert messages.estimate(720, 100.4, True) == "about 12 min in all, at 100 images/s"
    assert messages.estimate(7200, 100, False) == "about 2.0 h in all, at 100 images/s"
    left = messages.estimate(720, 100.4, True, resumed=True)
    assert re.search("about 12 min .*at 100 images/s", left)
    assert messages.estimate(1800, 100, True) == "about 30 min in all, at 100 images/s"
    long, *advice = messages.estimate(7200, 100, True).splitlines()
    assert long == "about 2.0 h in all, at 100 images/s"
    assert re.search("--examples.*--epochs.*--precision=mixed_bfloat16", " ".join(advice))
    assert max(map(len, advice)) < 80


def test_the_configuration_in_one_block():
    config = resolve(RunConfig(model="mlp_1x512", dataset="digits", corrupt=0.5))
    text = messages.configuration(config, run_id(config), {"Parameters": "136,714 trainable"})
    lines = text.splitlines()
    assert lines[0] == f"run {run_id(config)}"
    assert "  What is trained          model mlp_1x512, dataset digits, examples all, " in text
    assert lines[-1] == "  Parameters               136,714 trainable"
    groups = list(dict.fromkeys(field.metadata["group"] for field in FIELDS.values()))
    assert [line[2:27].rstrip() for line in lines[1:-1]] == groups
    words = text.replace(",", "").split()
    for name in FIELDS:
        assert words.count(name) == 1, name
    own = dataclasses.replace(config, dataset=f"folder:/a/b@sha256:{'0123456789abcdef' * 4}")
    short = messages.configuration(own, run_id(config), {})
    assert "dataset folder:/a/b@sha256:0123456789ab, examples all" in short
    full = messages.configuration(resolve(RunConfig(dataset="digits", examples=300)), "id", {})
    assert "examples 300," in full


def test_the_introduction_names_what_differs_from_the_defaults():
    usual = resolve(RunConfig(model="mlp_1x512", dataset="digits"))
    config = resolve(RunConfig(model="mlp_1x512", dataset="digits", corrupt=0.5, seed=3))
    facts = {"Data": "297 for testing", "Audit": "17 checks passed"}
    text = messages.introduction(config, "ID", facts, usual)
    assert text.splitlines() == [
        "Run            ID",
        "Model          mlp_1x512, 150 epochs",
        "Data           digits, 297 for testing",
        "Not default    corrupt 0.5, seed 3",
        "Audit          17 checks passed",
    ]
    assert "Not default    nothing" in messages.introduction(usual, "ID", {}, usual)


def test_the_legend_has_a_line_for_each_column_but_the_epoch():
    lines = messages.legend(ALL).splitlines()
    assert [line.split()[0] for line in lines[2:]] == messages.header(ALL).split()[1:]
    assert max(map(len, lines)) <= 80


def test_the_legend_has_the_columns_that_are_shown_and_names_the_others():
    shown = messages.columns(80)
    *explained, missing = messages.legend(shown).splitlines()[2:]
    assert [line.split()[0] for line in explained] == list(shown[1:])
    assert "train_running, test_loss, rate" in missing and len(missing) <= 80


RUNNING = {"seen": 100, "loss_sum": 250.0, "correct": 25}
BAR = f"[{'=' * 6}{' ' * 6}]"
DRAWN = f"\repoch 3/9 {BAR} 100/200  loss 2.5000  train_running 25.00\033[K"


def test_the_bar_is_drawn_on_a_terminal_and_taken_away(open_terminal):
    terminal = open_terminal()
    progress = messages.Progress(200, 9)
    progress.update(3, 100, RUNNING)
    assert terminal.getvalue() == DRAWN
    progress.clear()
    progress.clear()
    assert terminal.getvalue() == DRAWN + "\r\033[K", "it is taken away once"
    progress.update(3, 0, {"seen": 0, "loss_sum": 0.0, "correct": 0})
    assert terminal.getvalue().endswith("0/200  loss 0.0000  train_running 0.00\033[K")


def test_a_line_takes_the_place_of_the_bar(open_terminal):
    terminal = open_terminal()
    messages.Progress(200, 9).update(3, 100, RUNNING)
    console.say("a line")
    assert terminal.getvalue() == DRAWN + "\r\033[Ka line\n"


def test_the_bar_fits_the_terminal(open_terminal, monkeypatch):
    terminal = open_terminal()
    monkeypatch.setenv("COLUMNS", "30")
    messages.Progress(200, 9).update(3, 100, RUNNING)
    assert terminal.getvalue() == DRAWN[:30] + "\033[K"


def test_there_is_no_bar_where_another_takes_the_lines(open_terminal, notebook):
    terminal = open_terminal()
    messages.Progress(200, 9, lambda line: None).update(3, 100, RUNNING)
    assert terminal.getvalue() == "" and notebook.shown == []


def test_a_stage_is_shown_in_the_live_line_and_taken_away(open_terminal):
    terminal, now = open_terminal(), [0.0]
    progress = console.StageProgress(clock=lambda: now[0])
    for tenth in range(1, 11):
        progress("factor", tenth / 10)
        now[0] += 1.0
    drawn = terminal.getvalue().split("\r")
    assert "factor: 50%, 5 s left\033[K" in drawn
    assert drawn[-1] == "\033[K" and "\n" not in terminal.getvalue()


def test_a_notebook_shows_one_bar_and_the_last_row(notebook, capsys):
    for _ in range(2):  # runs, of which each has its own
        progress = messages.Progress(200, 9)
        for epoch in (1, 2):
            progress.update(epoch, 100, RUNNING)
            progress.clear()
            titles = messages.header(ALL) + "\n" if epoch == 1 else ""
            console.say(titles + messages.epoch_line(LINE | {"epoch": epoch}, ALL))
        console.say("the end")
    assert capsys.readouterr().out == "the end\n" * 2, "rows are no lines of their own"
    assert len(notebook.shown) == 2
    for shown in notebook.shown:
        first, titles, row = shown.splitlines()
        assert first.startswith("epoch 2/9") and titles == messages.header(ALL)
        assert row == messages.epoch_line(LINE | {"epoch": 2}, ALL)


def test_a_terminal_has_colour_unless_no_color_says_otherwise(open_terminal, monkeypatch):
    terminal = open_terminal()
    line = f"{messages.header(ALL)}\nINVALID: why, a text of more than 100 characters {'x' * 80}"
    console.say(line)
    coloured = terminal.getvalue()
    assert "\033[1m" in coloured and "\033[1;31mINVALID\033[0m" in coloured
    plain = re.sub("\033\\[[0-9;]*m", "", coloured)
    assert plain == f"{line}\n", "and it is not broken into lines"
    monkeypatch.setenv("NO_COLOR", "1")
    console.say(line)
    assert terminal.getvalue() == f"{coloured}{line}\n"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    console.say(line)
    assert terminal.getvalue() == f"{coloured}{line}\n{line}\n"


def test_the_time_of_a_run_counts_every_example_that_is_evaluated():
    # 100 steps of 10 examples and 0.5 s; 4 evaluations of 600 examples, each at a third of that.
    assert messages.seconds_of(100, 0.5, 10, 4, 600) == pytest.approx(50 + 4 * 600 * 0.05 / 3)
    assert messages.seconds_of(100, 0.5, 10, 0, 600) == 50


def test_a_terminal_says_why_it_waits_and_everyone_how_long(open_terminal):
    terminal = open_terminal()
    messages.Progress(200, 9).compiling()
    assert terminal.getvalue() == "\rcompiling the first step ...\033[K"
    assert messages.compiled(8.27, False) == "compiling the first step: 8.3 s"


def test_nothing_but_lines_where_the_output_is_piped(monkeypatch):
    piped = io.StringIO()
    monkeypatch.setattr("sys.stdout", piped)
    progress = messages.Progress(200, 9)
    progress.compiling()
    progress.update(3, 100, {"seen": 100, "loss_sum": 250.0, "correct": 25})
    progress.clear()
    console.say("a line")
    assert piped.getvalue() == "a line\n"


CHANCE = "test accuracy 0.1010, chance 0.1000 +- 0.0043, z = 0.2"


def summary(**changes):
    return {
        "status": "DONE",
        "reason": None,
        "epochs": 70,
        "train_accuracy": 1.0,
        "test_accuracy": 0.101,
        "clean_accuracy": 0.98,
        "corrupted_accuracy": 0.5,
        "best_test_accuracy": 0.6,
        "changed_fraction": 0.45,
        "accuracy": 0.9912,
        "audit": [{"name": "test_at_chance", "passed": True, "detail": CHANCE}],
        **changes,
    }


def config_of(**fields):
    return resolve(RunConfig(**{"model": "inception", "dataset": "digits", **fields}))


def test_the_verdict_on_random_labels():
    words = messages.verdict(summary(), config_of(corrupt=1.0))
    assert re.search(r"fits 100\.0% .*at chance \(10\.1%\): it memorised", words)
    short = messages.verdict(summary(train_accuracy=0.3, epochs=1), config_of(corrupt=1.0))
    assert "fits 30.0% of labels drawn at random" in short
    assert short.endswith("(10.1%): not memorised within 1 epoch")
    longer = messages.verdict(summary(train_accuracy=0.3), config_of(corrupt=1.0))
    assert longer.endswith(": not memorised within 70 epochs")


def test_the_verdict_on_partly_corrupted_labels():
    assert re.search(
        r"45\.0% .*98\.0% of the clean and 50\.0% of the noisy .*predicts 50\.0% .*so far 60\.0%",
        messages.verdict(summary(test_accuracy=0.5), config_of(corrupt=0.5)),
    )
    none = messages.verdict(summary(corrupted_accuracy=None), config_of(corrupt=0.001))
    assert "98.0% of the clean and - of the noisy ones" in none


def test_the_verdict_on_true_labels():
    assert re.search(
        r"fits 100\.0% .*predicts 97\.5% .*a gap of 2\.5 points",
        messages.verdict(summary(test_accuracy=0.975, changed_fraction=0.0), config_of()),
    )
    little = summary(train_accuracy=0.031, test_accuracy=0.07, changed_fraction=0.0, epochs=1)
    assert re.search(
        r"fits 3\.1% .*predicts 7\.0% .*not fitted within 1 epoch",
        messages.verdict(little, config_of()),
    )


@pytest.mark.parametrize(
    "fields, changed",
    [({"corrupt": 1.0}, 0.9), ({"corrupt": 0.5}, 0.45), ({}, 0.0)],
)
def test_the_verdict_says_on_what_it_was_tested(fields, changed):
    words = messages.verdict(summary(changed_fraction=changed), config_of(held_out=300, **fields))
    assert "labels of 300 held-out training examples" in words and "test labels" not in words
    words = messages.verdict(summary(changed_fraction=changed), config_of(**fields))
    assert "test labels" in words and "held-out" not in words


def test_nothing_is_said_that_was_not_drawn_or_not_tested():
    every = {"changed_fraction": 1.0, "test_accuracy": 0.003}
    renamed = config_of(corrupt=1.0, label_noise="pair_flip")
    assert re.search(
        r"100\.0% of the labels are wrong", messages.verdict(summary(**every), renamed)
    )
    from_file = summary(changed_fraction=0.5)
    assert "50.0% of the labels are wrong" in messages.verdict(from_file, config_of())
    untested = summary(audit=[{"name": "test_at_chance", "passed": None, "detail": ""}])
    words = messages.verdict(untested, config_of(corrupt=1.0))
    assert "(chance could not be tested) (10.1%)" in str(words)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"pixels": "gaussian"}, "on Gaussian noise: fits "),
        ({"pixels": "gaussian", "pixel_mix": 0.5}, r"on images mixed with 0\.5 of noise: fits "),
        ({"pixels": "shuffled"}, "all images: fits "),
        (
            {"pixels": "random", "shuffle_fraction": 0.25},
            r"on permuted pixels \(0\.25 of them\), one per image: fits ",
        ),
    ],
)
def test_the_verdict_names_the_pixels(fields, words):
    assert re.search(words, messages.verdict(summary(changed_fraction=0.0), config_of(**fields)))


def test_table_4_reports_the_online_accuracy():
    row = {"dataset": "cifar10", "model": "mlp_1x512", "corrupt": 1.0, "weight_decay": 1e-4}
    line = "  paper, Table 4, running accuracy on the training batches: 99.2%; ours: 99.1% after 70"
    assert messages.verdict(summary(), config_of(**row)).splitlines()[1:] == [f"{line} epochs"]
    alexnet = {**row, "model": "alexnet", "weight_decay": 0.004, "examples": 10_000}
    last = messages.verdict(summary(), config_of(**alexnet)).splitlines()[-1]
    assert "to converge; ours: 99.1%" in str(last)
    assert last.endswith("on 10,000 examples")


def test_the_papers_numbers_stand_beside_ours():
    row = "paper, Table 1{}: train 100.0%, test 9.78%; ours: train 100.0%, test 10.10%"
    full = messages.verdict(summary(), config_of(dataset="cifar10", corrupt=1.0))
    assert full.splitlines()[1:] == ["  " + row.format("")]
    reduced = config_of(dataset="cifar10", corrupt=1.0, examples=5000, epochs=30)
    assert messages.verdict(summary(), reduced).splitlines()[1:] == [
        "  " + row.format(", at all 50,000 examples and full length")
    ]
    assert "paper" not in messages.verdict(summary(), config_of(corrupt=1.0))
    assert "paper" not in messages.verdict(summary(), config_of(dataset="cifar10", corrupt=0.5))


@pytest.mark.parametrize("status", ["INVALID", "DIVERGED"])
def test_the_verdict_on_a_run_that_did_not_end_well(status):
    failed = {"status": status, "reason": "the labels leaked"}
    assert messages.verdict(failed, config_of(corrupt=1.0)) == f"{status}: the labels leaked"


def test_the_first_step_is_said_to_be_compiled():
    assert "XLA: 3.1 s" in messages.compiled(3.14159, True)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("terminal", ["dumb", "xterm"])
def test_a_stream_that_was_closed_at_the_start_gets_nothing(stream, terminal, monkeypatch):
    """As with >&-: Python has None in its place."""
    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setattr(sys, stream, None)
    console.say("Audit  passed")
    console.warn("the run is in use")
    if stream == "stdout":
        assert console.terminal_width() is None and not console.is_live()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_line_is_written_in_one_call(stream, monkeypatch):
    """Where Python does not buffer, the pieces of two processes' lines would mix."""
    pieces = []

    class Unbuffered(io.StringIO):
        def write(self, text):
            pieces.append(text)
            return len(text)

    monkeypatch.setattr(sys, stream, Unbuffered())
    if stream == "stdout":
        console.say("Audit  passed")
        assert pieces == ["Audit  passed\n"]
    else:
        console.warn("the run is in use")
        assert pieces == ["rethink_tf: the run is in use\n"]
