"""The oracle itself, against closed forms, hand computation and finite differences.

Everything else is compared with `mmjax/formulas`, so here it is compared with results that need
none of its code.
"""

import math

import numpy as np
import pytest

from mmjax import formulas

EPSILON = 1e-6


def central_difference(function, x, direction):
    """The derivative of a scalar or array function at x along a direction, to O(ε²)."""
    above, below = function(x + EPSILON * direction), function(x - EPSILON * direction)
    return (above - below) / (2 * EPSILON)


def draw(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def test_softmax_of_zero_and_one():
    e = math.e
    np.testing.assert_allclose(formulas.softmax([0, 1]), [1 / (1 + e), e / (1 + e)], atol=1e-15)


def test_softmax_sums_to_one_and_ignores_a_shift():
    (x,) = draw(0, (3, 5, 7))
    for axis in (0, 1, 2):
        np.testing.assert_allclose(formulas.softmax(x, axis).sum(axis), 1, atol=1e-14)
        np.testing.assert_allclose(formulas.softmax(x, axis), formulas.softmax(x + 1000, axis))


def test_softmax_jacobian_is_the_derivative_of_softmax():
    (x,) = draw(1, 5)
    jacobian = formulas.softmax_jacobian(formulas.softmax(x))
    for j, direction in enumerate(np.eye(5)):
        expected = central_difference(formulas.softmax, x, direction)
        np.testing.assert_allclose(jacobian[:, j], expected, atol=1e-9)
    np.testing.assert_allclose(jacobian.sum(axis=0), 0, atol=1e-16)


def test_log_sum_exp_closed_forms():
    assert formulas.log_sum_exp([0, 0, 0]) == pytest.approx(math.log(3), abs=1e-15)
    assert formulas.log_sum_exp([1e4, 1e4]) == pytest.approx(1e4 + math.log(2), abs=1e-11)
    x = np.log([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_allclose(formulas.log_sum_exp(x), np.log([6, 15]), atol=1e-15)
    np.testing.assert_allclose(formulas.log_sum_exp(x, axis=0), np.log([5, 7, 9]), atol=1e-15)


def test_attention_two_by_two_by_hand():
    """d_k = 4, so the scores [[0, 2], [4, 0]] are divided by 2: softmax of (0, 1) and (2, 0)."""
    Q, K = np.zeros((2, 4)), np.zeros((2, 4))
    Q[0, 1], K[1, 1] = 1, 2
    Q[1, 0], K[0, 0] = 4, 1
    V = np.array([[1.0, 0.0], [0.0, 1.0]])
    e = math.e
    expected = [[1 / (1 + e), e / (1 + e)], [e**2 / (1 + e**2), 1 / (1 + e**2)]]
    np.testing.assert_allclose(formulas.attention_weights(Q, K), expected, atol=1e-15)
    np.testing.assert_allclose(formulas.scaled_dot_product_attention(Q, K, V), expected, atol=1e-15)


def test_one_key_gives_its_value():
    Q, K, V = draw(2, (3, 5), (1, 5), (1, 7))
    out = formulas.scaled_dot_product_attention(Q, K, V)
    np.testing.assert_allclose(out, np.repeat(V, 3, axis=0), atol=1e-15)


def test_equal_keys_give_the_mean_of_the_values():
    Q, K, V = draw(3, (3, 5), (1, 5), (7, 2))
    out = formulas.scaled_dot_product_attention(Q, np.repeat(K, 7, axis=0), V)
    np.testing.assert_allclose(out, np.tile(V.mean(axis=0), (3, 1)), atol=1e-14)


def test_a_key_that_matches_far_better_takes_all():
    V = draw(4, (2, 3))[0]
    out = formulas.scaled_dot_product_attention([[1000.0]], [[1.0], [0.0]], V)
    np.testing.assert_allclose(out, V[:1], atol=1e-15)


def test_mask_equals_attention_without_the_masked_keys():
    Q, K, V = draw(5, (3, 5), (7, 5), (7, 2))
    kept = np.array([True, False, True, True, False, False, True])
    masked = formulas.scaled_dot_product_attention(Q, K, V, np.tile(kept, (3, 1)))
    np.testing.assert_allclose(
        masked, formulas.scaled_dot_product_attention(Q, K[kept], V[kept]), atol=1e-15
    )


def test_an_empty_row_is_zero():
    Q, K, V, dO = draw(6, (3, 5), (7, 5), (7, 2), (3, 2))
    mask = np.ones((3, 7), bool)
    mask[1] = False
    assert (formulas.scaled_dot_product_attention(Q, K, V, mask)[1] == 0).all()
    assert (formulas.online_softmax_attention(Q, K, V, mask)[1] == 0).all()
    assert (formulas.attention_gradients(Q, K, V, dO, mask)[0][1] == 0).all()


@pytest.mark.parametrize("masked", [False, True])
def test_attention_gradients_are_finite_differences(masked):
    Q, K, V, dO = draw(7, (3, 5), (7, 5), (7, 2), (3, 2))
    mask = np.random.default_rng(8).random((3, 7)) < 0.6 if masked else None
    inputs = [Q, K, V]
    gradients = formulas.attention_gradients(Q, K, V, dO, mask)
    for i, gradient in enumerate(gradients):
        assert gradient.shape == inputs[i].shape

        def objective(x, i=i):
            out = formulas.scaled_dot_product_attention(*inputs[:i], x, *inputs[i + 1 :], mask)
            return (dO * out).sum()

        for index in np.ndindex(gradient.shape):
            direction = np.zeros_like(gradient)
            direction[index] = 1
            expected = central_difference(objective, inputs[i], direction)
            assert gradient[index] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_online_softmax_is_the_whole_softmax(seed):
    rng = np.random.default_rng(seed)
    Q, K, V = 5 * rng.normal(size=(3, 5)), rng.normal(size=(11, 5)), rng.normal(size=(11, 2))
    mask = None if seed == 0 else rng.random((3, 11)) < 0.5
    whole = formulas.scaled_dot_product_attention(Q, K, V, mask)
    np.testing.assert_allclose(formulas.online_softmax_attention(Q, K, V, mask), whole, atol=1e-14)


def test_one_head_with_identity_maps_is_attention():
    X, C = draw(9, (3, 5), (7, 5))
    one = np.eye(5)[None]
    out = formulas.multi_head_attention(X, C, one, one, one, np.eye(5))
    np.testing.assert_allclose(out, formulas.scaled_dot_product_attention(X, C, C), atol=1e-15)


def test_heads_are_concatenated_in_order():
    """With values that head h sets to the constant h + 1, the output before W_O is 1 1 2 2 3 3."""
    X, W_Q, W_K = draw(10, (5, 7), (3, 7, 2), (3, 7, 2))
    X[:, 0] = 1
    W_V = np.zeros((3, 7, 2))
    W_V[:, 0, :] = np.array([1, 2, 3])[:, None]
    out = formulas.multi_head_attention(X, X, W_Q, W_K, W_V, np.eye(6))
    np.testing.assert_allclose(out, np.tile([1, 1, 2, 2, 3, 3], (5, 1)), atol=1e-14)


def test_grouped_heads_are_repeated_keys_and_values():
    X, W_Q, W_K, W_V, W_O = draw(11, (5, 7), (6, 7, 3), (2, 7, 3), (2, 7, 3), (18, 7))
    grouped = formulas.multi_head_attention(X, X, W_Q, W_K, W_V, W_O)
    repeated = [W[[0, 0, 0, 1, 1, 1]] for W in (W_K, W_V)]
    np.testing.assert_allclose(
        grouped, formulas.multi_head_attention(X, X, W_Q, *repeated, W_O), atol=1e-14
    )


def test_layer_norm_by_hand():
    """(1, 2, 3, 6) has mean 3 and variance (4 + 1 + 0 + 9)/4 = 3.5 (4.67 with the 1/(M − 1))."""
    out = formulas.layer_norm([1, 2, 3, 6], np.full(4, 2.0), np.full(4, 10.0), epsilon=0.5)
    np.testing.assert_allclose(out, 10 + 2 * np.array([-2, -1, 0, 3]) / 2, atol=1e-15)


def test_gelu_closed_forms():
    assert formulas.gelu(0.0) == 0
    assert formulas.gelu(1.0) == pytest.approx(0.8413447460685429, abs=1e-15)
    x = np.linspace(-5, 5, 11)
    np.testing.assert_allclose(formulas.gelu(x) - formulas.gelu(-x), x, atol=1e-14)


def test_sinusoidal_positions_by_hand():
    table = formulas.sinusoidal_positions(3, 4)
    expected = [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)]
    np.testing.assert_allclose(table[2], expected, atol=1e-15)
    np.testing.assert_allclose(table[0], [0, 1, 0, 1], atol=1e-15)


def test_rotary_is_multiplication_of_complex_numbers():
    (x,) = draw(12, (5, 6))
    positions = np.array([0, 3, 7, 1, 100])
    turns = np.exp(1j * positions[:, None] * 10_000.0 ** (-np.array([0, 2, 4]) / 6))
    expected = (x[:, 0::2] + 1j * x[:, 1::2]) * turns
    out = formulas.rotary(x, positions)
    np.testing.assert_allclose(out[:, 0::2] + 1j * out[:, 1::2], expected, atol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), np.linalg.norm(x, axis=1))


def test_normalize_gives_length_one():
    np.testing.assert_allclose(formulas.normalize([3.0, 4.0]), [0.6, 0.8], atol=1e-15)


def test_info_nce_closed_forms():
    """Orthogonal pairs: −log( e^s / (e^s + N − 1) ). Equal embeddings: log of how many are kept."""
    scale, N = 7.0, 5
    eye = np.eye(N)
    expected = math.log(math.exp(scale) + N - 1) - scale
    assert formulas.info_nce(eye, eye, math.log(scale)) == pytest.approx(expected, abs=1e-15)
    equal = np.tile([0.6, 0.8], (N, 1))
    assert formulas.info_nce(equal, equal, 1.0) == pytest.approx(math.log(N), abs=1e-14)
    none = np.zeros((N, N), bool)
    assert formulas.info_nce(equal, equal, 1.0, none) == pytest.approx(0, abs=1e-14)
    none[:, 0] = True
    expected = 4 / 5 * math.log(2)
    assert formulas.info_nce(equal, equal, 1.0, none) == pytest.approx(expected, abs=1e-14)


def test_clip_loss_is_the_mean_of_both_directions():
    """Images (1, 0), (0, 1) and texts (1, 0), (1, 0): the two directions differ."""
    images, texts = np.eye(2), np.array([[1.0, 0.0], [1.0, 0.0]])
    image_to_text = math.log(2)
    text_to_image = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    assert formulas.info_nce(images, texts, 0.0) == pytest.approx(image_to_text, abs=1e-15)
    assert formulas.info_nce(texts, images, 0.0) == pytest.approx(text_to_image, abs=1e-15)
    expected = (image_to_text + text_to_image) / 2
    assert formulas.clip_loss(images, texts, 0.0) == pytest.approx(expected, abs=1e-15)


def test_clip_loss_transposes_the_negatives_for_texts():
    images, texts = formulas.normalize(draw(13, (5, 3))[0]), formulas.normalize(draw(14, (5, 3))[0])
    negatives = np.ones((5, 5), bool)
    negatives[1, 3] = False
    expected = (
        formulas.info_nce(images, texts, 1.0, negatives)
        + formulas.info_nce(texts, images, 1.0, negatives.T)
    ) / 2
    assert formulas.clip_loss(images, texts, 1.0, negatives) == pytest.approx(expected)
    swapped = formulas.clip_loss(texts, images, 1.0, negatives.T)
    assert formulas.clip_loss(images, texts, 1.0, negatives) == pytest.approx(swapped)


def test_the_oracle_computes_in_float64_whatever_comes_in():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s).astype(np.float32) for s in ((7, 64), (5, 64), *[(2, 64, 32)] * 3)]
    arrays.append(rng.normal(size=(64, 64)).astype(np.float32))
    wide = formulas.multi_head_attention(*(a.astype(np.float64) for a in arrays))
    np.testing.assert_array_equal(formulas.multi_head_attention(*arrays), wide)
