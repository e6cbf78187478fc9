"""Glyphs: a real image-text dataset that every installation already has.

Matplotlib ships fonts, and Python ships the official Unicode name of every character. A picture of
a character and its name make a pair: `o` and LATIN SMALL LETTER O. The names are compositional
(LATIN SMALL LETTER O WITH DIAERESIS), so a model can name characters that it has never seen.

Source: the DejaVu fonts 2.37 (free licence, LICENSE_DEJAVU in Matplotlib's font folder), the STIX
and Computer Modern fonts beside them, and the Unicode Character Database in `unicodedata`.
"""

import hashlib
import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font, LoadFlags

from mmjax.checks import require, require_one_of
from mmjax.data.cache import cached_arrays

FACES = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-BoldOblique",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSansMono-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-BoldItalic",
    "DejaVuSerif-Italic",
)
"""The faces of the dataset. The two DejaVu display faces (67 images) are left out."""

EXTRA_FACES = (
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
    "STIXGeneralItalic",
    "cmb10",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
)
"""Faces of other designers: a test of what a model learned from `FACES` alone."""

_EM = 13 / 16  # one em, as a part of the box's side: 26 of 32 pixels
_BASELINE = 25 / 32  # the part of the box above the baseline: 25 of 32 rows
_FORMAT = 1  # to be raised when rendering changes


@dataclass(frozen=True)
class Glyphs:
    """Pictures of characters and their names. N images of K characters in F faces.

    Attributes:
        images: uint8 [N, size, size], ink 255 on 0.
        labels: int32 [N], the character of each image: an index into `names` and `characters`.
        faces: int32 [N], the face of each image: an index into `face_names`.
        names: K official Unicode names, in the order of the code points.
        characters: K one-character strings, in the same order.
        face_names: F names of font files without their ending.
    """

    images: np.ndarray
    labels: np.ndarray
    faces: np.ndarray
    names: tuple[str, ...]
    characters: tuple[str, ...]
    face_names: tuple[str, ...]


def load_glyphs(size: int = 32, *, faces: Sequence[str] = FACES, cache: bool = True) -> Glyphs:
    """Every named character of Matplotlib's fonts as a picture.

    Rendered once (seconds), then read from the user's cache folder; see `mmjax.data.cache`.

    A glyph keeps its place and size on the line, because the name depends on them: a full stop sits
    low, a superscript high, a capital is larger than a small letter. All faces share one scale (an
    em is 13/16 of the box) and one baseline (25/32 from the top). The advance width is centred, and
    the glyph is moved sideways if ink would leave the box. The few glyphs too large for the box
    (about 3 %: letters with two accents, long arrows) are shrunk about the baseline until they fit.
    Control characters, marks, and separators are left out (Unicode categories C, M and Z).

    The contents depend on the versions of Matplotlib (fonts, rasteriser) and of Unicode (names);
    both are part of the cache's key. Unicode 14 to 18 give these characters the same names.

    Args:
        size: side of the pictures in pixels, at least 8.
        faces: which fonts, out of `FACES` and `EXTRA_FACES`.
        cache: False renders without reading or writing the cache.

    Raises:
        ValueError: for an unknown face, the same face twice, no face, or a size below 8.
    """
    faces = tuple(faces)
    require(size >= 8, "load_glyphs", "size", expected="at least 8 pixels", got=size)
    require(len(faces) > 0, "load_glyphs", "faces", expected="at least one face", got=faces)
    distinct = len(set(faces)) == len(faces)
    require(distinct, "load_glyphs", "faces", expected="each face once", got=faces)
    for face in faces:
        require_one_of(face, FACES + EXTRA_FACES, "load_glyphs", "faces")
    arrays = cached_arrays(_cache_name(size, faces), lambda: _render(size, faces), cache=cache)
    code_points, labels = np.unique(arrays["code_points"], return_inverse=True)
    characters = tuple(chr(code_point) for code_point in code_points)
    columns = (arrays["images"], labels.astype(np.int32), arrays["faces"])
    for column in columns:
        column.flags.writeable = False
    names = tuple(unicodedata.name(character) for character in characters)
    return Glyphs(*columns, names=names, characters=characters, face_names=faces)


def _cache_name(size: int, faces: tuple[str, ...]) -> str:
    which = {FACES: "dejavu", EXTRA_FACES: "extra"}.get(faces)
    if which is None:  # a file name has no room for the names of many faces
        which = hashlib.sha256("+".join(faces).encode()).hexdigest()[:16]
    versions = f"matplotlib{matplotlib.__version__}-unicode{unicodedata.unidata_version}"
    return f"glyphs{_FORMAT}-{which}-{size}-{versions}.npz"


def _render(size: int, faces: tuple[str, ...]) -> dict[str, np.ndarray]:
    images, code_points, numbers = [], [], []
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    for number, face in enumerate(faces):
        font = FT2Font(str(folder / f"{face}.ttf"))
        for code_point in _named_code_points(font, face):
            images.append(_render_one(font, code_point, size))
            code_points.append(code_point)
            numbers.append(number)
    return {
        "images": np.stack(images),
        "code_points": np.array(code_points, np.int32),
        "faces": np.array(numbers, np.int32),
    }


def _named_code_points(font: FT2Font, face: str) -> Iterator[int]:
    for code_point in sorted(font.get_charmap()):
        character = chr(code_point)
        # The Computer Modern fonts put TeX's own symbols at other characters' code points.
        if face.startswith("cm") and not (character.isascii() and character.isalnum()):
            continue
        if unicodedata.category(character)[0] not in "CMZ" and unicodedata.name(character, ""):
            yield code_point


def _render_one(font: FT2Font, code_point: int, size: int) -> np.ndarray:
    """One picture uint8 [size, size]; the unit of FreeType's lengths is 1/64 pixel."""
    above = round(_BASELINE * size)
    em = _EM * size
    while True:
        font.set_size(em, 72)  # at 72 dots per inch a point is a pixel
        # Hinting would move stems to whole pixels, differently in every face and size.
        glyph = font.load_char(code_point, flags=LoadFlags.NO_HINTING | LoadFlags.NO_BITMAP)
        x_min, y_min, x_max, y_max = glyph.bbox
        left, right, top = x_min // 64, math.ceil(x_max / 64), math.ceil(y_max / 64)
        if right - left <= size and top <= above and -(y_min // 64) <= size - above:
            break
        em *= 31 / 32
    advance = glyph.linearHoriAdvance / 65536
    origin = min(max(round((size - advance) / 2), -left), size - right)
    image = np.zeros((size, size), np.uint8)
    font.draw_glyph_to_bitmap(image, origin, above - top, glyph)
    font.clear()  # the font keeps every glyph it has loaded
    return image
