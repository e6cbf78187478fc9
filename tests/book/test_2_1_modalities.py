"""Section 2.1, text, image and video: both sides of every numbered equation, in float64."""

import itertools
import math
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.data.scenes import MOTIONS, Scenes, render_video
from mmjax.modalities import (
    PAD,
    BytePairVocabulary,
    ByteVocabulary,
    WordVocabulary,
    grid_positions,
    patchify,
    tubelets,
)

pytestmark = pytest.mark.usefixtures("x64")


@pytest.fixture
def random():
    return np.random.default_rng(21)


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-11)


@pytest.mark.equation("2.1.1")
def test_the_mean_of_the_real_tokens(random):
    u, m = random.normal(size=(5, 3)), np.array([1.0, 1, 0, 1, 0])

    def mean(u):
        return (m[:, None] * u).sum(0) / m.sum()

    close(mean(jnp.asarray(u)), u[[0, 1, 3]].mean(0))
    gradient = jax.jacobian(mean)(jnp.asarray(u))  # [3, 5, 3]
    close(gradient[:, 2], 0)
    close(gradient[:, 4], 0)
    close(gradient[:, 3], np.eye(3) / 3)


@pytest.mark.equation("2.1.2")
@pytest.mark.parametrize("kind", ["byte", "word", "pair"])
def test_the_mask_of_a_text(kind):
    texts = ["a b", "a b c d", ""]
    vocabulary = {
        "byte": ByteVocabulary(),
        "word": WordVocabulary.from_texts(texts),
        "pair": BytePairVocabulary.train(texts, 3),
    }[kind]
    tokens, mask = vocabulary.encode(texts, 11)
    for row, real, text in zip(tokens, mask, texts, strict=True):
        n = len(vocabulary.token_ids(text))
        assert real.tolist() == [t < n + 2 for t in range(11)]
        assert (row[~real] == PAD).all() and (row[real] != PAD).all()


TEXT = ["low low low lower newest newest wider"]


def parts_of(vocabulary):
    """The words of TEXT as the vocabulary splits them, with the number of each."""
    words = Counter(word for text in TEXT for word in text.replace(" ", "\n ").split("\n"))
    return {tuple(vocabulary.parts(word)): number for word, number in words.items()}


@pytest.mark.equation("2.1.3")
def test_neighbours_are_counted():
    words = parts_of(BytePairVocabulary.train(TEXT, 0))
    counts = formulas.byte_pair_counts(words)
    text = [character for parts, n in words.items() for character in [*parts, None] * n]
    for (a, b), count in counts.items():
        assert count == sum(x == a and y == b for x, y in itertools.pairwise(text))
    assert counts["l", "o"] == counts["o", "w"] == 4 and counts["e", "r"] == 2


@pytest.mark.equation("2.1.4")
def test_a_merge_shortens_the_text_by_what_was_counted():
    for k in range(6):
        before, after = (parts_of(BytePairVocabulary.train(TEXT, n)) for n in (k, k + 1))
        counts = formulas.byte_pair_counts(before)
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        assert BytePairVocabulary.train(TEXT, k + 1).merges[k] == best and best[0] != best[1]
        length = sum(n * len(parts) for parts, n in before.items())
        assert sum(n * len(parts) for parts, n in after.items()) == length - counts[best]
    assert formulas.byte_pair_counts({tuple("aaa"): 1}) == {("a", "a"): 2}
    assert BytePairVocabulary.train(["aaa aaa"], 1).parts("aaa") == ["aa", "a"]


def test_the_example_on_paper():
    words = {tuple("low"): 3, tuple("lower"): 1}
    counts = formulas.byte_pair_counts(words)
    assert counts["l", "o"] == counts["o", "w"] == 4 and counts["w", "e"] == counts["e", "r"] == 1
    assert sum(n * len(parts) for parts, n in words.items()) == 14


