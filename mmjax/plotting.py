"""One look for every figure of the course: colours that colour-blind readers can tell apart.

Colours: Okabe & Ito (2008), "Color universal design". Maps: viridis for amounts, PuOr for signs.
"""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from mmjax.checks import require

OKABE_ITO = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#F0E442",
    "black": "#000000",
}
"""Eight colours by name, in the order in which a figure uses them."""

AMOUNTS = "viridis"
"""Colour map for numbers that are at least zero, such as attention weights."""

SIGNED = "PuOr"
"""Colour map for numbers of both signs, such as gradients; zero is white."""


def use_course_style() -> None:
    """Sets Matplotlib's defaults for the notebook: colours, size, grid, sharpness."""
    mpl.rcParams.update(
        {
            "axes.prop_cycle": mpl.cycler(color=list(OKABE_ITO.values())),
            "axes.grid": True,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": "medium",
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "figure.figsize": (6.4, 3.8),
            "grid.alpha": 0.3,
            "image.cmap": AMOUNTS,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
        }
    )


def heatmap(
    ax: Axes,
    matrix,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    title: str = "",
    *,
    signed: bool = False,
    numbers: str | None = None,
    limit: float | None = None,
    colorbar: bool = True,
) -> AxesImage:
    """Draws a matrix [rows, columns] as a picture, row 0 on top, and returns the image.

    signed: colours symmetric around zero. numbers: a format such as ".2f" writes every entry into
    its cell, in black or white, whichever reads better. limit: the largest absolute value of the
    colour scale, for pictures that are to be compared; by default that of the matrix.
    Raises ValueError if the matrix is not of rank 2 or a list of labels does not fit it.
    """
    matrix = np.asarray(matrix)
    require(matrix.ndim == 2, "heatmap", "matrix", expected="rank 2", got=matrix)
    top = limit if limit is not None else max(float(np.abs(matrix).max()), 1e-12)
    low, colours = (-top, SIGNED) if signed else (min(0.0, float(matrix.min())), AMOUNTS)
    image = ax.imshow(matrix, cmap=colours, vmin=low, vmax=top, aspect="auto")
    ax.grid(False)
    ax.set_title(title)
    _label(ax.yaxis, row_labels, matrix.shape[0], "row_labels")
    _label(ax.xaxis, column_labels, matrix.shape[1], "column_labels")
    if numbers is not None:
        _write_numbers(ax, matrix, image, numbers)
    if colorbar:
        ax.figure.colorbar(image, ax=ax)
    return image


def _label(axis, labels, length: int, argument: str) -> None:
    if labels is None:
        return
    fits = len(labels) == length
    require(fits, "heatmap", argument, expected=f"{length} labels", got=f"{len(labels)} labels")
    axis.set_ticks(range(length), labels)


def _write_numbers(ax: Axes, matrix, image: AxesImage, number_format: str) -> None:
    """Black on light cells and white on dark ones, by the luminance of the cell's colour."""
    for (row, column), value in np.ndenumerate(matrix):
        red, green, blue, _ = image.cmap(image.norm(value))
        light = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.45
        text = format(value, number_format)
        text = text.removeprefix("-") if not text.strip("-0.") else text  # no "-0.00"
        ax.text(column, row, text, ha="center", va="center", color="black" if light else "white")
