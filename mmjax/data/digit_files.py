"""Where the files of the digits are, and how they get there; `mmjax.data.digits` reads them.

Layout of a folder with data, be it `MMJAX_DATA` or the cache:

    fsdd/recordings/{digit}_{speaker}_{take}.wav
    mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz      (or without .gz)
"""

import hashlib
import os
import tempfile
from pathlib import Path, PurePosixPath

from mmjax.checks import require_one_of
from mmjax.data.archives import unpack
from mmjax.data.cache import cache_folder
from mmjax.data.download import data_folders, download
from mmjax.data.errors import DataError, DownloadError

FSDD_URL = (
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz"
)
# Of the 3,000 recordings, names and contents in the order of their names. GitHub packs an archive
# when it is asked for and does not promise the same bytes each time, so its digest says little.
FSDD_SHA256 = "45a9b976ba3397a2fd5c70a9f2e43c34f442a3a6be47392ecfc41174b678f37e"

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_FILES = {"10k": [name for name in MNIST_SHA256 if "t10k" in name], "all": list(MNIST_SHA256)}


def digits_available(files: str = "10k") -> bool:
    """Whether both sets can be loaded without a download. Never raises and never downloads."""
    try:
        return _local_recordings() is not None and _local_mnist(files) is not None
    except (OSError, ValueError, RuntimeError):
        return False


def recordings_folder() -> Path:
    """The folder of the Free Spoken Digit Dataset's WAV files; fetches them if they are nowhere."""
    return _local_recordings() or _fetch_recordings()


def mnist_file(name: str, files: str) -> Path:
    """The path of one of MNIST's files; fetches all of `files`, "10k" or "all", if it must.

    All come from one folder, so pictures and labels belong together.
    """
    folder = _local_mnist(files)
    if folder is None:
        folder = _writable_cache() / "mnist"
        for each in _FILES[files]:
            download(f"{MNIST_URL}{each}.gz", folder / f"{each}.gz", sha256=MNIST_SHA256[each])
    return _variant(folder, name)


def _local_recordings() -> Path | None:
    for folder in data_folders():
        recordings = folder / "fsdd" / "recordings"
        if next(recordings.glob("*.wav"), None):
            return recordings
    return None


def _local_mnist(files: str) -> Path | None:
    require_one_of(files, _FILES, "digits", "files")
    for folder in data_folders():
        if all(_variant(folder / "mnist", name) for name in _FILES[files]):
            return folder / "mnist"
    return None


def _variant(folder: Path, name: str) -> Path | None:
    """The file, compressed or not."""
    options = (folder / f"{name}.gz", folder / name)
    return next((path for path in options if path.is_file()), None)


def _writable_cache() -> Path:
    try:
        return cache_folder()
    except RuntimeError:  # a user without a home
        raise DownloadError(
            "there is no folder for downloads: set MMJAX_CACHE to one that can be written, or "
            "MMJAX_DATA to one that holds the data."
        ) from None


def _fetch_recordings() -> Path:
    cache = _writable_cache()
    recordings = cache / "fsdd" / "recordings"
    archive = download(FSDD_URL, cache / "fsdd-1.0.10.tar.gz", sha256=None)
    try:
        with tempfile.TemporaryDirectory(dir=cache, prefix=".") as temporary:
            fresh = Path(temporary, "fsdd")
            unpack(archive, fresh, keep=_recording)
            if recordings_digest(fresh / "recordings") != FSDD_SHA256:
                raise DataError(
                    f"{FSDD_URL}: the SHA-256 digest of the recordings is not the known one"
                )
            recordings.parent.mkdir(exist_ok=True)
            os.replace(fresh / "recordings", recordings)
    except (DataError, OSError) as error:
        # Another process may have been faster; then its files are as good.
        if _local_recordings() is None:
            advice = "try again later, or set MMJAX_DATA to a folder that holds the data"
            raise DownloadError(f"{error}: {advice}.") from None
    finally:
        archive.unlink(missing_ok=True)
    return recordings


def _recording(path: PurePosixPath) -> PurePosixPath | None:
    """Of the repository only its recordings, without the version in front."""
    wanted = path.parent.name == "recordings" and path.suffix == ".wav"
    return PurePosixPath("recordings", path.name) if wanted else None


def recordings_digest(folder: Path) -> str:
    """SHA-256 over name and contents of each WAV file, in the order of the names; hexadecimal."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("*.wav"), key=lambda path: path.name):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()
