"""Splitting labelled images into folds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xsaga.errors import ModelError


def assign_folds(count: int, groups: ArrayLike | None, folds: int, seed: int) -> NDArray[np.int64]:
    """Split images into folds of nearly equal size that keep groups together.

    Parameters
    ----------
    count : int
        Images.
    groups : array_like of int, shape (count,), or None
        Group of each image; each image is its own group if None.
    folds : int
        How many folds.
    seed : int
        Of the shuffle.

    Returns
    -------
    ndarray of int64, shape (count,)
        Fold of each image, 0 to folds − 1.

    Raises
    ------
    ModelError
        If `groups` has another length or there are fewer groups than folds.
    """
    labels = np.arange(count) if groups is None else np.asarray(groups)
    if labels.shape != (count,):
        raise ModelError(f"training: groups of shape {labels.shape} for {count} images")
    _, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < folds:
        raise ModelError(f"training: {len(sizes)} groups cannot make {folds} folds: use fewer")
    order = np.random.default_rng(seed).permutation(len(sizes))
    # Cutting the shuffled groups where the running count of images passes each k/folds.
    middle = np.cumsum(sizes[order]) - sizes[order] / 2
    fold_of_group = np.empty(len(sizes), dtype=np.int64)
    fold_of_group[order] = np.floor(middle / count * folds).astype(np.int64)
    return fold_of_group[group]


def check_folds(fold: NDArray[np.int64], positive: NDArray[np.bool_], members: int) -> None:
    """Refuse folds that a member cannot be trained without or judged on.

    Parameters
    ----------
    fold : ndarray of int64, shape (N,)
        Fold of each image.
    positive : ndarray of bool, shape (N,)
        Class of each image.
    members : int
        Folds 0 to members − 1 are held out in turn.

    Raises
    ------
    ModelError
        If one of these, or all else, holds only one class.
    """
    for member in range(members):
        held_out, trained = positive[fold == member], positive[fold != member]
        if held_out.all() or not held_out.any() or trained.all() or not trained.any():
            raise ModelError(
                f"training: fold {member} or the rest holds only one class; give more images of "
                "both, or fewer folds"
            )
