"""Where the file of CLIP's vocabulary is, and how it gets there (MIT licence, OpenAI)."""

from pathlib import Path

from mmjax.data.cache import cache_folder
from mmjax.data.download import data_folders, download

NAME = "bpe_simple_vocab_16e6.txt.gz"
URL = f"https://openaipublic.azureedge.net/clip/{NAME}"
SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"


def clip_vocabulary_file() -> Path:
    """The path of the file: `clip/` below `MMJAX_DATA`, else of the cache, else a download.

    `mmjax.modalities.clip_tokens.CLIPVocabulary.from_file` reads it.
    Raises DownloadError with advice where there is no network; DataError for a wrong `MMJAX_DATA`.
    """
    for folder in data_folders():
        if (folder / "clip" / NAME).is_file():
            return folder / "clip" / NAME
    return download(URL, cache_folder() / "clip" / NAME, sha256=SHA256)
