"""A frozen encoder joined to a language decoder by a small trained projector.

Sources: Liu et al. (2023), "Visual instruction tuning" (LLaVA), section 4.1, the projector; Liu et
al. (2024), "Improved baselines with visual instruction tuning", for an MLP in its place;
Tsimpoukelli et al. (2021), "Multimodal few-shot learning with frozen language models", for the idea
of a frozen half. There the language model is the large and pretrained half. Here it is small and
trained, and the encoder is frozen.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import (
    Linear,
    Transformer,
    TransformerConfig,
    combine_masks,
    gelu_tanh,
    padding_mask,
    prefix_mask,
)
from mmjax.checks import require, require_type
from mmjax.models.captioner import tied_logits
from mmjax.models.token_encoder import (
    TextInput,
    check_mask,
    require_positive,
    small_normal,
)


@dataclass(frozen=True)
class AnswererConfig:
    """`image_length` S tokens of `features` numbers, questions of up to `question_length` Q words.

    `answer_length` A counts the start and the words of an answer, without its end.
    """

    features: int
    image_length: int
    vocabulary: int
    question_length: int
    answer_length: int
    transformer: TransformerConfig

    def __post_init__(self):
        names = ("features", "image_length", "vocabulary", "question_length", "answer_length")
        require_positive(self, *names)


class Answerer(nnx.Module):
    """Image tokens [B, S, features], a question [B, Q], an answer so far [B, A] → logits [B, A, V].

    x_0 = [P(tokens); E[question]; E[answer]] + positions,  P(c) = W_2 gelu_tanh(W_1 c + b_1) + b_2,
    z = LN(Transformer(x_0) of the answer) Eᵀ

    Image and question see each other fully, the answer sees both and itself up to each word. The
    image tokens get positions of their own: an encoder that was trained under another decoder need
    not have kept in them where they stand. The encoder is not part of the model: what is not in it,
    no optimizer can move, neither by a gradient nor by weight decay.
    Raises ValueError or TypeError for arrays that do not fit.
    """

    def __init__(self, config: AnswererConfig, *, rngs: nnx.Rngs):
        self.config, width = config, config.transformer.width
        self.expand = Linear(config.features, width, rngs=rngs)
        self.contract = Linear(width, width, rngs=rngs)
        self.places = small_normal(rngs, config.image_length, width)
        length = config.question_length + config.answer_length
        self.text = TextInput(config.vocabulary, length, width, rngs=rngs)
        self.transformer = Transformer(config.transformer, rngs=rngs)

    def project(self, tokens: Array) -> Array:
        """P: what the encoder says, in the space of the decoder's words, [B, S, M]."""
        is_float = jnp.issubdtype(tokens.dtype, jnp.floating)
        expected = "a floating-point array [B, S, features]"
        require_type(is_float, "Answerer", "tokens", expected=expected, got=tokens)
        shape = (self.config.image_length, self.config.features)
        fits = tokens.ndim == 3 and tokens.shape[1:] == shape and len(tokens) > 0
        expected = f"[B, {shape[0]}, {shape[1]}] with B at least 1"
        require(fits, "Answerer", "tokens", expected=expected, got=tokens)
        return self.contract(gelu_tanh(self.expand(tokens)))

    def __call__(
        self,
        tokens: Array,
        question: Array,
        question_mask: Array,
        answer: Array,
        *,
        image_mask: Array | None = None,
    ) -> Array:
        """question_mask bool [B, Q]: True = a word. image_mask bool [B, S]: all where not given.

        Question and answer are whole numbers of any width.
        """
        image = self.project(tokens) + self.places[...][None]
        sizes = (("question", question, "question_length"), ("answer", answer, "answer_length"))
        for name, words, length in sizes:
            shape = (len(image), getattr(self.config, length))
            fits, expected = words.shape == shape, f"int {list(shape)}"
            require(fits, "Answerer", name, expected=expected, got=words)
            is_whole = jnp.issubdtype(words.dtype, jnp.integer)
            require_type(is_whole, "Answerer", name, expected=expected, got=words)
        question, answer = (words.astype(jnp.int32) for words in (question, answer))
        image_mask = check_mask(image_mask, tokens, "Answerer")
        question_mask = check_mask(question_mask, question, "Answerer")
        words, answer_mask = self.text(jnp.concatenate([question, answer], axis=1), None)
        answer_mask = answer_mask[:, question.shape[1] :]
        x = jnp.concatenate([image, words], axis=1)
        real = jnp.concatenate([image_mask, question_mask, answer_mask], axis=1)
        prefix = x.shape[1] - answer.shape[1]
        mask = combine_masks(prefix_mask(prefix, x.shape[1]), padding_mask(real))
        return tied_logits(self.transformer(x, mask=mask)[:, prefix:], self.text.embedding[...])


def answer_greedily(
    model: Answerer,
    tokens: Array,
    question: Array,
    question_mask: Array,
    *,
    start: int = 1,
    image_mask: Array | None = None,
) -> Array:
    """The answers int [B, A], each word the most probable one after those before.

    What stands behind the first end of a row has no meaning. Answers have a word or two, so the
    whole forward pass runs once a word and no cache is kept.
    """
    length = model.config.answer_length
    answer = jnp.full((len(tokens), length + 1), start, jnp.int32)
    for t in range(length):
        logits = model(tokens, question, question_mask, answer[:, :length], image_mask=image_mask)
        answer = answer.at[:, t + 1].set(logits[:, t].argmax(axis=1).astype(jnp.int32))
    return answer[:, 1:]
