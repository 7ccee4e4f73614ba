"""Typed configuration of a run: every key, its default, its meaning and its option.

The same declaration makes the TOML file (:mod:`xsaga.config_file`), the command-line options
and the check for unknown keys.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal

FileFormat = Literal["parquet", "fits", "csv", "ecsv", "votable"]


@dataclass(frozen=True)
class KeyInfo:
    """What is known of a configuration key beside its name, type and default.

    Parameters
    ----------
    help : str
        One line for ``--help`` and for the comment in the TOML file.
    option : str
        Command-line option; empty where a key can only be set in the file.
    metavar : str
        What the option's value looks like.
    result : bool
        Whether the key changes what a run computes. Such keys are part of the run's fingerprint;
        the others (how fast, how many at once) may change on a resume.
    path : {'no', 'path', 'name or path'}
        Whether the value names a file or folder, relative to the configuration file's folder.
    """

    help: str
    option: str = ""
    metavar: str = ""
    result: bool = True
    path: Literal["no", "path", "name or path"] = "no"


def _key(default: Any, info: KeyInfo) -> Any:
    return field(default=default, metadata={"key": info})


def _table(info: KeyInfo) -> Any:
    return field(default_factory=dict, metadata={"key": info})


@dataclass(frozen=True)
class FootprintConfig:
    """Where on the sky; regions are united, and none means the catalog's own coverage."""

    circle: tuple[str, ...] = _key(
        (), KeyInfo("Circle on the sky, degrees.", "--circle", "RA,DEC,RADIUS")
    )
    box: tuple[str, ...] = _key(
        (), KeyInfo("RA/Dec box, degrees; RA1 > RA2 goes through 0.", "--box", "RA1,RA2,DEC1,DEC2")
    )
    polygon: tuple[str, ...] = _key(
        (), KeyInfo("Polygon with great-circle edges, degrees.", "--polygon", "'RA,DEC RA,DEC …'")
    )
    moc: tuple[str, ...] = _key(
        (), KeyInfo("Multi-order coverage map, FITS or JSON.", "--moc", "FILE", path="path")
    )
    healpix: tuple[str, ...] = _key(
        (), KeyInfo("NESTED HEALPix pixels.", "--healpix", "ORDER/PIX,PIX,…")
    )
    desi_tiles: str = _key(
        "",
        KeyInfo(
            "Table of DESI tiles (TILEID RA DEC), FITS or ECSV.",
            "--desi-tiles",
            "FILE",
            path="path",
        ),
    )
    tile_ids: tuple[int, ...] = _key(
        (), KeyInfo("Only these TILEIDs of the table; all if none is given.", "--tile-id", "TILEID")
    )
    tile_radius: float = _key(
        1.6, KeyInfo("Radius of a DESI tile's field, degrees.", "--tile-radius", "DEG")
    )
    order: int = _key(
        6, KeyInfo("HEALPix order of the tiles the run works in, 3 to 10.", "--order", "ORDER")
    )


@dataclass(frozen=True)
class CatalogConfig:
    """Which sources."""

    path: tuple[str, ...] = _key(
        (),
        KeyInfo(
            "Catalog: file, folder or glob (sweep/Tractor FITS, Parquet, HATS, CSV, ECSV, "
            "VOTable).",
            "--catalog",
            "PATH",
            path="path",
        ),
    )
    columns: str = _key(
        "auto",
        KeyInfo(
            "Column map: auto, legacysurvey, saga-dr3, sdss, minimal or a TOML file.",
            "--columns",
            "MAP",
            path="name or path",
        ),
    )
    column: dict[str, str] = _table(
        KeyInfo("Take one quantity from another column.", "--column", "NAME=COLUMN")
    )
    dedupe_radius: float = _key(
        0.5,
        KeyInfo(
            "Sources closer than this are one source, arcsec; 0 keeps all.",
            "--dedupe-radius",
            "ARCSEC",
        ),
    )


@dataclass(frozen=True)
class CutsConfig:
    """Photometric cuts: which sources are worth a cutout."""

    name: str = _key(
        "desi-lowz",
        KeyInfo("Cuts: xsaga, saga1, saga2, saga3, desi-lowz or none.", "--cuts", "NAME"),
    )
    r_min: float | None = _key(
        None, KeyInfo("Bright limit in dereddened r, added to the cuts, mag.", "--r-min", "MAG")
    )
    r_max: float | None = _key(
        None, KeyInfo("Faint limit in dereddened r, added to the cuts, mag.", "--r-max", "MAG")
    )
    coefficients: dict[str, Any] = _table(
        KeyInfo("Replace one coefficient of the cuts.", "--coefficient", "NAME=VALUE")
    )


