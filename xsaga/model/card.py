"""The card of a model: all that must be known to use its weights, as JSON beside them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from xsaga.errors import ModelError
from xsaga.json_values import JsonValueError, from_json
from xsaga.model.calibration import Calibration
from xsaga.model.network import Architecture
from xsaga.model.novelty import Novelty
from xsaga.model.preprocess import Stretch
from xsaga.paths import placed
from xsaga.reading import printable, read_json, reason_of

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"
LEARNT_FILE = "learnt-from.moc.fits"
"""Map of the sky that a model learnt from."""

CALIBRATED_FILE = "calibrated-on.moc.fits"
"""Map of the sky that a model was calibrated on, where `xsaga calibrate` made it."""

MAX_CARD = 1 << 20
"""Bytes of a card; those that there are have some 5,000."""

MAX_MEMBERS = 100
"""Networks in an ensemble."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class TrainingSet:
    """What a model was trained on.

    Parameters
    ----------
    description : str
        In words: where images and labels come from.
    numbers : dict of str to float
        Counts, rates and limits, e.g. ``{"images": 30000, "low_redshift": 3000}``.
    """

    description: str
    numbers: dict[str, float]


@dataclass(frozen=True)
class ModelCard:
    """Description of a model.

    Parameters
    ----------
    name : str
        Name of the model and of its folder.
    version : str
        Version of the model, not of the software.
    kind : str
        What it is, in a few words for tables and reports, e.g. ``recipe xsaga, simulated``.
    simulated : bool
        Whether the training images are simulated.
    architecture : Architecture
        The network.
    members : int
        Networks in the ensemble.
    weights_file : str
        File beside the card that holds all members.
    sha256 : str
        Of that file, hexadecimal.
    novelty : Novelty or None
        How well cutouts unlike the training's are told; None where the model cannot tell them.
    bands : tuple of str
        Bands in the order of the image planes.
    pixel_scale : float
        Arcseconds per pixel.
    size : int
        Pixels on a side.
    field_of_view : float
        Arcseconds on a side, ``size · pixel_scale``.
    stretch : Stretch
        Preprocessing.
    image_release : tuple of str
        Image releases the model may be used on.
    training_set : TrainingSet
        What it was trained on.
    metrics : dict of str to float
        Measured on held-out data.
    calibration : Calibration
        From logit to probability.
    xsaga_version : str
        Version of the software that made it.
    created : str
        Date, ISO 8601.

    Raises
    ------
    ModelError
        If values contradict each other or are out of range.
    """

    name: str
    version: str
    kind: str
    simulated: bool
    architecture: Architecture
    members: int
    bands: tuple[str, ...]
    pixel_scale: float
    size: int
    field_of_view: float
    stretch: Stretch
    image_release: tuple[str, ...]
    training_set: TrainingSet
    metrics: dict[str, float]
    calibration: Calibration
    xsaga_version: str
    created: str
    weights_file: str = field(default=WEIGHTS_FILE)
    sha256: str = field(default="0" * 64)
    novelty: Novelty | None = None

    @property
    def z_limit(self) -> float:
        """Redshift below which a galaxy is of the class; 0.03 where the card does not tell it."""
        return self.training_set.numbers.get("z_limit", 0.03)

    def __post_init__(self) -> None:
        bands = len(self.bands)
        problems = {
            "name": not is_model_name(self.name),
            "members": not 1 <= self.members <= MAX_MEMBERS,
            "architecture.bands": self.architecture.bands != bands or len(set(self.bands)) != bands,
            "stretch.softening": len(self.stretch.softening) != bands,
            "pixel_scale": not self.pixel_scale > 0,
            "size": not 8 <= self.size <= 10_000,
            "field_of_view": not math.isclose(
                self.field_of_view, self.size * self.pixel_scale, rel_tol=1e-6
            ),
            "image_release": not (self.image_release and all(self.image_release)),
            "weights_file": not _NAME.fullmatch(self.weights_file),
            "sha256": not re.fullmatch(r"[0-9a-f]{64}", self.sha256),
        }
        wrong = [key for key, bad in problems.items() if bad]
        if wrong:
            raise ModelError(
                f"{wrong[0]} is out of range or contradicts the rest of the card: correct it"
            )


def is_model_name(name: str) -> bool:
    """Tell whether a model can be called so: letters, digits, dot, dash and underscore."""
    return _NAME.fullmatch(name) is not None


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Parameters
    ----------
    path : Path
        A ``card.json``.

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelError
        Naming the file and the key, if the file is missing or no JSON, or a key is unknown,
        missing, of a wrong type or out of range.
    """
    try:
        data = read_json(path, MAX_CARD)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        reason = reason_of(error)
        raise ModelError(f"{path}: not a JSON file ({reason}); restore the model") from error
    try:
        return from_json(ModelCard, data, defaults=False)
    except JsonValueError as error:
        raise ModelError(f"{path}: {error}: correct it, or restore the model") from error
    except ModelError as error:
        raise ModelError(f"{path}: {printable(str(error))}") from error


def write_card(path: Path, card: ModelCard) -> None:
    """Write a card, complete or not at all.

    Parameters
    ----------
    path : Path
        Where it belongs.
    card : ModelCard
        What to write; `read_card` gives it back equal.
    """
    text = json.dumps(dataclasses.asdict(card), indent=2, allow_nan=False, ensure_ascii=False)
    with placed(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
