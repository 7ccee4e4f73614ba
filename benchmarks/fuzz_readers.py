"""The readers of xsaga, and small whole files for each: what `benchmarks/fuzz.py` damages."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.table import Table

from tests.footprint_files import write_footprints
from tests.small_runs import make_small_sky, xsaga
from tests.target_samples import provenance, ranked_targets
from tests.toy_labels import make_toy_labels
from tests.toy_model import TINY, toy_card, toy_model
from xsaga.catalog.columns import load_column_maps
from xsaga.catalog.exclusion_files import read_bright_stars, read_large_galaxies, read_listed
from xsaga.catalog.readers import Catalog
from xsaga.catalog.redshift_catalogs import (
    RowCounts,
    is_simulated,
    read_redshifts,
    redshift_catalogs,
)
from xsaga.catalog.sources import complete_sources
from xsaga.catalog.spectra import best_per_object, read_spectra
from xsaga.catalog.standard import ReadingNotes
from xsaga.config_file import read_config
from xsaga.errors import ImagingError, ModelError
from xsaga.evaluation.truth import Labels
from xsaga.imaging.brick_decode import BrickDecoder, DecodeTask, read_grid
from xsaga.imaging.brick_index import open_regions
from xsaga.imaging.brick_tree import LocalTree, read_brick_table
from xsaga.imaging.cutout_fits import CutoutUnusable, read_cutout
from xsaga.imaging.cutouts import CutoutSpec
from xsaga.imaging.files import FileSource
from xsaga.imaging.store import read_cutouts
from xsaga.model.card import CARD_FILE
from xsaga.model.checkpoints import Checkpoints
from xsaga.model.weights import load_model, save_model
from xsaga.paths import NightlyPaths, RunPaths, TilePaths
from xsaga.run.brick_facts import read_brick_facts
from xsaga.run.file_hashes import FileHashes
from xsaga.run.finished import read_finished_run
from xsaga.run.log import RunLog
from xsaga.run.nightly_lists import newest_list
from xsaga.run.published_lists import PublishedLists
from xsaga.run.status import failure_table, run_status
from xsaga.sky.desi_tiles import DesiTiles
from xsaga.sky.parse import parse_healpix
from xsaga.sky.pixel_regions import MocRegion
from xsaga.targets.exports.known_ids import read_known_ids, write_known_ids
from xsaga.targets.target_list import read_target_list
from xsaga.targets.write_parquet import write_parquet

SHARED = Path(__file__).resolve().parents[2] / "shared"
SPEC = CutoutSpec(size=48)


@dataclass(frozen=True)
class Reader:
    """A reader, and files to damage.

    Parameters
    ----------
    name : str
        What the table calls it.
    read : callable
        Reads a file, or the folder that the file is in where `whole` is set.
    files : tuple of str
        Below the folder of seeds; a pattern stands for all that match.
    whole : int
        How many folders up from the file lies what is read; 0 for the file itself.
    mend : callable, optional
        Puts checksums right after a file was damaged, so that the damage is read at all.
    """

    name: str
    read: Callable[[Path], object]
    files: tuple[str, ...]
    whole: int = 0
    mend: Callable[[Path], None] | None = None


def _catalog(path: Path) -> None:
    for batch in Catalog.of([path]).batches():
        complete_sources(batch.sources)


def _redshifts(path: Path) -> None:
    is_simulated(path)
    for catalog in redshift_catalogs(path, "auto", {}):
        read_redshifts(catalog, 0, 3, RowCounts(), ReadingNotes())


def _spectra(path: Path) -> None:
    best_per_object(pd.concat(list(read_spectra(path)), ignore_index=True))


def _cutout(path: Path, data: Path | bytes, centre: tuple[float, float] | None) -> None:
    """Read a cutout; what is wrong with it is told of its file, as all sources of cutouts do."""
    try:
        read_cutout(data, SPEC, exact_size=centre is not None, nan_is_no_data=True, centre=centre)
    except CutoutUnusable as error:
        raise ImagingError(f"{path}: {error}") from error


def _coadd(path: Path) -> None:
    grid, _ = read_grid(path)
    decoder = BrickDecoder(1)
    planes = decoder.room((1, grid.height, grid.width), much=False)
    whole = DecodeTask(path, "image", 0, None)
    piece = DecodeTask(path, "invvar", 0, ((slice(0, 100), slice(0, 100)),))
    decoder.decode([whole, piece], planes)


def _tree(root: Path) -> None:
    for index in open_regions(LocalTree(root), "auto"):
        index.home(np.array([0.1]), np.array([0.7]))


def read_store(folder: Path) -> None:
    """Read all cutouts of a tile."""
    stored = read_cutouts(TilePaths(folder))
    _ = stored.checked[0 : len(stored.index)]


def _run(folder: Path) -> None:
    paths = RunPaths(folder)
    run_status(paths)
    failure_table(paths)
    read_finished_run(folder)
    list(RunLog(paths.log, print).events())


def _files(folder: Path) -> None:
    table = next(path for path in sorted(folder.iterdir()) if path.is_file())
    source = FileSource(folder / "cutouts", SPEC, table=table)
    ids = np.arange(1, 3)
    list(source.cutouts(np.zeros(2), np.zeros(2), ids))


def _nights(folder: Path) -> None:
    paths = NightlyPaths(folder)
    newest_list(paths)
    PublishedLists.of(folder)
    FileHashes(paths.hashes).save()
    read_target_list(folder)
    list(RunLog(paths.log, print).events())


def _load_checkpoint(folder: Path) -> None:
    Checkpoints(folder, "abc").load(0)


def _mend_model(folder: Path) -> None:
    weights, card = folder / "weights.safetensors", folder / CARD_FILE
    _put_hash(card, weights)


def _mend_checkpoint(folder: Path) -> None:
    _put_hash(folder / "member-0.json", folder / "member-0-epoch-1.safetensors")


def _put_hash(record: Path, data: Path) -> None:
    try:
        content = json.loads(record.read_bytes())
        content["sha256"] = hashlib.sha256(data.read_bytes()).hexdigest()
    except (ValueError, TypeError, RecursionError, OSError):
        return
    record.unlink()
    record.write_text(json.dumps(content), encoding="utf-8")


READERS: tuple[Reader, ...] = (
    Reader("catalog, FITS", _catalog, ("catalog/*.fits", "catalog/*.fits.gz")),
    Reader("catalog, Parquet", _catalog, ("catalog/*.parquet",)),
    Reader("catalog, HATS", _catalog, ("hats/collection.properties", "hats/t/**/*.parquet"), -1),
    Reader("catalog, CSV", _catalog, ("catalog/*.csv", "catalog/*.csv.gz")),
    Reader("catalog, ECSV", _catalog, ("catalog/*.ecsv",)),
    Reader("catalog, VOTable", _catalog, ("catalog/*.xml",)),
    Reader("catalog, AAS table", _catalog, ("catalog/*.txt",)),
    Reader("column map", lambda path: load_column_maps(path), ("toml/columns.toml",)),
    Reader("configuration", read_config, ("toml/lowz.toml",)),
    Reader("MOC, FITS", MocRegion.from_file, ("sky/*.moc.fits",)),
    Reader("MOC, JSON", MocRegion.from_file, ("sky/*.moc.json",)),
    Reader("DESI tiles", DesiTiles.from_file, ("sky/tiles.fits", "sky/tiles.ecsv")),
    Reader("HEALPix list", parse_healpix, ("sky/pixels.txt",)),
    Reader("bricks table", read_brick_table, ("bricks/*.fits.gz", "bricks/*.fits")),
    Reader("bricks table, facts", lambda path: read_brick_facts([path]), ("bricks/*.fits.gz",)),
    Reader("coadd, small", _coadd, ("coadds/small-*.fits.fz",)),
    Reader("coadd, real", _coadd, ("coadds/legacysurvey-*.fits.fz",)),
    Reader("brick tree", _tree, ("tree/south/*.fits.gz",), 2),
    Reader(
        "cutout, file",
        lambda path: _cutout(path, path, None),
        ("cutouts/*.fits*",),
    ),
    Reader(
        "cutout, answer",
        lambda path: _cutout(path, path.read_bytes(), (0.1, 0.7)),
        ("answers/*.fits*",),
    ),
    Reader("table of paths", _files, ("listed-*/list.*",), 1),
    Reader("store of cutouts", read_store, ("RUN/tiles/*/*/*/cutouts.*",), 1),
    Reader("run folder, JSON and TOML", _run, ("RUN/*.json", "RUN/*.toml", "RUN/*.jsonl"), 1),
    Reader(
        "run folder, Parquet",
        _run,
        ("RUN/tiles/*/*/*/s*.parquet", "RUN/tiles/*/*/*/failures.parquet", "RUN/not*.parquet"),
        -1,
    ),
    Reader(
        "nights",
        _nights,
        ("NIGHTS/*.json", "NIGHTS/*.jsonl", "NIGHTS/lists/*/*.json", "NIGHTS/lists/*/t*.parquet"),
        -1,
    ),
    Reader("target list", read_target_list, ("lists/targets.parquet",)),
    Reader("TARGETIDs", read_known_ids, ("lists/target-ids.parquet",)),
    Reader("model, card", lambda folder: load_model(folder), ("model/card.json",), 1),
    Reader(
        "model, weights",
        lambda folder: load_model(folder),
        ("model/*.safetensors",),
        1,
        _mend_model,
    ),
    Reader("checkpoint", _load_checkpoint, ("checkpoints/*",), 1, _mend_checkpoint),
    Reader("redshifts, labels", _redshifts, ("redshifts/*",)),
    Reader("redshifts, spectra", _spectra, ("redshifts/*",)),
    Reader("labels", lambda path: Labels.read(path).z_limit, ("labels/labels.parquet",)),
    Reader("list by hand", lambda path: list(read_listed(path)), ("excluded/ids.*",)),
    Reader("bright stars", read_bright_stars, ("excluded/stars.*",)),
    Reader("large galaxies", read_large_galaxies, ("excluded/galaxies.*",)),
)
"""Of `Reader.whole`, −1 stands for the first folder below that of the seeds."""


def make_seeds(folder: Path) -> None:
    """Write the whole files; real ones of the Legacy Surveys where they are at hand."""
    for name in ("catalog", "toml", "sky", "bricks", "coadds", "cutouts", "answers", "lists"):
        (folder / name).mkdir(parents=True)
    for name in ("labels", "excluded", "redshifts"):
        (folder / name).mkdir()
    _tables(folder)
    write_footprints(folder / "sky")
    _bricks(folder)
    _models(folder)
    _runs(folder)


def _tables(folder: Path) -> None:
    catalog = folder / "catalog"
    real = [*SHARED.glob("sweeps/*.fits"), SHARED / "realsky/sweep/sweep-realsky.fits"]
    sweep = Table.read(real[0], unit_parse_strict="silent")[:12]
    for path in (real[0], real[-1], SHARED / "sweeps/tractor-3301m002.fits"):
        with fits.open(path) as hdus:
            fits.HDUList([hdus[0], fits.BinTableHDU(hdus[1].data[:8], hdus[1].header)]).writeto(
                catalog / path.name
            )
    first = catalog / real[0].name
    (catalog / "packed.fits.gz").write_bytes(gzip.compress(first.read_bytes(), mtime=0))
    plain = sweep[[name for name in sweep.colnames if sweep[name].ndim == 1][:25]]
    frame = plain.to_pandas()
    for name in frame.select_dtypes(object):
        frame[name] = frame[name].map(
            lambda word: word.decode() if isinstance(word, bytes) else word
        )
    frame.to_parquet(catalog / "zstd.parquet", compression="zstd")
    frame.to_parquet(catalog / "plain.parquet", compression="none", index=True)
    frame.to_csv(catalog / "a.csv", index=False)
    (catalog / "b.csv.gz").write_bytes(
        gzip.compress(b"# a comment\n" + frame.to_csv(index=False).encode(), mtime=0)
    )
    few = Table.from_pandas(frame[["RA", "DEC", "FLUX_R", "TYPE", "OBJID"]])
    few.write(catalog / "a.ecsv", format="ascii.ecsv")
    for form in ("tabledata", "binary", "binary2"):
        few.write(catalog / f"{form}.xml", format="votable", tabledata_format=form)
    lines = (SHARED / "saga/saga-dr3-tableC1.txt").read_text(encoding="utf-8").splitlines()
    (catalog / "c1.txt").write_text("\n".join(lines[:75]) + "\n", encoding="utf-8")
    hats = folder / "hats"
    place = hats / "t/dataset/Norder=0/Dir=0/Npix=4.parquet"
    place.parent.mkdir(parents=True)
    frame.to_parquet(place)
    (hats / "collection.properties").write_text(
        "obs_collection=x\nhats_primary_table_url=t\n", encoding="utf-8"
    )
    with fits.open(SHARED / "redshifts/zcompile.fits") as hdus:
        fits.HDUList([hdus[0], fits.BinTableHDU(hdus[1].data[:20], hdus[1].header)]).writeto(
            folder / "redshifts/zcompile.fits"
        )
    z = Table(
        {
            "TARGETID": np.arange(20),
            "TARGET_RA": np.linspace(0, 1, 20),
            "TARGET_DEC": np.linspace(0, 1, 20),
            "Z": np.linspace(0, 0.1, 20),
            "ZWARN": np.zeros(20, int),
            "DELTACHI2": np.ones(20),
            "SPECTYPE": ["GALAXY"] * 20,
            "NIGHT": [20261126] * 20,
        }
    )
    z.write(folder / "redshifts/z.fits")
    z.write(folder / "redshifts/z.csv", format="ascii.csv")
    z.to_pandas().to_parquet(folder / "redshifts/z.parquet")
    shutil.copy(catalog / "c1.txt", folder / "redshifts/c1.txt")
    toys = make_toy_labels(folder / "toys", 16)
    shutil.copy(toys.labels, folder / "labels")
    shutil.copy(toys.labels, folder / "redshifts")
    objects = Table(
        {"source_id": [1, 2], "ra": [1.0, 2.0], "dec": [0.0, 1.0], "reason": ["a", "b"]}
    )
    stars = Table({"ra": [1.0, 2.0], "dec": [0.0, 1.0], "mag": [9.0, 12.0], "radius": [3.0, 4.0]})
    galaxies = Table({"RA": [1.0], "DEC": [2.0], "D26": [3.0], "BA": [0.5], "PA": [10.0]})
    for name, table in (("ids", objects), ("stars", stars), ("galaxies", galaxies)):
        table.write(folder / f"excluded/{name}.fits")
        table.write(folder / f"excluded/{name}.csv", format="ascii.csv")
        table.write(folder / f"excluded/{name}.ecsv", format="ascii.ecsv")
    (folder / "excluded/ids.txt").write_text("1 # one\n2\n# three\n", encoding="utf-8")
    write_parquet(folder / "lists/targets.parquet", ranked_targets(20), provenance())
    known = pd.DataFrame({"source_id": np.arange(5), "targetid": np.arange(5)})
    write_known_ids(folder / "lists/target-ids.parquet", known)
    (folder / "toml/columns.toml").write_text(
        '[columns]\nra = ["RA", "x"]\ndec = "DEC"\nflux_r = ["FLUX_R"]\n', encoding="utf-8"
    )


def _bricks(folder: Path) -> None:
    real = SHARED / "realsky"
    for path in (
        real / "dr6-north/survey-bricks-dr6.fits.gz",
        real / "dr6-north/survey-bricks.fits.gz",
    ):
        shutil.copy(path, folder / "bricks")
    table = real / "south/survey-bricks-realsky-south.fits.gz"
    (folder / "bricks/survey-bricks-dr9-south.fits").write_bytes(
        gzip.decompress(table.read_bytes())
    )
    (folder / "tree/south/coadd/000/0001p007").mkdir(parents=True)
    shutil.copy(table, folder / "tree/south/survey-bricks-dr9-south.fits.gz")
    source = real / "south/coadd/000/0001p007/legacysurvey-0001p007-image-r.fits.fz"
    with fits.open(source) as hdus:
        image, header = hdus[1].data[1700:1930, 0:250], hdus[1].header.copy()
    for kind, pixels, more in (
        ("rice", image, {"quantize_level": 16, "quantize_method": 2, "dither_seed": 7}),
        ("gzip", image, {"quantize_level": 0}),
        ("integers", (image * 1000).astype(np.int32), {}),
    ):
        method = "GZIP_1" if kind == "gzip" else "RICE_1"
        fits.CompImageHDU(
            pixels, header, compression_type=method, tile_shape=(100, 100), **more
        ).writeto(folder / f"coadds/small-{kind}.fits.fz")
    for path in sorted((real / "dr6-north/coadd").glob("*/*/*-z.fits.fz")):
        if "nexp" not in path.name:
            shutil.copy(path, folder / "coadds")
    with fits.open(real / "cutouts/field-b.fits") as hdus:
        cut, header = hdus[0].data[:, 80:144, 80:144], hdus[0].header
    fits.PrimaryHDU(cut, header).writeto(folder / "cutouts/field.fits")
    plain = (folder / "cutouts/field.fits").read_bytes()
    (folder / "cutouts/zipped.fits.gz").write_bytes(gzip.compress(plain, mtime=0))
    fits.CompImageHDU(cut, header, compression_type="RICE_1", tile_shape=(1, 32, 64)).writeto(
        folder / "cutouts/packed.fits.fz"
    )
    fits.PrimaryHDU(cut[:, 8:56, 8:56], _answer_header()).writeto(folder / "answers/answer.fits")
    for suffix in ("csv", "ecsv", "parquet", "fits"):
        place = folder / f"listed-{suffix}"
        (place / "cutouts").mkdir(parents=True)
        for number in (1, 2):
            shutil.copy(folder / "cutouts/field.fits", place / f"cutouts/{number}.fits")
        listed = Table({"source_id": [1, 2], "path": ["1.fits", "2.fits"]})
        if suffix == "parquet":
            listed.to_pandas().to_parquet(place / "list.parquet")
        else:
            form = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "fits": "fits"}[suffix]
            listed.write(place / f"list.{suffix}", format=form)


def _answer_header() -> fits.Header:
    header, step = fits.Header(), SPEC.pixel_scale / 3600
    header["BANDS"] = "grz"
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 0.1, 0.7
    header["CRPIX1"] = header["CRPIX2"] = (SPEC.size + 1) / 2
    header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = -step, 0.0, 0.0, step
    return header


def _models(folder: Path) -> None:
    card = dataclasses.replace(toy_card(TINY, 48), image_release=("xsaga-sim",))
    model = save_model(folder / "model", card, toy_model(TINY, 48).networks)
    tensors = dict(model.networks[0].state_dict())
    Checkpoints(folder / "checkpoints", "abc").save(0, 1, tensors, {"loss": [0.5]})


def _runs(folder: Path) -> None:
    sky = make_small_sky(folder / "made")
    for out, command in (("RUN", "run"), ("NIGHTS", "nightly")):
        more = ["--night", "2026-11-26"] if command == "nightly" else []
        result = xsaga(command, *sky.options, *more, "--out", folder / out)
        if result.exit_code not in (0, 3):
            raise ModelError(f"no seeds: {result.output}")
    shutil.copy(folder / "RUN/run.toml", folder / "toml/lowz.toml")
    for lock in folder.glob("*/.lock*"):
        lock.unlink()
    for runs in folder.glob("NIGHTS/runs/*/tiles"):
        shutil.rmtree(runs)
    shutil.rmtree(folder / "made")
