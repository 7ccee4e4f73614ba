"""Files of some kilobytes that ask for gigabytes, for hours, or for what is not theirs."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch
from astropy.io import fits

from benchmarks.fuzz_readers import READERS, Reader, read_store
from tests.toy_model import toy_card

GIGABYTE = 1 << 30


@dataclass(frozen=True)
class Bomb:
    """A file that is to be refused.

    Parameters
    ----------
    name : str
        What it is.
    read : callable
        The reader that it is for.
    write : callable
        Writes it into a folder.
    file : str
        What is to be read, below that folder; the folder itself by default.
    """

    name: str
    read: Callable[[Path], object]
    write: Callable[[Path], object]
    file: str = ""


def _bomb(
    name: str, read: Callable[[Path], object], file: str, content: Callable[[], bytes]
) -> Bomb:
    return Bomb(name, read, lambda folder: (folder / file).write_bytes(content()), file)


def zeros_gzip(size: int, start: bytes = b"") -> bytes:
    """Compress so many zero bytes after some others; the checksum at the end is not right."""
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (size >> 24) + packer.flush()


def fits_header(*cards: tuple[str, object]) -> bytes:
    """Write a FITS header of cards as they are, sound or not."""
    lines = []
    for key, value in cards:
        words = (
            f"'{value}'" if isinstance(value, str) else {True: "T", False: "F"}.get(value, value)
        )
        words = ("T" if value else "F") if isinstance(value, bool) else words
        lines.append(f"{key:<8}= {words!s:>20}".ljust(80))
    text = "".join([*lines, "END".ljust(80)]).encode("ascii")
    return text.ljust(-(-len(text) // 2880) * 2880)


PRIMARY = fits_header(("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True))


def image_header(*axes: int, bitpix: int = -32) -> bytes:
    """Header of an image of so many pixels."""
    sizes = [(f"NAXIS{number}", side) for number, side in enumerate(axes, start=1)]
    return fits_header(("SIMPLE", True), ("BITPIX", bitpix), ("NAXIS", len(axes)), *sizes)


def table_header(rows: int, width: int, form: str, *more: tuple[str, object]) -> bytes:
    """Header of a table of RA and DEC."""
    return fits_header(
        *(("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", width)),
        *(("NAXIS2", rows), ("PCOUNT", 0), ("GCOUNT", 1), ("TFIELDS", 2)),
        *(("TTYPE1", "RA"), ("TFORM1", form), ("TTYPE2", "DEC"), ("TFORM2", form), *more),
    )


def coadd(**changes: object) -> bytes:
    """Make a small compressed coadd with some cards of its table changed."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(1).normal(0, 0.01, (200, 200)).astype(np.float32)
    header = fits.Header()
    step = 0.262 / 3600
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"], header["CRPIX1"], header["CRPIX2"] = 1.0, 1.0, 100.5, 100.5
    header["CD1_1"], header["CD2_2"] = -step, step
    fits.CompImageHDU(pixels, header, compression_type="RICE_1", tile_shape=(100, 100)).writeto(
        stream
    )
    content = bytearray(stream.getvalue())
    for key, value in changes.items():
        at = content.find(f"{key:<8}=".encode(), 2880)
        words = f"'{value:<8}'" if isinstance(value, str) else str(value)
        content[at : at + 80] = f"{key:<8}= {words:>20}".ljust(80).encode()
    return bytes(content)


def descriptor_beyond() -> bytes:
    """Make a coadd whose first tile is told to have 2 GB."""
    content = bytearray(coadd())
    with fits.open(io.BytesIO(bytes(content)), disable_image_compression=True) as hdus:
        start = hdus[1].fileinfo()["datLoc"]
    content[start : start + 4] = struct.pack(">i", 2**31 - 1)
    return bytes(content)


