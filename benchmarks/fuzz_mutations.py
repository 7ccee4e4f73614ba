"""Ways to damage a file: the mutations of `benchmarks/fuzz.py`, by kind of file."""

from __future__ import annotations

import gzip
import json
import random
import re
import struct
from collections.abc import Callable
from typing import Any

NUMBERS = (
    *("0", "-1", "1", "2", "3", "7", "255", "65536", "1000000", "2147483647", "2147483648"),
    *("4294967296", "9223372036854775807", "-9223372036854775808", "99999999999999999999"),
    *("1.5", "-0.0", "1E308", "-1E308", "1e400", "NaN", "inf", "-inf", "1" * 400),
)
WORDS = (
    *("T", "F", "''", "'text'", "null", "true", "''''", '"', "[]", "{}", "../../etc/passwd"),
    *("/dev/zero", "\x1b[31mred\x1b[0m", "\u202eevil", "a\nb", "\0", "é" * 50, "x" * 70_000),
)
FORMS = (
    *("'1000000000D'", "'PD(9999999)'", "'QB      '", "'1PB(0)  '", "'X       '", "'0A      '"),
    *("'-1J     '", "'99999A  '", "'E       '", "'K       '", "'HCOMPRESS_1'", "'GZIP_1  '"),
    *("'PLIO_1  '", "'GZIP_2  '", "'NOCOMPRESS'", "'(3,4)   '", "'(99999999,99999999)'"),
)
CARDS = re.compile(
    rb"NAXIS\d*|BITPIX|TFORM\d+|TDIM\d+|TFIELDS|PCOUNT|GCOUNT|THEAP|T(?:ZERO|SCAL|NULL|TYPE)\d+"
    rb"|Z(?:NAXIS|TILE)\d*|ZCMPTYPE|ZBITPIX|ZNAME\d|ZVAL\d|ZQUANTIZ|ZDITHER0|ZIMAGE|BSCALE|BZERO"
    rb"|BLANK|C(?:RVAL|RPIX|TYPE|DELT)\d|CD\d_\d|BANDS?\d*|XTENSION|SIMPLE|EXTEND|ORDERING|MOC\w+"
)

Random = random.Random


def mutated(name: str, content: bytes, rng: Random) -> bytes:
    """Damage the content of a file, by what its name says it is."""
    if name.endswith(".gz"):
        if rng.random() < 0.3:
            return any_bytes(content, rng)
        inner = mutated(name.removesuffix(".gz"), gzip.decompress(content), rng)
        return gzip.compress(inner, 1, mtime=0)
    kind = next((change for suffixes, change in _KINDS if name.endswith(suffixes)), any_bytes)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = any_bytes(content, rng) if rng.random() < 0.25 else kind(content, rng)
    return content


def any_bytes(content: bytes, rng: Random) -> bytes:
    """Flip bits, overwrite, cut, insert, repeat or move runs of bytes."""
    data = bytearray(content)
    size = len(data)
    at = rng.randrange(size + 1)
    length = min(size - at, int(2 ** rng.uniform(0, 12)))
    which = rng.randrange(8)
    if which == 0 and size:
        for _ in range(rng.choice((1, 1, 2, 8, 64))):
            data[rng.randrange(size)] ^= 1 << rng.randrange(8)
    elif which == 1:
        data[at : at + length] = rng.randbytes(length)
    elif which == 2:
        data[at : at + length] = rng.choice((b"\0", b"\xff", b" ", b"9")) * length
    elif which == 3:
        del data[at:]
    elif which == 4:
        del data[at : at + length]
    elif which == 5:
        data[at:at] = rng.randbytes(length)
    elif which == 6:
        data[at:at] = data[at : at + length] * rng.choice((1, 2, 50))
    else:
        end = rng.randrange(size + 1)
        data[end:end] = data[at : at + length]
    return bytes(data)


def fits_cards(content: bytes, rng: Random) -> bytes:
    """Give cards of headers other values; sometimes damage the data behind them."""
    data = bytearray(content)
    places = [
        at for at in range(0, len(data) - 79, 80) if CARDS.fullmatch(data[at : at + 8].strip())
    ]
    if not places or rng.random() < 0.2:
        return any_bytes(content, rng)
    at = rng.choice(places)
    key = bytes(data[at : at + 8]).strip().decode("ascii", "replace")
    if re.match(r"TFORM|ZCMPTYPE|TDIM|ZQUANTIZ|TTYPE|BAND|CTYPE|XTENSION|ORDERING", key):
        value = rng.choice((*FORMS, *NUMBERS[:6]))
    elif rng.random() < 0.3:
        value = str(_near(bytes(data[at + 10 : at + 30]), rng))
    else:
        value = rng.choice((*NUMBERS, *WORDS[:4]))
    card = f"{key:<8}= {value:>20}".encode("ascii", "replace")[:80].ljust(80)
    if rng.random() < 0.1:
        data[at : at + 80] = b""  # also puts all that follows out of place
        data += b" " * 80
    else:
        data[at : at + 80] = card
    return bytes(data)


