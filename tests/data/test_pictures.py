"""Pictures of every format, size and mode that Pillow can read become one shape of RGB."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, features

from mmjax.data.errors import DataError
from mmjax.data.pictures import read_picture

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def save(path, image, **options):
    image.save(path, **options)
    return path


def quarters(width=32, height=32, mode="RGB"):
    """Red, green (above), blue, white (below): every turn and mirroring shows."""
    image = Image.new("RGB", (width, height), RED)
    draw = ImageDraw.Draw(image)
    w, h = width // 2, height // 2
    draw.rectangle((w, 0, width, h - 1), GREEN)
    draw.rectangle((0, h, w - 1, height), BLUE)
    draw.rectangle((w, h, width, height), WHITE)
    return image.convert(mode)


def corners(picture):
    """The colours in the middle of the four quarters, row by row."""
    height, width, _ = picture.shape
    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    return np.array([picture[r, c] for r in rows for c in columns], int)


def near(got, expected, tolerance):
    np.testing.assert_allclose(got, np.array(expected, int), atol=tolerance)


FORMATS = {
    "png": 0,
    "bmp": 0,
    "gif": 0,
    "tiff": 0,
    "ppm": 0,
    "tga": 0,
    "jpg": 6,
    **({"webp": 6} if features.check("webp") else {}),
}


@pytest.mark.parametrize("form", FORMATS)
def test_formats(tmp_path, form):
    picture = read_picture(save(tmp_path / f"x.{form}", quarters()), 32)
    assert picture.shape == (32, 32, 3) and picture.dtype == np.uint8
    near(corners(picture), [RED, GREEN, BLUE, WHITE], FORMATS[form])


def test_the_name_says_nothing_about_the_format(tmp_path):
    save(tmp_path / "x.jpg", quarters(), format="PNG")
    near(corners(read_picture(tmp_path / "x.jpg", 32)), [RED, GREEN, BLUE, WHITE], 0)


MODES = {"P": "png", "CMYK": "tiff", "YCbCr": "tiff", "RGBA": "png", "RGBX": "tiff"}


@pytest.mark.parametrize("mode", MODES)
def test_modes_with_colour(tmp_path, mode):
    path = save(tmp_path / f"x.{MODES[mode]}", quarters(mode=mode))
    with Image.open(path) as image:
        assert image.mode in (mode, "RGB")
    near(corners(read_picture(path, 32)), [RED, GREEN, BLUE, WHITE], 2)


def test_a_jpeg_for_printing(tmp_path):
    path = save(tmp_path / "x.jpg", quarters(mode="CMYK"), quality=95)
    near(corners(read_picture(path, 32)), [RED, GREEN, BLUE, WHITE], 12)


def test_the_colours_of_lab(tmp_path):
    lab = Image.merge("LAB", [Image.new("L", (8, 8), v) for v in (255, 128, 128)])
    near(read_picture(save(tmp_path / "x.tiff", lab), 8)[0, 0], WHITE, 2)
    lab = Image.merge("LAB", [Image.new("L", (8, 8), v) for v in (136, 208, 195)])  # L 53 a 80 b 67
    near(read_picture(save(tmp_path / "x.tiff", lab), 8)[0, 0], RED, 12)


@pytest.mark.parametrize(("mode", "value"), [("1", 1), ("L", 255), ("1", 0), ("L", 77)])
def test_grey_is_the_same_in_all_three(tmp_path, mode, value):
    path = save(tmp_path / "x.png", Image.new(mode, (5, 5), value))
    expected = 255 * value if mode == "1" else value
    assert (read_picture(path, 5) == expected).all()


@pytest.mark.parametrize("form", ["png", "tiff", "ppm"])
def test_sixteen_bits_are_divided_by_257(tmp_path, form):
    levels = np.array([[0, 128, 257], [25700, 40000, 65535]], np.uint16)
    picture = read_picture(save(tmp_path / f"x.{form}", Image.fromarray(levels)), (2, 3))
    np.testing.assert_array_equal(picture[..., 0], np.rint(levels / 257).astype(np.uint8))
    assert (picture == picture[..., :1]).all()


def test_big_endian_sixteen_bits(tmp_path):
    levels = np.array([[0, 25700, 65535]], np.uint16)
    image = Image.frombytes("I;16B", (3, 1), levels.astype(">u2").tobytes())
    picture = read_picture(save(tmp_path / "x.tiff", image), (1, 3))
    assert picture[0, :, 0].tolist() == [0, 100, 255]


def test_floating_point_numbers(tmp_path):
    fractions = np.array([[0, 0.2, 1]], np.float32)
    picture = read_picture(save(tmp_path / "x.tiff", Image.fromarray(fractions)), (1, 3))
    assert picture[0, :, 0].tolist() == [0, 51, 255]
    wide = np.array([[-100, 0, 400]], np.float32)
    picture = read_picture(save(tmp_path / "x.tiff", Image.fromarray(wide)), (1, 3))
    assert picture[0, :, 0].tolist() == [0, 51, 255]
    save(tmp_path / "x.tiff", Image.fromarray(np.array([[0, np.nan, 1]], np.float32)))
    with pytest.raises(DataError, match="x.tiff: .*not finite"):
        read_picture(tmp_path / "x.tiff", 3)


def test_integers_beyond_sixteen_bits_are_stretched(tmp_path):
    levels = np.array([[-1000, 0, 99_000]], np.int32)
    picture = read_picture(save(tmp_path / "x.tiff", Image.fromarray(levels)), (1, 3))
    assert picture[0, :, 0].tolist() == [0, 3, 255]
    save(tmp_path / "x.tiff", Image.fromarray(np.full((1, 3), 99_000, np.int32)))
    assert (read_picture(tmp_path / "x.tiff", 3) == 0).all()  # nothing to stretch


def test_what_is_transparent_is_white(tmp_path):
    image = quarters(mode="RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 16, 16))
    image.paste((0, 0, 0, 51), (16, 0, 32, 16))
    picture = read_picture(save(tmp_path / "x.png", image), 32)
    near(corners(picture), [WHITE, (204, 204, 204), BLUE, WHITE], 1)


def test_other_ways_to_be_transparent(tmp_path):
    grey = Image.merge("LA", [Image.new("L", (4, 4), 0), Image.new("L", (4, 4), 51)])
    assert (read_picture(save(tmp_path / "la.png", grey), 4) == 204).all()
    palette = quarters().convert("P", palette=Image.Palette.ADAPTIVE)
    hidden = palette.getpixel((0, 0))
    for form in ("png", "gif"):
        path = save(tmp_path / f"p.{form}", palette, transparency=hidden)
        near(corners(read_picture(path, 32)), [WHITE, GREEN, BLUE, WHITE], 0)
    path = save(tmp_path / "rgb.png", quarters(), transparency=RED)
    near(corners(read_picture(path, 32)), [WHITE, GREEN, BLUE, WHITE], 0)
    path = save(tmp_path / "l.png", Image.new("L", (4, 4), 7), transparency=7)
    assert (read_picture(path, 4) == 255).all()


TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,  # stored turned by this, it stands upright after EXIF's turn
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("form", ["jpg", "png"])
def test_the_camera_says_which_side_is_up(tmp_path, orientation, form):
    image = quarters(48, 32)
    if TURNS[orientation] is not None:
        image = image.transpose(TURNS[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read_picture(save(tmp_path / f"x.{form}", image, exif=exif), (32, 48))
    near(corners(picture), [RED, GREEN, BLUE, WHITE], 8)


def test_the_middle_is_kept(tmp_path):
    """The filter looks a little beyond the cut, as it does inside."""
    image = Image.new("RGB", (90, 30), GREEN)
    image.paste(RED, (0, 0, 28, 30))
    image.paste(RED, (62, 0, 90, 30))
    near(read_picture(save(tmp_path / "x.png", image), 10), np.full((10, 10, 3), GREEN), 5)
    tall = image.transpose(Image.Transpose.ROTATE_90)
    near(read_picture(save(tmp_path / "y.png", tall), 10), np.full((10, 10, 3), GREEN), 5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (640, 3), (1999, 997)])
@pytest.mark.parametrize("size", [1, 17, (13, 29)])
def test_any_size_becomes_the_one_asked_for(tmp_path, shape, size):
    picture = read_picture(save(tmp_path / "x.png", Image.new("RGB", shape, BLUE)), size)
    assert picture.shape == (*((size, size) if isinstance(size, int) else size), 3)
    near(picture, np.full(picture.shape, BLUE), 0)


def test_making_smaller_averages(tmp_path):
    fine = np.indices((64, 64)).sum(0) % 2 * 255
    path = save(tmp_path / "x.png", Image.fromarray(fine.astype(np.uint8)))
    near(read_picture(path, 8), np.full((8, 8, 3), 127), 3)


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path):
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((1600, 1200))
    save(tmp_path / "x.jpg", smooth, quality=95)
    save(tmp_path / "x.png", smooth)
    small, whole = (
        read_picture(tmp_path / name, (48, 64)).astype(int) for name in ("x.jpg", "x.png")
    )
    assert np.abs(small - whole).mean() < 2


def test_the_first_picture_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    path = save(tmp_path / "x.gif", frames[0], save_all=True, append_images=frames[1:])
    near(read_picture(path, 4), np.full((4, 4, 3), RED), 0)


def whole(form):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, form)
    return buffer.getvalue()


BROKEN = {
    "zero bytes": (b"", "the file has zero bytes"),
    "text": (b"a picture of a cat", "not a picture in a format that Pillow knows"),
    "only the start of a PNG": (whole("PNG")[:20], ""),
    "half a PNG": (whole("PNG")[:5000], ""),
    "half a JPEG": (whole("JPEG")[:2000], "truncated"),
    "half a GIF": (whole("GIF")[:2000], ""),
    "half a BMP": (whole("BMP")[:2000], ""),
    "half a TIFF": (whole("TIFF")[:2000], ""),
    "a PNG with a flipped byte": (whole("PNG")[:3000] + b"!" + whole("PNG")[3001:], ""),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_picture_is_named(tmp_path, kind):
    content, message = BROKEN[kind]
    (tmp_path / "cat.jpg").write_bytes(content)
    with pytest.raises(DataError, match=f"^cat.jpg: .*{message}") as caught:
        read_picture(tmp_path / "cat.jpg", 8)
    assert len(str(caught.value)) > len("cat.jpg: ") and caught.value.__cause__ is None


def test_what_is_not_there_or_no_file(tmp_path):
    with pytest.raises(DataError, match="^cat.jpg: there is no such file"):
        read_picture(tmp_path / "cat.jpg", 8)
    (tmp_path / "cat.jpg").mkdir()
    with pytest.raises(DataError, match="^cat.jpg: "):
        read_picture(tmp_path / "cat.jpg", 8)


def test_a_picture_that_would_fill_the_memory(tmp_path, monkeypatch):
    path = save(tmp_path / "x.png", Image.new("1", (100, 100)))
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 7000
    )  # Pillow warns here and raises at twice that
    assert read_picture(path, 2).shape == (2, 2, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with pytest.raises(DataError, match="^x.png: .*10000 pixels"):
        read_picture(path, 2)