def gzip_tile() -> bytes:
    """Make a coadd of one tile whose compressed bytes unpack to 2 GB."""
    packed = zeros_gzip(2 * GIGABYTE)
    table = fits_header(
        *(("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 8), ("NAXIS2", 1)),
        *(("PCOUNT", len(packed)), ("GCOUNT", 1), ("TFIELDS", 1)),
        *(("TTYPE1", "COMPRESSED_DATA"), ("TFORM1", f"1PB({len(packed)})"), ("ZIMAGE", True)),
        *(("ZBITPIX", -32), ("ZNAXIS", 2), ("ZNAXIS1", 100), ("ZNAXIS2", 100)),
        *(("ZTILE1", 100), ("ZTILE2", 100), ("ZCMPTYPE", "GZIP_1")),
        *(("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"), ("CRVAL1", 1.0), ("CRVAL2", 1.0)),
        *(("CRPIX1", 50.5), ("CRPIX2", 50.5), ("CD1_1", -7.3e-5), ("CD2_2", 7.3e-5)),
    )
    data = struct.pack(">ii", len(packed), 0) + packed
    return PRIMARY + table + data.ljust(-(-len(data) // 2880) * 2880, b"\0")


def parquet(**columns: pa.Array) -> bytes:
    """Write columns as small as Parquet can."""
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, compression="zstd")
    return stream.getvalue()


def many_rows(rows: int) -> bytes:
    """Make a Parquet file of one position, again and again."""
    schema = pa.schema([("ra", pa.float64()), ("dec", pa.float64())])
    stream = io.BytesIO()
    part = pa.table({name: pa.array(np.ones(1 << 22)) for name in schema.names})
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for _ in range(rows >> 22):
            writer.write_table(part)
    return stream.getvalue()


def long_word() -> bytes:
    """Make a Parquet file of one word of 4 MB, in 200,000 rows."""
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, np.int32)), ["x" * (4 << 20)])
    place = pa.array(np.linspace(0, 1, 200_000))
    return parquet(ra=place, dec=place, type=words, path=words, source_id=pa.array(range(200_000)))


def votable(body: str, head: str = "", rows: str = "") -> bytes:
    """Write a VOTable of RA and DEC."""
    return (
        f'<?xml version="1.0"?>{head}<VOTABLE version="1.3"><RESOURCE><TABLE{rows}>'
        '<FIELD name="ra" datatype="double"/><FIELD name="dec" datatype="double"/>'
        f"{body}</TABLE></RESOURCE></VOTABLE>"
    ).encode()


def laughs() -> str:
    """Entities that expand a billion times."""
    entities = ['<!ENTITY a0 "ha">']
    entities += [
        f'<!ENTITY a{n} "{"&a" + str(n - 1) + ";":s}{("&a" + str(n - 1) + ";") * 9}">'
        for n in range(1, 10)
    ]
    return f"<!DOCTYPE VOTABLE [{''.join(entities)}]>"


def ecsv(meta: str) -> bytes:
    """Write an ECSV table with more in its header."""
    lines = ["# %ECSV 1.0", "# ---", "# datatype:", "# - {name: ra, datatype: float64}"]
    lines += ["# - {name: dec, datatype: float64}", *(f"# {line}" for line in meta.split("\n"))]
    return "\n".join([*lines, "# schema: astropy-2.0", "ra dec", "1.0 2.0", ""]).encode()


def yaml_laughs(merge: bool) -> str:
    """Write references that expand a billion times."""
    lines = ["meta:", "  a0: &a0 {x: 1}"]
    for n in range(1, 10):
        inside = ", ".join([f"*a{n - 1}"] * 9)
        lines.append(f"  a{n}: &a{n} " + (f"{{<<: [{inside}]}}" if merge else f"[{inside}]"))
    return "\n".join(lines)


def npy_tile(shape: str, descr: str = "'<f2'") -> Callable[[Path], object]:
    """Write an array file whose header lies."""

    def write(folder: Path) -> None:
        header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(1000)
        (folder / "cutouts.npy").write_bytes(data)
        index = pa.table({"source_id": pa.array([1]), "row": pa.array([0]), "crc32": pa.array([0])})
        told = json.dumps({"size": 48, "pixel_scale": 0.262, "bands": ["g", "r", "z"]})
        index = index.replace_schema_metadata({"xsaga.cutouts": told})
        pq.write_table(index, folder / "cutouts.parquet")

    return write


