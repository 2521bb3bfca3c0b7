"""The figures of the theory: SGD and the least norm, norm and test error, the limit of float64."""

import textwrap
from typing import Any

from rethink_tf.plotting.style import COLOURS, DPI, GREY, WIDTH, own_style

BLUE, RED = COLOURS[:2]


def _bare(axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


@own_style()
def descent(result: dict[str, Any]):
    """Distance to the pseudo-inverse solution, and training residual, against steps.

    Args:
        result: what `theory.implicit.sgd` returned.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 5.2), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    looks = {"zero": (BLUE, "o", "from zero"), "elsewhere": (RED, "s", "from a random point")}
    for axes, key, title in (
        (left, "distance", "Distance to the least-norm solution, relative to its norm"),
        (right, "residual", "Training residual, relative to the norm of the labels"),
    ):
        for place, (name, (colour, marker, start)) in enumerate(looks.items()):
            curve = result[name]
            axes.plot(
                # Step 0 would be outside of a logarithmic axis.
                [max(step, 0.7) for step in curve["steps"]],
                curve[key],
                color=colour,
                marker=marker,
                markevery=(3 * place, 6),
                markersize=5 - place,
                linestyle=("-", "--")[place],
                label=start,
            )
        axes.set(xscale="log", yscale="log", xlabel="Steps of SGD", title=title)
        _bare(axes)
    left.axhline(
        result["limit"],
        color=GREY,
        linestyle=":",
        linewidth=1.2,
        label="part of the random point outside\nthe span of the images",
    )
    left.legend(frameon=False, loc="lower left")
    figure.suptitle(
        f"SGD on {result['examples']} images of {result['dimensions']:,} numbers, "
        f"batches of {result['batch']}",
        weight="bold",
        size=12,
    )
    return figure


@own_style()
def norms(result: dict[str, Any], exact_below: float):
    """Norm of the least-norm solution against its test error, a point a preprocessing.

    Args:
        result: what `theory.implicit.run` returned.

    Returns:
        A matplotlib Figure. Choices that do not interpolate are left out, and said so.
    """
    from matplotlib.figure import Figure

    exact = [choice for choice in result["choices"] if choice["residual"] < exact_below]
    left_out = [choice["name"] for choice in result["choices"] if choice["residual"] >= exact_below]
    figure = Figure(figsize=(WIDTH, 5.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    colours = (*COLOURS, GREY)
    for number, choice in enumerate(exact):
        axes.plot(
            choice["norm"],
            100 * choice["test_error"],
            linestyle="",
            marker="osD^vPX*"[number % 8],
            color=colours[number % 8],
            markersize=9,
            label=f"{choice['name']} ({choice['dimensions']:,})",
        )
    axes.set(
        xscale="log",
        xlabel="Norm of the solution, features scaled to mean squared length 1",
        ylabel="Test error (%)",
    )
    axes.margins(0.12)
    _bare(axes)
    notes = ["All solutions shown have training error 0"] if exact else []
    if len(exact) > 2:
        notes.append(f"rank correlation {result['rank_correlation']:.2f}")
    if left_out:
        notes.append(f"no interpolation with {', '.join(left_out)}")
    axes.set_title(textwrap.fill("; ".join(notes), 110), loc="left", size=9)
    if exact:
        figure.legend(
            loc="outside right center", frameon=False, title="Preprocessing (numbers per image)"
        )
    figure.suptitle(
        f"Norm and test error of the least-norm solution for {result['choice_examples']:,} images",
        weight="bold",
        size=12,
    )
    return figure


@own_style()
def precision(result: dict[str, Any]):
    """The largest error of Theorem 1's network in float64 against n.

    Args:
        result: what `theory.expressivity_runs.run` returned.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 5.2), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    looks = {
        0.0: (BLUE, "o", "-", "random points, thresholds at the preceding point"),
        0.5: (RED, "s", "--", "random points, thresholds midway"),
    }
    for place, (colour, marker, style, title) in looks.items():
        points = [p for p in result["float64"]["points"] if p["place"] == place]
        axes.plot(
            [p["n"] for p in points],
            [max(p["residual"], 1e-17) for p in points],
            color=colour,
            marker=marker,
            linestyle=style,
            label=title,
        )
    real = [fit for fit in result["fits"] if fit["depth"] == 2]
    axes.plot(
        [fit["n"] for fit in real],
        [max(fit["residual"], 1e-17) for fit in real],
        color="#000000",
        marker="D",
        linestyle="",
        label="images, Keras model",
    )
    axes.axhline(
        0.5, color=GREY, linestyle=":", linewidth=1.2, label="above this line, a label is wrong"
    )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="n, points with random labels",
        ylabel="Largest error before rounding",
    )
    _bare(axes)
    axes.legend(frameon=False, loc="lower right")
    figure.suptitle("Theorem 1 in float64", weight="bold", size=12)
    return figure
