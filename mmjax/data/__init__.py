"""Data that ships inside the dependencies or is generated. Nothing here knows a model."""

from mmjax.data.glyph_splits import Ceiling, GlyphSplit, ceiling, split_glyphs, validation_split
from mmjax.data.glyphs import EXTRA_FACES, FACES, Glyphs, load_glyphs

__all__ = [
    "EXTRA_FACES",
    "FACES",
    "Ceiling",
    "GlyphSplit",
    "Glyphs",
    "ceiling",
    "load_glyphs",
    "split_glyphs",
    "validation_split",
]