def model(
    weights: Callable[[], bytes],
    architecture: dict[str, object] | None = None,
    **changes: object,
) -> Callable[[Path], object]:
    """Write a model whose card fits its weights by hash only."""

    def write(folder: Path) -> None:
        data = weights()
        card = dataclasses.asdict(toy_card())
        card |= {"sha256": hashlib.sha256(data).hexdigest()} | changes
        card["architecture"] |= architecture or {}
        (folder / "weights.safetensors").write_bytes(data)
        (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")

    return write


def tensor_header(header: object) -> bytes:
    """Write a file of tensors that is its header alone."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def one_tensor() -> bytes:
    """Write a sound file of one tensor."""
    return safetensors.torch.save({"a": torch.zeros(1)})


HUGE = {"kind": "xresnet", "stage_channels": [4096] * 8, "stage_blocks": [64] * 8}
"""The largest network that the limits of single values allow."""


def _of(reader: str) -> Callable[[Path], object]:
    found: Reader = next(each for each in READERS if each.name == reader)
    return found.read


def _gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


_FITS, _CUT, _COADD = _of("catalog, FITS"), _of("cutout, file"), _of("coadd, small")
_CSV, _PARQUET, _ECSV = _of("catalog, CSV"), _of("catalog, Parquet"), _of("catalog, ECSV")
_VOT, _MODEL, _TABLE = _of("catalog, VOTable"), _of("model, card"), _of("bricks table")
_B64 = base64.b64encode(bytes(64)).decode()


def _listed(folder: Path) -> None:
    (folder / "cutouts").mkdir()
    (folder / "list.parquet").write_bytes(long_word())


BOMBS: tuple[Bomb, ...] = (
    _bomb("an image of 10^12 pixels", _CUT, "a.fits", lambda: image_header(10**6, 10**6)),
    _bomb("1,000 axes", _CUT, "a.fits", lambda: image_header(*[2] * 999)),
    _bomb(
        "a table of 10^12 rows", _FITS, "a.fits", lambda: PRIMARY + table_header(10**12, 16, "D")
    ),
    _bomb(
        "10^15 rows of no bytes", _FITS, "a.fits", lambda: PRIMARY + table_header(10**15, 0, "0D")
    ),
    _bomb(
        "columns of 16 GB",
        _FITS,
        "a.fits",
        lambda: PRIMARY + table_header(1, 16, "1000000000D") + bytes(2880),
    ),
    _bomb(
        "10^9 columns",
        _FITS,
        "a.fits",
        lambda: (PRIMARY + table_header(1, 16, "D") + bytes(2880)).replace(
            b"TFIELDS =                    2", b"TFIELDS =           1000000000"
        ),
    ),
    _bomb(
        "a header of 20,000 blocks",
        _FITS,
        "a.fits",
        lambda: PRIMARY[:80] + b" " * (2880 * 20_000 - 80),
    ),
    _bomb(
        "30,000 parts",
        _FITS,
        "a.fits",
        lambda: (
            PRIMARY
            + fits_header(
                ("XTENSION", "IMAGE"), ("BITPIX", 8), ("NAXIS", 0), ("PCOUNT", 0), ("GCOUNT", 1)
            )
            * 30_000
        ),
    ),
    _bomb(
        "a coadd of 10^10 pixels",
        _COADD,
        "a.fits.fz",
        lambda: coadd(ZNAXIS1=100_000, ZNAXIS2=100_000),
    ),
    _bomb("tiles of 10^18 pixels", _COADD, "a.fits.fz", lambda: coadd(ZTILE1=10**9, ZTILE2=10**9)),
    _bomb("more pixels than tiles", _COADD, "a.fits.fz", lambda: coadd(ZNAXIS1=8000, ZNAXIS2=8000)),
    _bomb("a block of no pixels", _COADD, "a.fits.fz", lambda: coadd(ZVAL1=0)),
    _bomb("pixels of 10^9 bytes", _COADD, "a.fits.fz", lambda: coadd(ZVAL2=10**9)),
    _bomb("a seed far outside", _COADD, "a.fits.fz", lambda: coadd(ZDITHER0=-(10**9))),
    _bomb("a tile of 2 GB", _COADD, "a.fits.fz", descriptor_beyond),
    _bomb("a tile that unpacks to 2 GB", _COADD, "a.fits.fz", gzip_tile),
    _bomb(
        "a cutout that unpacks to 4 GB",
        _CUT,
        "a.fits.gz",
        lambda: zeros_gzip(4 * GIGABYTE, image_header(1 << 15, 1 << 15)),
    ),
    _bomb(
        "a table that unpacks to 4 GB",
        _FITS,
        "a.fits.gz",
        lambda: zeros_gzip(4 * GIGABYTE, PRIMARY + table_header(1 << 28, 16, "D")),
    ),
    _bomb(
        "bricks that unpack to 4 GB",
        _TABLE,
        "a.fits.gz",
        lambda: zeros_gzip(4 * GIGABYTE, PRIMARY + table_header(1 << 28, 16, "D")),
    ),
    _bomb("a line of 4 GB", _CSV, "a.csv.gz", lambda: zeros_gzip(4 * GIGABYTE, b"ra,dec\n")),
    _bomb("a header line of 4 GB", _CSV, "a.csv.gz", lambda: zeros_gzip(4 * GIGABYTE, b"ra,dec")),
    _bomb("a billion lines", _CSV, "a.csv.gz", lambda: _gz(b"ra,dec\n" + b"\n" * (1 << 27))),
    _bomb("a billion comments", _CSV, "a.csv.gz", lambda: _gz(b"#\n" * (1 << 20) + b"ra,dec\n")),
    _bomb("a million columns", _CSV, "a.csv", lambda: b"ra,dec," + b"x," * 1_000_000 + b"\n1,2\n"),
    _bomb("a billion rows of the same", _PARQUET, "a.parquet", lambda: many_rows(1 << 25)),
    _bomb("a word of 4 MB in each row", _PARQUET, "a.parquet", long_word),
    Bomb("a table of paths of 4 MB each", _of("table of paths"), _listed),
    _bomb(
        "a billion laughs",
        _VOT,
        "a.xml",
        lambda: votable(
            "<DATA><TABLEDATA><TR><TD>&a9;</TD><TD>1</TD></TR></TABLEDATA></DATA>", laughs()
        ),
    ),
    _bomb(
        "a file of this machine",
        _VOT,
        "a.xml",
        lambda: votable('<DATA><BINARY><STREAM href="file:///etc/passwd"/></BINARY></DATA>'),
    ),
    _bomb(
        "data of another host",
        _VOT,
        "a.xml",
        lambda: votable('<DATA><FITS><STREAM href="http://127.0.0.1:9/x"/></FITS></DATA>'),
    ),
    _bomb(
        "an outer entity",
        _VOT,
        "a.xml",
        lambda: votable(
            "<DATA><TABLEDATA><TR><TD>&x;</TD><TD>1</TD></TR></TABLEDATA></DATA>",
            '<!DOCTYPE VOTABLE [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        ),
    ),
    _bomb(
        "10^11 rows told",
        _VOT,
        "a.xml",
        lambda: votable("<DATA><TABLEDATA/></DATA>", rows=' nrows="100000000000"'),
    ),
    _bomb(
        "cells of 10^9 numbers",
        _VOT,
        "a.xml",
        lambda: votable(
            '<FIELD name="x" datatype="double" arraysize="1000000000"/>'
            f'<DATA><BINARY><STREAM encoding="base64">{_B64}</STREAM></BINARY></DATA>'
        ),
    ),
    _bomb(
        "50,000 rows of 10,000 numbers",
        _VOT,
        "a.xml",
        lambda: votable(
            '<FIELD name="x" datatype="double" arraysize="10000"/><DATA><TABLEDATA>'
            + "<TR/>" * 50_000
            + "</TABLEDATA></DATA>"
        ),
    ),
    _bomb(
        "100,000 columns",
        _VOT,
        "a.xml",
        lambda: votable(
            '<FIELD name="x" datatype="double"/>' * 100_000 + "<DATA><TABLEDATA/></DATA>"
        ),
    ),
    _bomb(
        "elements 100,000 deep",
        _VOT,
        "a.xml",
        lambda: votable("<DESCRIPTION>" + "<A>" * 100_000 + "</A>" * 100_000 + "</DESCRIPTION>"),
    ),
    _bomb("YAML merges", _ECSV, "a.ecsv", lambda: ecsv(yaml_laughs(merge=True))),
    _bomb("YAML references", _ECSV, "a.ecsv", lambda: ecsv(yaml_laughs(merge=False))),
    _bomb(
        "a YAML tag that runs something",
        _ECSV,
        "a.ecsv",
        lambda: ecsv("meta: !!python/object/apply:os.system ['touch /tmp/xsaga-owned']"),
    ),
    _bomb(
        "an array of objects in YAML",
        _ECSV,
        "a.ecsv",
        lambda: ecsv(
            "meta: !numpy.ndarray {buffer: !!binary gANdcQAu, dtype: object, order: C,"
            " shape: !!python/tuple [1]}"
        ),
    ),
    _bomb(
        "an ECSV header of 50 MB",
        _ECSV,
        "a.ecsv",
        lambda: ecsv("meta: {a: 1}\n" + "x\n" * 1_000_000),
    ),
    _bomb(
        "an ECSV file that is gzip",
        _ECSV,
        "a.ecsv",
        lambda: zeros_gzip(4 * GIGABYTE, ecsv("meta: {}")),
    ),
    Bomb("pixels of 10^15 cutouts", read_store, npy_tile("(1000000000000000, 3, 48, 48)")),
    Bomb("an array of objects", read_store, npy_tile("(1, 3, 48, 48)", "'|O'")),
    Bomb(
        "a tensor of 10^18 numbers",
        _MODEL,
        model(
            lambda: tensor_header(
                {"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4 * 10**18]}}
            )
        ),
    ),
    Bomb("a header of 10^18 bytes", _MODEL, model(lambda: struct.pack("<Q", 10**18) + b"{}")),
    Bomb("a network of 10^12 weights", _MODEL, model(one_tensor, architecture=HUGE)),
    Bomb(
        "a network of 512 blocks",
        _MODEL,
        model(
            one_tensor,
            architecture=HUGE | {"stage_channels": [8] * 8},
        ),
    ),
    Bomb("100 members", _MODEL, model(one_tensor, members=100)),
)
"""All of them."""