@pytest.mark.equation("2.1.5", "2.1.6")
def test_patches(random):
    height, width, C, P = 6, 15, 5, 3
    x = random.normal(size=(height, width, C))
    u = patchify(x[None], P)[0]
    assert u.shape == (height * width // P**2, P * P * C)
    close(u, formulas.patches(x, P))
    for r, s, i, j, c in np.ndindex(height // P, width // P, P, P, C):
        assert u[r * width // P + s, (i * P + j) * C + c] == x[r * P + i, s * P + j, c]


def convolution(x, W, strides, layout):
    """JAX's convolution of one signal x with the kernel W, without padding."""
    return jax.lax.conv_general_dilated(
        jnp.asarray(x)[None], jnp.asarray(W), strides, "VALID", dimension_numbers=layout
    )[0]


@pytest.mark.equation("2.1.7")
def test_patches_times_a_matrix_are_a_strided_convolution(random):
    P, C, M = 3, 5, 7
    x, W = random.normal(size=(6, 15, C)), random.normal(size=(P, P, C, M))
    left = convolution(x, W, (P, P), ("NHWC", "HWIO", "NHWC")).reshape(-1, M)
    close(left, patchify(x[None], P)[0] @ W.reshape(-1, M))
    literal = sum(x[3 + i, 6 + j, c] * W[i, j, c] for i, j, c in np.ndindex(P, P, C))
    close(left[1 * 5 + 2], literal)


@pytest.mark.equation("2.1.8")
def test_positions_of_a_grid():
    rows, columns, M = 3, 5, 12
    table = formulas.grid_positions((rows, columns), M)
    axis = [formulas.sinusoidal_positions(n, M // 2) for n in (rows, columns)]
    for r, s in np.ndindex(rows, columns):
        close(table[r * columns + s], np.concatenate([axis[0][r], axis[1][s]]))
    np.testing.assert_allclose(grid_positions((rows, columns), M), table, atol=1e-6)


@pytest.mark.equation("2.1.9")
def test_the_dot_product_of_positions_knows_the_offsets():
    rows, columns, M = 3, 5, 12
    table = formulas.grid_positions((rows, columns), M).reshape(rows, columns, M)
    omega = 10_000.0 ** (-2 * np.arange(M // 4) / (M / 2))
    for r, s, u, v in np.ndindex(rows, columns, rows, columns):
        right = np.cos(omega * (r - u)).sum() + np.cos(omega * (s - v)).sum()
        close(table[r, s] @ table[u, v], right)


@pytest.mark.equation("2.1.24", "2.1.25")
def test_tubelets(random):
    F, height, width, C, N, P = 4, 6, 9, 5, 2, 3
    x = random.normal(size=(F, height, width, C))
    u = tubelets(x[None], N, P)[0]
    assert len(u) == F // N * height // P * width // P
    close(u, formulas.tubelets(x, N, P))
    for q, r, s, n, i, j, c in np.ndindex(F // N, height // P, width // P, N, P, P, C):
        t = (q * height // P + r) * width // P + s
        value = x[q * N + n, r * P + i, s * P + j, c]
        assert u[t, ((n * P + i) * P + j) * C + c] == value


@pytest.mark.equation("2.1.26")
def test_tubelets_times_a_matrix_are_a_convolution_over_space_and_time(random):
    N, P, C, M = 2, 3, 5, 7
    x, W = random.normal(size=(4, 6, 9, C)), random.normal(size=(N, P, P, C, M))
    left = convolution(x, W, (N, P, P), ("NDHWC", "DHWIO", "NDHWC")).reshape(-1, M)
    close(left, tubelets(x[None], N, P)[0] @ W.reshape(-1, M))


@pytest.mark.equation("2.1.27")
def test_a_mean_over_frames_does_not_know_their_order(random):
    x, W = random.normal(size=(5, 7)), random.normal(size=(7, 3))

    def g(frames):
        return np.tanh(frames @ W)

    for order in itertools.permutations(range(5)):
        close(g(x[list(order)]).mean(0), g(x).mean(0))


def slide(motion):
    """A clean video [8, pixels] of one large blue triangle in the middle lane."""
    lane = np.array([[0, 1, 0]])
    values = {"colour": 2, "shape": 2, "size": 1, "motion": MOTIONS.index(motion), "phase": 1}
    scene = Scenes(lane.astype(bool), **{name: lane * value for name, value in values.items()})
    video = render_video(scene)[0, :, 12:20, ::2]  # fewer pixels, the same argument
    return video.astype(np.float64).reshape(8, -1)


RIGHT, LEFT, SIGMA = slide("slides right"), slide("slides left"), 5.0


def ordered(x, v):
    """p(x | v), up to a constant."""
    return math.exp(-((x - v) ** 2).sum() / (2 * SIGMA**2))


def bag(x, v):
    """The mean of `ordered` over all orders of the frames, from all distances at once."""
    squares = ((x[:, None] - v[None]) ** 2).sum(-1)
    orders = np.array(list(itertools.permutations(range(len(x)))))
    return np.exp(-squares[orders, np.arange(len(x))].sum(1) / (2 * SIGMA**2)).mean()


@pytest.mark.equation("2.1.28")
def test_a_bag_is_the_same_backwards(random):
    x = RIGHT + 0.3 * random.normal(size=RIGHT.shape)
    few = np.mean([ordered(x[list(order)][:4], RIGHT[:4]) for order in permutations_of_four()])
    close(bag(x[:4], RIGHT[:4]), few)
    close(bag(x, RIGHT[::-1]), bag(x, RIGHT))
    assert ordered(x, RIGHT) > 1.2 * ordered(x, RIGHT[::-1])


def permutations_of_four():
    return (order + (4, 5, 6, 7) for order in itertools.permutations(range(4)))


@pytest.mark.equation("2.1.29")
def test_a_bag_of_frames_says_nothing_about_the_direction(random):
    x = RIGHT + 0.3 * random.normal(size=RIGHT.shape)
    right = bag(x, RIGHT) / 2 + bag(x, LEFT[::-1]) / 2
    left = bag(x, LEFT) / 2 + bag(x, RIGHT[::-1]) / 2
    close(right / (right + left), 0.5)
    right = ordered(x, RIGHT) + ordered(x, LEFT[::-1])
    left = ordered(x, LEFT) + ordered(x, RIGHT[::-1])
    assert right / (right + left) > 0.55  # in order they say it


@pytest.mark.equation("2.1.30")
def test_positions_after_a_linear_map_melt_into_a_constant(random):
    x, W, p = random.normal(size=(5, 7)), random.normal(size=(7, 3)), random.normal(size=(5, 3))
    close((x @ W + p).mean(0), x.mean(0) @ W + p.mean(0))
    close((x[::-1] @ W + p).mean(0), (x @ W + p).mean(0))
    bent = [np.maximum(frames @ W + p, 0).mean(0) for frames in (x, x[::-1])]
    assert np.abs(bent[0] - bent[1]).max() > 0.01