@dataclass(frozen=True)
class ImagingConfig:
    """Where cutouts come from: bricks, service (of both, the faster is chosen) or files."""

    bricks: str = _key(
        "",
        KeyInfo(
            "Legacy Surveys tree: folder or http(s) root of a release.",
            "--bricks",
            "PATH|URL",
            path="path",
        ),
    )
    service: str = _key(
        "",
        KeyInfo(
            "Cutout service; https://www.legacysurvey.org/viewer/fits-cutout is the public one.",
            "--service",
            "URL",
        ),
    )
    bricks_table: str = _key(
        "",
        KeyInfo(
            "Table of the survey's bricks: tells where the cutout service has data.",
            "--bricks-table",
            "FILE",
            path="path",
        ),
    )
    files: str = _key(
        "",
        KeyInfo(
            "Folder of FITS cutouts named SOURCE_ID.fits, or a table of source_id and path.",
            "--files",
            "PATH",
            path="path",
        ),
    )
    region: Literal["auto", "north", "south"] = _key(
        "auto",
        KeyInfo(
            "Half of the release; auto takes north where Dec > 32.375 and b > 0.",
            "--region",
            "REGION",
        ),
    )
    layer: str = _key("ls-dr9", KeyInfo("Layer of the cutout service.", "--layer", "NAME"))
    release: str = _key(
        "",
        KeyInfo(
            "Image release, e.g. ls-dr9, where the imaging does not say it itself.",
            "--release",
            "NAME",
        ),
    )
    size: int = _key(144, KeyInfo("Cutout side, pixels.", "--size", "PIXELS"))
    pixel_scale: float = _key(
        0.262, KeyInfo("Pixel scale, arcsec per pixel.", "--pixel-scale", "ARCSEC")
    )
    min_coverage: float = _key(
        0.2,
        KeyInfo(
            "Least share of pixels with data, in every band, for a cutout to be used.",
            "--min-coverage",
            "SHARE",
        ),
    )
    cache: str = _key(
        "",
        KeyInfo(
            "Folder for downloaded bricks; by default the user's cache folder.",
            "--cache",
            "DIR",
            result=False,
            path="path",
        ),
    )
    connections: int = _key(
        4, KeyInfo("Requests at once, at most.", "--connections", "N", result=False)
    )
    rate: float = _key(
        8.0, KeyInfo("Requests per second, at most.", "--rate", "PER_S", result=False)
    )
    timeout: float = _key(
        60.0, KeyInfo("Longest wait for one answer, seconds.", "--timeout", "S", result=False)
    )
    retries: int = _key(
        4, KeyInfo("Further tries of a request that failed.", "--retries", "N", result=False)
    )
    max_outage: float = _key(
        60.0,
        KeyInfo(
            "Longest wait for a server that is gone, minutes; what it failed is asked again.",
            "--max-outage",
            "MIN",
            result=False,
        ),
    )
    memory: float = _key(
        4.0,
        KeyInfo(
            "Memory that fetching and scoring stay within, GB (2 or more).",
            "--memory",
            "GB",
            result=False,
        ),
    )


@dataclass(frozen=True)
class StoreConfig:
    """How a tile keeps its cutouts."""

    dtype: Literal["float16", "float32"] = _key(
        "float16", KeyInfo("Precision of stored cutouts.", "--store-dtype", "DTYPE")
    )
    keep_cutouts: bool = _key(
        True,
        KeyInfo(
            "Keep a tile's cutouts after it is scored.",
            "--keep-cutouts/--no-keep-cutouts",
            result=False,
        ),
    )


