"""Models on disk: a folder with a card and the weights of all members as safetensors.

Nothing here runs what a file says: JSON and safetensors hold data only, pickle is never read.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch

from xsaga.errors import ModelError
from xsaga.model.card import CARD_FILE, LEARNT_FILE, ModelCard, read_card, write_card
from xsaga.model.device import resolve_device
from xsaga.model.network import Architecture, CutoutNetwork, build_network
from xsaga.model.novelty import STATISTICS, Cloud, FeatureSpace, Novelty
from xsaga.paths import placed
from xsaga.reading import parsing
from xsaga.shipped import weights_folder

MAX_WEIGHTS = 4 << 30
"""Bytes of a file of weights: an ensemble of ten xResNet-50 has 1 GB."""


@dataclass(frozen=True)
class Model:
    """An ensemble and its card.

    Parameters
    ----------
    card : ModelCard
        What it is.
    networks : tuple of CutoutNetwork
        Members, in evaluation mode.
    feature_space : FeatureSpace or None
        What tells unfamiliar cutouts; there if the card has `novelty`.
    """

    card: ModelCard
    networks: tuple[CutoutNetwork, ...]
    feature_space: FeatureSpace | None = None


def shipped_models() -> tuple[str, ...]:
    """Names of the models that come with xsaga, in alphabetical order."""
    return tuple(sorted(path.parent.name for path in weights_folder().glob(f"*/{CARD_FILE}")))


def model_folder(name_or_path: str | Path) -> Path:
    """Find a model.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped model, or a folder that holds a card.

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If there is no such model, with the names that there are.
    """
    shipped = shipped_models()
    if str(name_or_path) in shipped:
        return weights_folder() / str(name_or_path)
    folder = Path(name_or_path)
    if not (folder / CARD_FILE).is_file():
        raise ModelError(
            f"no model {str(name_or_path)!r}: give a folder that holds {CARD_FILE}, or one of the "
            f"shipped models: {', '.join(shipped) or 'none here'}"
        )
    return folder


def load_model(name_or_path: str | Path, device: str = "cpu") -> Model:
    """Load a model after checking its weights against the card.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped model, or a folder that holds a card.
    device : str
        Where the members go: ``auto``, ``cpu``, ``cuda`` or ``cuda:<number>``.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        If there is no such model, its card is not valid, or the weights are not those that the
        card describes (hash, structure, names, shapes, types, finite values).
    """
    folder = model_folder(name_or_path)
    card = read_card(folder / CARD_FILE)
    path = folder / card.weights_file
    data = _read_weights(path, card)

    def describe(reason: str) -> ModelError:
        return ModelError(f"{path}: not a safetensors file ({reason}); restore it")

    with parsing(describe):
        tensors = safetensors.torch.load(data)
    target = resolve_device(device)
    try:
        networks = tuple(
            _member(card.architecture, tensors, member).to(target) for member in range(card.members)
        )
        space = None
        if card.novelty is not None:
            space = _feature_space(card, tensors, networks[0].head.in_features).to(target)
        _refuse_leftover(tensors, networks, space)
    except ModelError as error:
        raise ModelError(f"{path}: {error}; weights and card do not belong together") from error
    return Model(card, networks, space)


def save_model(
    folder: Path,
    card: ModelCard,
    networks: Sequence[CutoutNetwork],
    novelty: tuple[FeatureSpace, Novelty] | None = None,
) -> Model:
    """Write a model, weights first, each file complete or not at all.

    Parameters
    ----------
    folder : Path
        Where it goes; made if absent. Its name is how the model is called.
    card : ModelCard
        Description; `sha256`, `members` and `novelty` are set here to what is written.
    networks : sequence of CutoutNetwork
        Members, of the card's architecture.
    novelty : (FeatureSpace, Novelty), optional
        From `xsaga.model.novelty.fit_feature_space`.

    Returns
    -------
    Model
        With the card as written.

    Raises
    ------
    ModelError
        If a network is not of the card's architecture or a weight is not finite.
    """
    tensors = {}
    for member, network in enumerate(networks):
        if network.architecture != card.architecture:
            raise ModelError(f"member {member} is not of the architecture of card {card.name}")
        for name, tensor in network.state_dict().items():
            tensors[_key(member, name)] = tensor.detach().cpu().contiguous()
    if novelty is not None:
        tensors |= _novelty_tensors(novelty[0])
    for key, tensor in tensors.items():
        _refuse_not_finite(key, tensor)
    data = safetensors.torch.save(tensors)
    written = dataclasses.replace(
        card,
        members=len(networks),
        sha256=hashlib.sha256(data).hexdigest(),
        novelty=None if novelty is None else novelty[1],
    )
    with placed(folder / written.weights_file) as temporary:
        temporary.write_bytes(data)
    write_card(folder / CARD_FILE, written)
    space = None if novelty is None else novelty[0]
    return Model(written, tuple(network.eval() for network in networks), space)


def copy_model(source: Path, folder: Path, card: ModelCard) -> None:
    """Write the weights of a model anew under another card, byte by byte; the card last.

    The map of where it learnt goes with them.

    Parameters
    ----------
    source : Path
        Folder of the model.
    folder : Path
        Where the copy goes; made if absent.
    card : ModelCard
        Description of the same weights: with the hash, architecture, members and novelty that they
        have in `source`.

    Raises
    ------
    ModelError
        If the weights are not those that the card describes.
    """
    weights = _read_weights(source / card.weights_file, card)
    with placed(folder / card.weights_file) as temporary:
        temporary.write_bytes(weights)
    if (learnt := source / LEARNT_FILE).is_file():
        with placed(folder / LEARNT_FILE) as temporary:
            temporary.write_bytes(learnt.read_bytes())
    write_card(folder / CARD_FILE, card)


def _read_weights(path: Path, card: ModelCard) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_WEIGHTS:
            raise ModelError(f"{path}: {size:,} bytes: at most {MAX_WEIGHTS:,} are read")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); restore it") from error
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise ModelError(
            f"{path}: SHA-256 is {found[:12]}…, its card says {card.sha256[:12]}…: damaged or "
            "replaced, restore the model"
        )
    return data


def _key(member: int, name: str) -> str:
    return f"members.{member}.{name}"


def _member(
    architecture: Architecture, tensors: dict[str, torch.Tensor], member: int
) -> CutoutNetwork:
    with torch.device("meta"):  # shapes only: the weights come from the file
        network = build_network(architecture)
    state = {}
    for name, wanted in network.state_dict().items():
        key = _key(member, name)
        if key not in tensors:
            raise ModelError(f"tensor {key} is missing")
        tensor = tensors[key]
        if tensor.shape != wanted.shape or tensor.dtype != wanted.dtype:
            raise ModelError(
                f"tensor {key} is {tensor.dtype} {tuple(tensor.shape)}, the card's architecture "
                f"needs {wanted.dtype} {tuple(wanted.shape)}"
            )
        _refuse_not_finite(key, tensor)
        state[name] = tensor
    network.load_state_dict(state, assign=True)
    return network.eval()


def _novelty_tensors(space: FeatureSpace) -> dict[str, torch.Tensor]:
    return {
        f"novelty.{place}.{name}": tensor.detach().cpu().contiguous()
        for place, cloud in (("features", space.features), ("statistics", space.statistics))
        for name, tensor in (("mean", cloud.mean), ("whitening", cloud.whitening))
    }


def _feature_space(
    card: ModelCard, tensors: dict[str, torch.Tensor], features: int
) -> FeatureSpace:
    clouds = []
    for place, width in (("features", features), ("statistics", STATISTICS * len(card.bands))):
        parts = []
        for name, shape in (("mean", (width,)), ("whitening", (width, width))):
            key = f"novelty.{place}.{name}"
            if key not in tensors:
                raise ModelError(f"tensor {key} is missing")
            if tensors[key].shape != shape or tensors[key].dtype != torch.float32:
                raise ModelError(
                    f"tensor {key} is {tensors[key].dtype} {tuple(tensors[key].shape)}, the card "
                    f"needs {torch.float32} {shape}"
                )
            _refuse_not_finite(key, tensors[key])
            parts.append(tensors[key])
        clouds.append(Cloud(*parts))
    return FeatureSpace(*clouds)


def _refuse_not_finite(key: str, tensor: torch.Tensor) -> None:
    if not torch.isfinite(tensor).all():
        raise ModelError(f"tensor {key} holds values that are not finite")


def _refuse_leftover(
    tensors: dict[str, torch.Tensor],
    networks: tuple[CutoutNetwork, ...],
    space: FeatureSpace | None,
) -> None:
    expected = {
        _key(member, name)
        for member, network in enumerate(networks)
        for name in network.state_dict()
    }
    if space is not None:
        expected |= _novelty_tensors(space).keys()
    if leftover := sorted(set(tensors) - expected):
        raise ModelError(f"tensor {leftover[0]!r} is not part of the card's architecture")
