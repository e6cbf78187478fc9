"""The course's figures: colours that differ, a heatmap with the labels where they belong."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from mmjax.plotting import OKABE_ITO, heatmap, use_course_style


@pytest.fixture
def ax():
    with mpl.rc_context():
        use_course_style()
        figure, ax = plt.subplots()
        yield ax
        plt.close(figure)


def test_the_style_cycles_through_the_okabe_ito_colours(ax):
    lines = [ax.plot([0, 1], [i, i])[0].get_color() for i in range(len(OKABE_ITO))]
    assert lines == list(OKABE_ITO.values())
    assert len(set(lines)) == 8


def test_a_heatmap_writes_every_entry_into_its_cell(ax):
    matrix = np.array([[0.0, 0.25, 1.0], [0.5, 0.75, 0.1]])
    heatmap(ax, matrix, ["a", "b"], ["x", "y", "z"], "weights", numbers=".2f")
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written[(2, 0)] == "1.00" and written[(0, 1)] == "0.50" and len(written) == 6
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["x", "y", "z"]
    assert ax.get_title() == "weights"


def test_a_number_that_rounds_to_zero_has_no_sign(ax):
    heatmap(ax, np.array([[-0.001, -0.1, 0.0, 10.0]]), signed=True, numbers=".2f")
    assert [text.get_text() for text in ax.texts] == ["0.00", "-0.10", "0.00", "10.00"]


def test_signed_colours_are_symmetric_around_zero(ax):
    image = heatmap(ax, np.array([[-3.0, 1.0]]), signed=True, colorbar=False)
    assert image.get_clim() == (-3.0, 3.0)
    image = heatmap(ax, np.array([[0.2, 0.5]]), limit=1.0)
    assert image.get_clim() == (0.0, 1.0)


def test_labels_that_do_not_fit_are_refused(ax):
    with pytest.raises(ValueError, match="'row_labels': expected 2 labels, got 1 labels"):
        heatmap(ax, np.ones((2, 2)), ["only one"])
    with pytest.raises(ValueError, match="'matrix': expected rank 2, got float64\\[3\\]"):
        heatmap(ax, np.ones(3))
