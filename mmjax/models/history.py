"""Recommendation from a history: customers and products as vectors whose product is a score.

The purchases of a customer are evidence on one taste, and evidence adds: so the history enters as a
mean over its products, whatever their order. Where the products' vectors come from is a second
question. From pictures and words, a product that nobody has bought yet has one too. From a table of
identities it has a row that nothing has trained.

Sources: Covington et al. (2016), "Deep neural networks for YouTube recommendations", sections 3.1
and 3.2 (the mean over a history, a softmax over products); Zaheer et al. (2017), "Deep sets".
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from mmjax.attention import Linear, gelu
from mmjax.checks import require, require_type


class HistoryRecommender(nnx.Module):
    """f(history, i) = u · p_i with u = U(mean_h φ(v_h)) and p_i = P(v_i).

    v [E] is a product's vector; φ is linear and gelu, U and P have one hidden layer each. u and p
    are not normalised: the score is to become a logarithm of probabilities, which has no bound.
    """

    def __init__(self, features: int, width: int = 128, embedding: int = 64, *, rngs: nnx.Rngs):
        sizes = {"features": features, "width": width, "embedding": embedding}
        for name, size in sizes.items():
            require(size >= 1, "HistoryRecommender", name, expected="at least 1", got=size)
        self.features = features
        self.purchase = Linear(features, width, rngs=rngs)
        self.taste = nnx.List(
            [Linear(width, width, rngs=rngs), Linear(width, embedding, rngs=rngs)]
        )
        self.product = nnx.List(
            [Linear(features, width, rngs=rngs), Linear(width, embedding, rngs=rngs)]
        )

    def customers(self, histories: Array) -> Array:
        """The vectors of the products bought, [B, H, E] → u, [B, D]. Their order is no matter."""
        self._check(histories, 3, "histories", "[B, H, E]")
        return _two(self.taste, gelu(self.purchase(histories)).mean(axis=1))

    def products(self, vectors: Array) -> Array:
        """The vectors of products, [N, E] → p, [N, D]."""
        self._check(vectors, 2, "vectors", "[N, E]")
        return _two(self.product, vectors)

    def __call__(self, histories: Array, vectors: Array) -> Array:
        """Scores of every product for every customer: [B, H, E], [N, E] → [B, N]."""
        return self.customers(histories) @ self.products(vectors).T

    def _check(self, x: Array, rank: int, name: str, shape: str) -> None:
        where = "HistoryRecommender"
        is_float = jnp.issubdtype(x.dtype, jnp.floating)
        require_type(is_float, where, name, expected=f"floating-point {shape}", got=x)
        fits = x.ndim == rank and x.shape[-1] == self.features and 0 not in x.shape
        require(fits, where, name, expected=f"{shape} with E = {self.features}", got=x)


class IdentityRecommender(nnx.Module):
    """The same from identities alone: a table of one learned vector a product, [N, E].

    A product that is in no training example keeps the vector that it began with.
    """

    def __init__(self, number: int, features: int, width: int = 128, *, rngs: nnx.Rngs):
        require(number >= 1, "IdentityRecommender", "number", expected="at least 1", got=number)
        self.number, shape = number, (number, features)
        self.table = nnx.Param(jax.random.normal(rngs.params(), shape, jnp.float32))
        self.recommender = HistoryRecommender(features, width, rngs=rngs)

    def __call__(self, histories: Array, numbers: Array) -> Array:
        """Scores from numbers of products: histories int [B, H], numbers int [N] → [B, N].

        Raises TypeError or ValueError for arrays that do not fit, and ValueError for a number that
        no product has. Inside `jit`, where numbers are not known, the scores of such are NaN.
        """
        where = "IdentityRecommender"
        for name, x, rank in (("histories", histories, 2), ("numbers", numbers, 1)):
            is_whole = jnp.issubdtype(x.dtype, jnp.integer) and x.ndim == rank
            expected = f"whole numbers of rank {rank}"
            require_type(is_whole, where, name, expected=expected, got=x)
            require(0 not in x.shape, where, name, expected="at least one number", got=x)
            if not isinstance(x, jax.core.Tracer):
                first, last = np.asarray(x).min(), np.asarray(x).max()
                inside = 0 <= first and last < self.number
                expected = f"at least 0 and below the number of products {self.number}"
                require(inside, where, name, expected=expected, got=f"{first} to {last}")
        return self.recommender(self._rows(histories), self._rows(numbers))

    def _rows(self, x: Array) -> Array:
        """The vectors of products, NaN for a number that no product has."""
        rows = self.table[...].at[x]
        return rows.get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)


def _two(layers, x: Array) -> Array:
    """Linear, gelu, linear."""
    return layers[1](gelu(layers[0](x)))
