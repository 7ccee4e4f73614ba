"""Named ways to train: a network, what it sees and how it learns."""

from __future__ import annotations

from dataclasses import dataclass

from xsaga.errors import ModelError, nearest_name
from xsaga.model.architecture import Architecture
from xsaga.model.augmentation import Augmentation
from xsaga.model.fit_settings import FitSettings
from xsaga.model.photometry import PHOTOMETRY
from xsaga.model.preprocess import Stretch


@dataclass(frozen=True)
class Recipe:
    """A network, what it sees and how it learns.

    Parameters
    ----------
    name : str
        How it is called on the command line.
    description : str
        One line.
    architecture : Architecture
        The network.
    stretch : Stretch
        Preprocessing.
    settings : FitSettings
        How to train; options of the command line replace single ones.
    """

    name: str
    description: str
    architecture: Architecture
    stretch: Stretch
    settings: FitSettings


_XSAGA = Recipe(
    name="xsaga",
    description="the network of this package, on nanomaggies of g, r and z and the photometry",
    architecture=Architecture(photometry=len(PHOTOMETRY)),
    stretch=Stretch(),
    settings=FitSettings(),
)

_XSAGA_2022 = Recipe(
    name="xsaga2022",
    description="the published recipe of Wu et al. 2022 (arXiv:2112.01542), rebuilt",
    architecture=Architecture(
        kind="xresnet",
        stem_channels=32,
        stage_channels=(64, 128, 256, 512),
        stage_blocks=(3, 4, 6, 3),
        dropout=0.0,
    ),
    stretch=Stretch(kind="viewer"),
    settings=FitSettings(
        members=4,
        folds=4,
        epochs=10,
        batch_size=128,
        learning_rate=1e-2,
        weight_decay=0.01,
        loss="focal",
        focal_gamma=2.0,
        side_weight=0.0,
        optimizer="ranger",
        augmentation=Augmentation(shift=0, blur=0, noise=0, background=0),
    ),
)

RECIPES = {recipe.name: recipe for recipe in (_XSAGA, _XSAGA_2022)}


def named_recipe(name: str) -> Recipe:
    """Find a recipe.

    Parameters
    ----------
    name : str
        One of `RECIPES`.

    Returns
    -------
    Recipe

    Raises
    ------
    ModelError
        If there is none of that name, with the nearest one.
    """
    if name not in RECIPES:
        raise ModelError(f"no recipe {name!r}: {nearest_name(name, RECIPES)}")
    return RECIPES[name]
