"""Exact search in a million vectors, against faiss: python benchmarks/search.py"""

import faiss
import jax
import jax.numpy as jnp
import numpy as np
from harness import Contender, benchmark, jax_contender

from mmjax.evaluation import search

VECTORS, WIDTH, PLACES = 1_000_000, 128, 10


def unit(number, seed):
    x = np.random.default_rng(seed).standard_normal((number, WIDTH), np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def case(queries):
    def contenders():
        wanted, vectors = unit(queries, 1), unit(VECTORS, 0)
        index = faiss.IndexFlatIP(WIDTH)
        index.add(vectors)
        ours = jax_contender(
            "mmjax", lambda q, v: search(q, v, PLACES), jnp.asarray(wanted), jnp.asarray(vectors)
        )
        found = jax.jit(search, static_argnums=2)(wanted, vectors, PLACES)[1]
        theirs = index.search(wanted, PLACES)[1]
        same = (np.sort(found, axis=1) == np.sort(theirs, axis=1)).mean()
        print(f"{same:.2%} of the results are the same")
        assert same > 0.999, "the two searches disagree beyond near ties"
        return [Contender("faiss", lambda: index.search(wanted, PLACES)), ours]

    return contenders


CASES = {"1 query": case(1), "64 queries": case(64), "1,024 queries": case(1024)}

if __name__ == "__main__":
    title = f"The best {PLACES} of {VECTORS:,} vectors of {WIDTH} numbers, float32"
    benchmark(title, "faiss", CASES)
