"""A small shop: products that can be seen and read about, wishes, tastes, and the best answers.

`world` says what there is, `pictures` and `words` what of it is seen and said, `search` computes
the best possible ranking, `customers` what is bought, and recommendation by Bayes' rule.
"""

from mmjax.data.products.customers import (
    LIKED,
    affinities,
    exposures,
    next_purchase,
    purchase_probabilities,
    sample_purchases,
    taste_posterior,
)
from mmjax.data.products.pictures import masks, picture_log_likelihood, render_pictures
from mmjax.data.products.search import (
    best_accuracy,
    but_colour,
    expected_gains,
    posterior,
    recoloured,
)
from mmjax.data.products.words import (
    ALL_WORDS,
    EXACT,
    SAID,
    describe_products,
    words_log_likelihood,
)
from mmjax.data.products.world import (
    ATTRIBUTES,
    CATEGORIES,
    COLOURS,
    FAMILIES,
    MATERIALS,
    PATTERNS,
    SHAPE,
    STATES,
    attributes_of,
    buy,
    gains,
    grades,
    sample_states,
    state_of,
)

__all__ = [
    "ALL_WORDS",
    "ATTRIBUTES",
    "CATEGORIES",
    "COLOURS",
    "EXACT",
    "FAMILIES",
    "LIKED",
    "MATERIALS",
    "PATTERNS",
    "SAID",
    "SHAPE",
    "STATES",
    "affinities",
    "attributes_of",
    "best_accuracy",
    "but_colour",
    "buy",
    "describe_products",
    "expected_gains",
    "exposures",
    "gains",
    "grades",
    "masks",
    "next_purchase",
    "picture_log_likelihood",
    "posterior",
    "purchase_probabilities",
    "recoloured",
    "render_pictures",
    "sample_purchases",
    "sample_states",
    "state_of",
    "taste_posterior",
    "words_log_likelihood",
]