def _near(value: bytes, rng: Random) -> int:
    number = int(value) if value.strip().lstrip(b"-").isdigit() else 0
    return rng.choice((number - 1, number + 1, number * 2, -number, number // 2, number * 1000))


def text(content: bytes, rng: Random) -> bytes:
    """Change tokens and lines; insert what no text should hold."""
    which = rng.randrange(10)
    if which < 5:
        tokens = list(re.finditer(rb"[^\s,=\[\]{}<>\"':]+", content))
        if tokens:
            token = rng.choice(tokens)
            new = rng.choice((*NUMBERS, *WORDS)).encode("utf-8", "surrogatepass")
            return content[: token.start()] + new + content[token.end() :]
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    if which == 5:
        lines.insert(at, rng.choice(lines))
    elif which == 6:
        del lines[at]
    elif which == 7:
        lines[at] = rng.choice(
            (
                b"[" * 5000 + b"]" * 5000,
                b"{" * 2000,
                b"- " * 3000,
                b"<A>" * 3000,
                b"x" * 300_000,
                b"," * 50_000,
                b"a.b.c." * 3000 + b"d = 1",
                b"# !!python/object/apply:os.system ['true']",
                b"# - {name: a, datatype: !numpy.ndarray {buffer: !!binary AAAA, dtype: object}}",
                b"# meta: !!omap [" + b"{a: " * 500,
                b'<!DOCTYPE V [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>',
                b'<STREAM href="file:///etc/passwd"/>',
            )
        )
    elif which == 8:
        place = rng.randrange(len(lines[at]) + 1)
        nasty = rng.choice((b"\0", b"\xff\xfe", b"\x1b[2J", b"\r", b"\xc3(", b"\xe2\x80\xae", b'"'))
        lines[at] = lines[at][:place] + nasty + lines[at][place:]
    else:
        return rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\n", b" ")) + content
    return b"\n".join(lines)


def json_text(content: bytes, rng: Random) -> bytes:
    """Change a value, key or type anywhere in a JSON document."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return text(content, rng)
    if rng.random() < 0.2:
        return text(content, rng)
    nodes: list[tuple[Any, Any]] = []
    stack = [document]
    while stack:
        node = stack.pop()
        children = node.items() if isinstance(node, dict) else enumerate(node)
        for key, child in children:
            nodes.append((node, key))
            if isinstance(child, dict | list):
                stack.append(child)
    if not nodes:
        return rng.choice((b"[]", b"{}", b"3", b'"x"', b"null"))
    parent, key = rng.choice(nodes)
    mark = "@@@"
    if isinstance(parent, dict) and rng.random() < 0.3:
        value = parent.pop(key)
        if rng.random() < 0.5:
            parent[rng.choice(("x", "\x1b[31m", "é" * 300, "", str(key) + " "))] = value
    else:
        parent[key] = mark
    raw = rng.choice(
        (
            *NUMBERS,
            *map(json.dumps, WORDS),
            *("[]", "{}", "null", "[null]", "true", '[["a"]]', "-5", "0.5", '"0"'),
            "[" * 3000 + "]" * 3000,
        )
    )
    return json.dumps(document).replace(f'"{mark}"', raw).encode("utf-8", "surrogatepass")


def npy(content: bytes, rng: Random) -> bytes:
    """Change the header of an array file."""
    if len(content) < 10:
        return any_bytes(content, rng)
    length = struct.unpack("<H", content[8:10])[0]
    header = content[10 : 10 + length].decode("latin1")
    shape = rng.choice(
        (
            "(2**60,)",
            "(99999999999, 3, 48, 48)",
            "(-1, 3, 48, 48)",
            "()",
            "(0, 3, 48, 48)",
            "(1,)",
            "(" * 400 + ")" * 400,
            "(4294967296, 4294967296)",
            "(3.5,)",
            "('a',)",
            "(True, 3, 48, 48)",
        )
    )
    descr = rng.choice(("'|O'", "'<f8'", "'>f2'", "'|V9999999'", "'<U1'", "[('a', '|O')]", "'x'"))
    if rng.random() < 0.5:
        header = re.sub(r"'shape': \([^)]*\)", f"'shape': {shape}", header)
    else:
        header = re.sub(r"'descr': '[^']*'", f"'descr': {descr}", header)
    data = header.encode("latin1")
    return content[:8] + struct.pack("<H", len(data) & 0xFFFF) + data + content[10 + length :]


def safetensors(content: bytes, rng: Random) -> bytes:
    """Change the header of a file of tensors, with its length told rightly or not."""
    if len(content) < 8:
        return any_bytes(content, rng)
    length = struct.unpack("<Q", content[:8])[0]
    header = json_text(content[8 : 8 + length], rng)
    if rng.random() < 0.2:  # a key twice
        header = header[:-1] + b"," + header[1:]
    told = rng.choice((len(header),) * 6 + (0, 1, 2**63, len(content) * 2, len(header) // 2))
    return struct.pack("<Q", told) + header + content[8 + length :]


def parquet(content: bytes, rng: Random) -> bytes:
    """Damage the footer, or anything."""
    if rng.random() < 0.4 or len(content) < 12:
        return any_bytes(content, rng)
    footer = struct.unpack("<I", content[-8:-4])[0]
    start = max(4, len(content) - 8 - footer)
    part = bytearray(content[start:-8])
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not part:
            break
        at = rng.randrange(len(part))
        if rng.random() < 0.5:
            part[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        else:  # a huge varint
            part[at : at + 1] = b"\xff" * rng.choice((1, 4, 8)) + b"\x7f"
    told = len(part) if rng.random() < 0.8 else rng.choice((0, 2**31, 2**32 - 1, footer))
    return content[:start] + bytes(part) + struct.pack("<I", told) + b"PAR1"


_KINDS: tuple[tuple[tuple[str, ...], Callable[[bytes, Random], bytes]], ...] = (
    ((".fits", ".fz", ".fit"), fits_cards),
    ((".json",), json_text),
    ((".npy",), npy),
    ((".safetensors",), safetensors),
    ((".parquet",), parquet),
    ((".csv", ".ecsv", ".xml", ".vot", ".txt", ".toml", ".jsonl", ".properties"), text),
)