@dataclass(frozen=True)
class ModelConfig:
    """Which network scores, and how."""

    weights: str = _key(
        "simulated",
        KeyInfo(
            "Model: a shipped name, or a folder with card.json and weights.",
            "--weights",
            "NAME|DIR",
            path="name or path",
        ),
    )
    resample: bool = _key(
        False,
        KeyInfo(
            "Resample cutouts whose pixel scale or size differ from the model's.",
            "--resample/--no-resample",
        ),
    )
    any_release: bool = _key(
        False,
        KeyInfo(
            "Score images of a release the model's card does not name.",
            "--any-release/--card-release",
        ),
    )
    device: str = _key("auto", KeyInfo("Device: auto, cpu, cuda or cuda:N.", "--device", "DEVICE"))
    precision: Literal["auto", "float32", "bf16", "float16"] = _key(
        "auto",
        KeyInfo(
            "Arithmetic of the network; auto takes bf16 where it is native.",
            "--precision",
            "PRECISION",
        ),
    )
    engine: Literal["auto", "eager", "openvino"] = _key(
        "auto",
        KeyInfo(
            "What runs the network: eager (torch), openvino (on a CPU), or auto: the faster of "
            "those installed, by a trial that each machine does once.",
            "--engine",
            "ENGINE",
            result=False,  # the engine that is chosen is recorded beside the configuration
        ),
    )
    batch_size: int = _key(
        0, KeyInfo("Cutouts scored at once; 0: what suits the engine.", "--batch-size", "N")
    )


@dataclass(frozen=True)
class RankConfig:
    """How scored sources become targets."""

    tiers: tuple[str, ...] = _key(
        ("20/deg2", "saga2", "desi-lowz"),
        KeyInfo(
            "What tier 1, tier 2, … take: 20/deg2 (the best per area), p>=0.5, r<=21, names of "
            "cuts, all; with commas where all must hold.",
            "--tier",
            "RULE",
        ),
    )
    priorities: tuple[int, ...] = _key(
        (80, 70, 60), KeyInfo("Priority of tier 1, tier 2, ….", "--priority", "N")
    )
    even_order: int = _key(
        5,
        KeyInfo(
            "A density is kept in each HEALPix pixel of this order (5: 3.4 deg²) as far as there "
            "are sources; 0 for the list as a whole.",
            "--even-order",
            "ORDER",
        ),
    )
    refill: bool = _key(
        False,
        KeyInfo(
            "Put others in the place of those that are observed or have a good redshift; else "
            "these count for the density.",
            "--refill/--no-refill",
        ),
    )
    min_separation: float = _key(
        0.0,
        KeyInfo(
            "Of targets closer than this keep the better one, arcsec.", "--min-separation", "ARCSEC"
        ),
    )
    base_rate: str = _key(
        "card",
        KeyInfo(
            "Rate of nearby galaxies among the candidates, where it is not what cuts and model "
            "make it: card (p_lowz as the model gives it), a number (that becomes the mean of "
            "p_lowz) or estimate (needs a model calibrated within the same cuts).",
            "--base-rate",
            "RATE",
        ),
    )
    unfamiliar_last: bool = _key(
        True,
        KeyInfo(
            "Rank sources flagged UNFAMILIAR after all others; tiers by p or density take none.",
            "--unfamiliar-last/--unfamiliar-by-p",
        ),
    )
    formats: tuple[FileFormat, ...] = _key(
        ("parquet", "fits"),
        KeyInfo("Target list formats: parquet, fits, csv, ecsv, votable.", "--format", "FORMAT"),
    )


