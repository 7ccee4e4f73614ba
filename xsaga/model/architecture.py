"""What a network is made of, as numbers and a name: enough to build it again."""

from __future__ import annotations

from dataclasses import dataclass, field

from xsaga.errors import ModelError

_MAX_STAGES, _MAX_BLOCKS, _MAX_CHANNELS = 8, 64, 4096
_MAX_APERTURES = 32

_MAX_CONVOLUTIONS = 1e9
"""Weights that all 3 x 3 convolutions have at most: 4 GB of float32, forty times an xResNet-50."""

_MAX_BLOCKS_IN_ALL = 128
"""Residual blocks of all stages: the deepest networks in use have 50, and each takes time."""
_MAX_PHOTOMETRY = 100

KINDS = ("foveal", "xresnet")
"""Networks that can be built, each in a module of that name."""


@dataclass(frozen=True)
class Architecture:
    """What a network is made of; stored in the model's card.

    Parameters
    ----------
    kind : {'foveal', 'xresnet'}
        Which network; the other values are its sizes.
    bands : int
        Image planes.
    stem_channels : int
        Channels of the first convolution, at half the cutout's resolution.
    stage_channels : tuple of int
        Channels of each residual stage; each stage after the first halves the resolution.
    stage_blocks : tuple of int
        Residual blocks of each stage.
    centre_width : float
        Standard deviation of the Gaussian weight of the centred mean, as a fraction of the side
        of the maps ('foveal').
    dropout : float
        Probability with which a pooled feature is dropped in training.
    surround_channels : tuple of int
        Channels of each stage of the surround ('foveal').
    centre_share : float
        Side of the centre as a fraction of the cutout's ('foveal').
    apertures : tuple of float
        Standard deviations, in pixels of the cutout, of the Gaussian apertures in which the light
        is measured ('foveal').
    features : int
        Number of features that the logit is a linear function of ('foveal').
    photometry : int
        Quantities of the catalog that are taken beside the image ('foveal'), those of
        `xsaga.model.photometry.PHOTOMETRY`; 0 for the image alone, as in cards that lack the key.

    Raises
    ------
    ModelError
        If a value is out of range.
    """

    kind: str = "foveal"
    bands: int = 3
    stem_channels: int = 16
    stage_channels: tuple[int, ...] = (32, 64, 128, 192)
    stage_blocks: tuple[int, ...] = (1, 1, 2, 1)
    centre_width: float = 0.15
    dropout: float = 0.1
    surround_channels: tuple[int, ...] = (32, 64, 96)
    centre_share: float = 0.5
    apertures: tuple[float, ...] = (1.5, 2.5, 4.0, 6.5, 10.0)
    features: int = 192
    photometry: int = field(default=0, metadata={"may_be_missing": True})

    def __post_init__(self) -> None:
        counts = (
            self.bands,
            self.stem_channels,
            *self.stage_channels,
            *self.surround_channels,
            self.features,
        )
        if self.kind not in KINDS:
            raise ModelError(
                f"architecture: kind {self.kind!r} is none of {', '.join(KINDS)}: made by another "
                "xsaga, or misspelt"
            )
        if not 1 <= len(self.stage_channels) == len(self.stage_blocks) <= _MAX_STAGES:
            raise ModelError(
                f"architecture: stage_channels and stage_blocks need one entry for each of 1 to "
                f"{_MAX_STAGES} stages, not {len(self.stage_channels)} and {len(self.stage_blocks)}"
            )
        if not 1 <= len(self.surround_channels) <= _MAX_STAGES:
            raise ModelError(
                f"architecture: surround_channels needs 1 to {_MAX_STAGES} stages, not "
                f"{len(self.surround_channels)}"
            )
        if not all(1 <= count <= _MAX_CHANNELS for count in counts):
            raise ModelError(f"architecture: channels must be 1 to {_MAX_CHANNELS}, not {counts}")
        if not all(1 <= count <= _MAX_BLOCKS for count in self.stage_blocks):
            raise ModelError(
                f"architecture: stage_blocks must be 1 to {_MAX_BLOCKS}, not {self.stage_blocks}"
            )
        if not (0.01 <= self.centre_width <= 10 and 0 <= self.dropout < 1):
            raise ModelError(
                f"architecture: centre_width {self.centre_width} must be 0.01 to 10 and dropout "
                f"{self.dropout} in [0, 1)"
            )
        sides = (self.stem_channels, *self.stage_channels)
        weights = 9.0 * sum(
            wide * (before + 2 * blocks * wide)
            for before, wide, blocks in zip(
                sides, self.stage_channels, self.stage_blocks, strict=False
            )
        )
        weights += 9.0 * sum(wide**2 for wide in (self.stem_channels, *self.surround_channels))
        if weights > _MAX_CONVOLUTIONS or sum(self.stage_blocks) > _MAX_BLOCKS_IN_ALL:
            raise ModelError(
                f"architecture: {sum(self.stage_blocks)} blocks of about {weights:.2g} weights: at "
                f"most {_MAX_BLOCKS_IN_ALL} blocks and {_MAX_CONVOLUTIONS:.2g} weights can be built"
            )
        if len(self.apertures) > _MAX_APERTURES:
            raise ModelError(f"architecture: more than {_MAX_APERTURES} apertures")
        if not (self.apertures and all(0.1 <= width <= 1000 for width in self.apertures)):
            raise ModelError(
                f"architecture: apertures must be 0.1 to 1000 pixels wide, not {self.apertures}"
            )
        if not 0 <= self.photometry <= _MAX_PHOTOMETRY:
            raise ModelError(
                f"architecture: photometry must be 0 to {_MAX_PHOTOMETRY} quantities, not "
                f"{self.photometry}"
            )
        if self.photometry and self.kind != "foveal":
            raise ModelError(
                f"architecture: kind {self.kind} takes no photometry: set photometry to 0, or kind "
                "to foveal"
            )
        if not 0 < self.centre_share <= 1:
            raise ModelError(
                f"architecture: centre_share must be above 0, up to 1, not {self.centre_share}"
            )
