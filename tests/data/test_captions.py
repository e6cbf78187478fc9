"""Files of captions: what a spreadsheet or COCO writes, and every slip, with its line."""

import json

import pytest

from mmjax.data.captions import read_captions
from mmjax.data.errors import DataError

COCO = {
    "info": {"year": 2014},
    "images": [{"id": 7, "file_name": "b.jpg", "height": 1}, {"id": 5, "file_name": "a.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 5, "caption": "A cat.\n"},
        {"id": 2, "image_id": 7, "caption": "ein Hund, müde"},
        {"id": 3, "image_id": 5, "caption": "猫"},
    ],
}
ROWS = [("a.jpg", "A cat."), ("b.jpg", "ein Hund, müde"), ("a.jpg", "猫")]
CSV = 'image,caption\na.jpg,A cat.\nb.jpg,"ein Hund, müde"\na.jpg,猫\n'


def read(tmp_path, content, name="captions.csv"):
    data = content.encode() if isinstance(content, str) else content
    (tmp_path / name).write_bytes(data)
    return read_captions(tmp_path / name)


def test_csv(tmp_path):
    assert read(tmp_path, CSV) == ROWS


@pytest.mark.parametrize(
    "content",
    [
        CSV.replace("\n", "\r\n"),
        CSV.encode("utf-8-sig"),
        CSV.rstrip("\n"),
        CSV.replace("\n", "\n\n"),
        " image , caption\n" + CSV.partition("\n")[2].replace(",A cat.", " , A cat. "),
        'id,caption,image\n1,A cat.,a.jpg\n2,"ein Hund, müde",b.jpg\n3,猫,a.jpg\n',
    ],
    ids=["windows", "mark", "no last line end", "empty lines", "spaces", "other columns"],
)
def test_csv_as_other_programs_write_it(tmp_path, content):
    assert read(tmp_path, content) == ROWS


def test_captions_with_quotes_and_line_ends(tmp_path):
    content = 'image,caption\nx.png,"a ""red"" ball\non two lines"\n'
    assert read(tmp_path, content) == [("x.png", 'a "red" ball\non two lines')]


def test_coco(tmp_path):
    assert read(tmp_path, json.dumps(COCO), "captions_val2014.json") == ROWS


WRONG_CSV = {
    "empty": ("", r"one column 'image', got \[\]"),
    "only a header": ("image,caption\n", "at least one caption"),
    "no header": ("a.jpg,A cat.\n", r"one column 'image', got \['a.jpg', 'A cat.'\]"),
    "no caption": ("image,text\na.jpg,A cat.\n", r"one column 'caption', got \['image', 'text'\]"),
    "semicolons": ("image;caption\na.jpg;A cat.\n", r"got \['image;caption'\]"),
    "twice": ("image,caption,caption\na,b,c\n", "one column 'caption'"),
    "comma without quotes": (CSV + "c.jpg,a dog, tired\n", "line 5: .*quotes.* got 3"),
    "field missing": (CSV + "c.jpg\n", "line 5: .*got 1"),
    "empty caption": (CSV + "c.jpg, \n", "line 5: expected text for the caption, got ' '"),
    "empty image": (CSV + ",a dog\n", "line 5: expected text for the image"),
    "open quotes": (CSV + 'c.jpg,"a dog\n', "line 5: unexpected end of data"),
    "latin 1": (CSV.replace("猫", "x").encode("latin-1"), "expected UTF-8"),
    "utf 16": (CSV.encode("utf-16"), "expected UTF-8"),
}


@pytest.mark.parametrize("kind", WRONG_CSV)
def test_a_wrong_csv_says_where(tmp_path, kind):
    content, message = WRONG_CSV[kind]
    with pytest.raises(DataError, match=f"^captions.csv.*{message}"):
        read(tmp_path, content)


def changed(**changes):
    return json.dumps(COCO | changes)


WRONG_JSON = {
    "empty": ("", "expected JSON"),
    "cut": (json.dumps(COCO)[:50], "expected JSON"),
    "nested without end": ("[" * 100_000, "expected JSON"),
    "a list": ("[]", "expected the key 'images', got list"),
    "no annotations": (json.dumps({"images": []}), r"key 'annotations', got \['images'\]"),
    "images not a list": (changed(images={}), "'images'"),
    "no name": (changed(images=[{"id": 5}]), r"images\[0\]: expected the key 'file_name'"),
    "unknown image": (
        changed(annotations=[{"image_id": 6, "caption": "x"}]),
        r"annotations\[0\]: expected an image_id among images, got 6",
    ),
    "no caption": (changed(annotations=[{"image_id": 5}]), r"annotations\[0\]: .*'caption'"),
    "empty caption": (
        changed(annotations=[{"image_id": 5, "caption": ""}]),
        r"annotations\[0\]: expected text for the caption",
    ),
    "null": (changed(annotations=[{"image_id": 5, "caption": None}]), "for the caption, got None"),
    "a list for an id": (changed(images=[{"id": [1], "file_name": "x"}]), r"images\[0\].*'id'"),
    "no captions": (changed(annotations=[]), "at least one caption"),
}


@pytest.mark.parametrize("kind", WRONG_JSON)
def test_a_wrong_json_says_where(tmp_path, kind):
    content, message = WRONG_JSON[kind]
    with pytest.raises(DataError, match=f"^captions.json.*{message}"):
        read(tmp_path, content, "captions.json")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="captions.csv: cannot be read .No such file"):
        read_captions(tmp_path / "captions.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_captions(tmp_path)
