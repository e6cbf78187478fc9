"""Who says what of which picture: `captions.csv`, or the captions of COCO as JSON.

CSV: a header with `image` and `caption`, one caption a row, UTF-8. A caption with a comma stands in
double quotes (RFC 4180). JSON: `images` with `id` and `file_name`, `annotations` with `image_id`
and `caption`, as in X. Chen and others, "Microsoft COCO Captions", 2015.
"""

import csv
import io
import json
from pathlib import Path
from typing import Any

from mmjax.data.errors import DataError

Rows = list[tuple[str, str]]


def read_captions(path: Path) -> Rows:
    """Reads (picture, caption) for each caption, in the order of the file.

    A name that ends in .json is read as COCO's JSON, any other as CSV.

    Raises:
        DataError: for a file that is missing or not UTF-8, a missing column or key, a row with a
            field too many or too few, an empty name or caption, and no captions at all.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a mark in front
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: expected UTF-8, got other bytes ({error.reason})") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    rows = _from_json(text, path.name) if path.suffix.lower() == ".json" else _from_csv(text, path)
    if not rows:
        raise DataError(f"{path.name}: expected at least one caption, got none")
    return rows


def _from_csv(text: str, path: Path) -> Rows:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        for column in ("image", "caption"):
            if header.count(column) != 1:
                raise DataError(f"{path.name}: expected one column '{column}', got {header}")
        rows = []
        for fields in reader:
            if not fields:  # an empty line
                continue
            where = f"{path.name}, line {reader.line_num}"
            if len(fields) != len(header):
                expected = f"{len(header)} fields, with quotes around a caption that has a comma"
                raise DataError(f"{where}: expected {expected}; got {len(fields)}")
            row = dict(zip(header, fields, strict=True))
            rows.append(_row(row["image"], row["caption"], where))
        return rows
    except csv.Error as error:
        raise DataError(f"{path.name}, line {reader.line_num}: {error}") from None


def _from_json(text: str, name: str) -> Rows:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: expected JSON ({error})") from None
    files = {}
    for number, image in enumerate(_entries(content, "images", name)):
        where = f"{name}, images[{number}]"
        files[_identity(image, "id", where)] = _key(image, "file_name", where)
    rows = []
    for number, annotation in enumerate(_entries(content, "annotations", name)):
        where = f"{name}, annotations[{number}]"
        image_id = _identity(annotation, "image_id", where)
        if image_id not in files:
            raise DataError(f"{where}: expected an image_id among images, got {image_id!r}")
        rows.append(_row(files[image_id], _key(annotation, "caption", where), where))
    return rows


def _entries(content: Any, key: str, name: str) -> list[Any]:
    entries = _key(content, key, name)
    if not isinstance(entries, list):
        raise DataError(f"{name}: expected a list in '{key}', got {type(entries).__name__}")
    return entries


def _key(entry: Any, key: str, where: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        got = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
        raise DataError(f"{where}: expected the key '{key}', got {got}")
    return entry[key]


def _identity(entry: Any, key: str, where: str) -> int | str:
    value = _key(entry, key, where)
    if not isinstance(value, (int, str)):
        raise DataError(f"{where}: expected a number or text for '{key}', got {value!r}")
    return value


def _row(image: Any, caption: Any, where: str) -> tuple[str, str]:
    for what, value in (("image", image), ("caption", caption)):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{where}: expected text for the {what}, got {value!r}")
    return image.strip(), caption.strip()
