"""Mistakes to make on purpose, a file a chapter, each of which a test must notice."""

from tools.mistakes.align import ALIGN_MISTAKES
from tools.mistakes.attention import ATTENTION_MISTAKES
from tools.mistakes.captions import CAPTION_MISTAKES
from tools.mistakes.clip import CLIP_MISTAKES
from tools.mistakes.education import EDUCATION_MISTAKES
from tools.mistakes.grading import GRADING_MISTAKES
from tools.mistakes.healthcare import HEALTHCARE_MISTAKES
from tools.mistakes.mistake import Mistake
from tools.mistakes.retrieval import RETRIEVAL_MISTAKES
from tools.mistakes.shop import SHOP_MISTAKES
from tools.mistakes.summaries import SUMMARY_MISTAKES
from tools.mistakes.trends import TREND_MISTAKES

MISTAKES = (
    ATTENTION_MISTAKES
    + CLIP_MISTAKES
    + ALIGN_MISTAKES
    + CAPTION_MISTAKES
    + EDUCATION_MISTAKES
    + GRADING_MISTAKES
    + HEALTHCARE_MISTAKES
    + RETRIEVAL_MISTAKES
    + SHOP_MISTAKES
    + SUMMARY_MISTAKES
    + TREND_MISTAKES
)

__all__ = ["MISTAKES", "Mistake"]