@dataclass(frozen=True)
class ExcludeConfig:
    """Which scored sources are no targets, and why."""

    redshifts: tuple[str, ...] = _key(
        (),
        KeyInfo(
            "Catalog of redshifts (file, folder or glob): a source with a good one is no target.",
            "--redshifts",
            "PATH",
            path="path",
        ),
    )
    redshift_column: dict[str, str] = _table(
        KeyInfo(
            "Take ra, dec, z, zwarn, … of redshift catalogs from another column.",
            "--redshift-column",
            "NAME=COLUMN",
        )
    )
    match_radius: float = _key(
        1.0,
        KeyInfo(
            "Farthest that a redshift or an observation may lie from its source, arcsec.",
            "--match-radius",
            "ARCSEC",
        ),
    )
    min_quality: int = _key(
        3,
        KeyInfo("Least quality of a good redshift, where there is one.", "--min-quality", "N"),
    )
    min_deltachi2: float | None = _key(
        None,
        KeyInfo("Least DELTACHI2 of a good redshift (DESI).", "--min-deltachi2", "CHI2"),
    )
    spectype: tuple[str, ...] = _key(
        (), KeyInfo("SPECTYPE of a good redshift; any if none is given.", "--spectype", "TYPE")
    )
    observed: tuple[str, ...] = _key(
        (),
        KeyInfo(
            "Table of observed or assigned targets (TARGETID, or RA and Dec): no targets.",
            "--observed",
            "PATH",
            path="path",
        ),
    )
    maskbits: tuple[int, ...] = _key(
        (1, 5, 6, 7, 12, 13),
        KeyInfo(
            "Bits of MASKBITS that exclude: 1 bright star, 5 to 7 bad pixels, 12 large galaxy, "
            "13 cluster; 12 spares the large galaxy itself.",
            "--exclude-maskbit",
            "BIT",
        ),
    )
    bright_stars: tuple[str, ...] = _key(
        (),
        KeyInfo(
            "Table of bright stars: ra, dec and radius (arcsec) or magnitude.",
            "--bright-stars",
            "PATH",
            path="path",
        ),
    )
    large_galaxies: tuple[str, ...] = _key(
        (),
        KeyInfo(
            "Table of large galaxies as SGA-2020: ra, dec, d26 (arcmin), ba, pa.",
            "--large-galaxies",
            "PATH",
            path="path",
        ),
    )
    shred_r: float = _key(
        16.0,
        KeyInfo("Galaxies brighter than this in r may be shredded, mag.", "--shred-r", "MAG"),
    )
    shred_radii: float = _key(
        4.0,
        KeyInfo(
            "Sources within so many half-light radii of one are pieces of it; 0 keeps them.",
            "--shred-radii",
            "N",
        ),
    )
    mask: tuple[str, ...] = _key(
        (), KeyInfo("MOC of sky to leave out, FITS or JSON.", "--mask", "FILE", path="path")
    )
    by_hand: tuple[str, ...] = _key(
        (),
        KeyInfo(
            "List by hand: source_id, or ra and dec; reason where there is one.",
            "--exclude",
            "PATH",
            path="path",
        ),
    )


@dataclass(frozen=True)
class RunConfig:
    """The whole configuration of a run."""

    footprint: FootprintConfig = field(default_factory=FootprintConfig)
    catalog: CatalogConfig = field(default_factory=CatalogConfig)
    cuts: CutsConfig = field(default_factory=CutsConfig)
    imaging: ImagingConfig = field(default_factory=ImagingConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    rank: RankConfig = field(default_factory=RankConfig)
    exclude: ExcludeConfig = field(default_factory=ExcludeConfig)


SECTIONS: dict[str, type[Any]] = {
    "footprint": FootprintConfig,
    "catalog": CatalogConfig,
    "cuts": CutsConfig,
    "imaging": ImagingConfig,
    "store": StoreConfig,
    "model": ModelConfig,
    "rank": RankConfig,
    "exclude": ExcludeConfig,
}

RANKING_SECTIONS = ("rank", "exclude")
"""Sections that decide what becomes of the scores, not what they are."""


@dataclass(frozen=True)
class Key:
    """One configuration key.

    Parameters
    ----------
    section, name : str
        Where it stands in the TOML file.
    kind : type
        Its annotation.
    default : object
        Its default.
    info : KeyInfo
        Help, option and role.
    """

    section: str
    name: str
    kind: Any
    default: Any
    info: KeyInfo

    def __str__(self) -> str:
        return f"{self.section}.{self.name}"


@cache
def config_keys() -> tuple[Key, ...]:
    """All keys, in the order of the file."""
    return tuple(
        Key(
            section, item.name, kinds[item.name], getattr(defaults, item.name), item.metadata["key"]
        )
        for section, cls in SECTIONS.items()
        for kinds, defaults in [(typing.get_type_hints(cls), cls())]
        for item in fields(cls)
    )


def config_values(config: RunConfig) -> dict[str, Any]:
    """Flat view of a configuration, ``{'cuts.name': 'xsaga', …}``."""
    return {str(key): getattr(getattr(config, key.section), key.name) for key in config_keys()}


def result_settings(config: RunConfig) -> dict[str, Any]:
    """Keys that change what a tile's scores are; part of a run's fingerprint.

    Ranking is left out: it is done anew from the scores each time.
    """
    values = config_values(config)
    return {
        str(key): values[str(key)]
        for key in config_keys()
        if key.info.result and key.section not in RANKING_SECTIONS
    }
