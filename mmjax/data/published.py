"""Files whose publisher gives an MD5 digest: into the cache, and only whole and right.

MD5 guards against damage and not against malice. Where a SHA-256 digest is known,
`mmjax.data.download` checks it while the bytes arrive.
"""

import hashlib
from pathlib import Path

from mmjax.data.cache import cache_folder
from mmjax.data.download import download
from mmjax.data.errors import DownloadError


def fetch_published(url: str, folder: str, name: str, md5: str) -> Path:
    """Downloads `url` to `folder`/`name` in the cache, unless it is there; returns its path.

    Only a file with the publisher's digest gets its final name.
    Raises DownloadError when it cannot be fetched, has another digest, or there is no cache.
    """
    try:
        path = cache_folder() / folder / name
    except RuntimeError:  # a user without a home
        raise DownloadError(
            "there is no folder for downloads: set MMJAX_CACHE to one that can be written, or "
            "MMJAX_DATA to one that holds the data."
        ) from None
    if path.is_file():
        return path
    fresh = download(url, path.with_name(f"{name}.unchecked"), sha256=None)
    with open(fresh, "rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        fresh.unlink(missing_ok=True)
        raise DownloadError(
            f"{url}: the MD5 digest is {found} and not the publisher's {md5}: try again later, or "
            f"put the file into MMJAX_DATA/{folder}."
        )
    return fresh.replace(path)
