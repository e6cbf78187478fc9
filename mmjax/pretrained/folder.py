"""The tensors of a checkpoint folder: in one file, or in several with an index.

`model.safetensors` holds all tensors. A large model has `model.safetensors.index.json` instead,
    {"metadata": {…}, "weight_map": {"tensor's name": "model-00001-of-00002.safetensors", …}}
and the files, called shards, that this names.
"""

import json
from pathlib import Path

import numpy as np

from mmjax.pretrained.safetensors import read_safetensors

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def read_json(path: Path) -> dict:
    """The mapping in a JSON file. Raises ValueError that names the file for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: not a JSON file: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path.name}: a mapping expected, got {type(content).__name__}")
    return content


def read_tensors(folder: str | Path) -> dict[str, np.ndarray]:
    """All tensors of the checkpoint in `folder` by name. The single file goes before an index.

    Raises:
        FileNotFoundError: if there is neither; it says so where the folder holds pickled weights.
        ValueError: for a damaged file, an index that names files outside the folder, shards that
            are not there, or tensors of which index and shards say different things; all of them
            in one message.
    """
    folder = Path(folder)
    if (folder / WHOLE).is_file():
        return read_safetensors(folder / WHOLE)
    if (folder / INDEX).is_file():
        return _read_shards(folder, _weight_map(folder / INDEX))
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    advice = ""
    if pickled:
        advice = (
            f"; {pickled[0]} is pickled, and a pickle may run any code while it is read. "
            "CLIPModel.from_pretrained(…).save_pretrained(…) of transformers writes safetensors"
        )
    raise FileNotFoundError(f"{folder} holds neither {WHOLE} nor {INDEX}{advice}")


def _weight_map(path: Path) -> dict[str, str]:
    """Tensor → file. A file name must be a plain name, so that nothing outside is ever opened."""
    entries = read_json(path).get("weight_map")
    if not isinstance(entries, dict) or not entries:
        raise ValueError(f"{path.name}: 'weight_map' must map tensors to files, got {entries!r}")
    for tensor, name in entries.items():
        plain = isinstance(name, str) and not set(name) & set("/\\:\0")
        if not plain or not name.endswith(".safetensors"):
            expected = "the name of a .safetensors file in the same folder"
            raise ValueError(f"{path.name}: {tensor}: {expected} expected, got {name!r}")
    return entries


def _read_shards(folder: Path, weight_map: dict[str, str]) -> dict[str, np.ndarray]:
    names = sorted(set(weight_map.values()))
    absent = [name for name in names if not (folder / name).is_file()]
    problems = [f"missing file: {name}" for name in absent]
    tensors: dict[str, np.ndarray] = {}
    for name in names:
        if name in absent:
            continue
        shard = read_safetensors(folder / name)
        listed = {tensor for tensor, file in weight_map.items() if file == name}
        problems += [f"not in {name}: {tensor}" for tensor in sorted(listed - shard.keys())]
        problems += [f"in {name}, but not in the index: {t}" for t in sorted(shard.keys() - listed)]
        tensors |= shard
    if problems:
        raise ValueError(f"{INDEX}: the files do not fit:\n  " + "\n  ".join(problems))
    return tensors
