from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xsaga import reading
from xsaga.errors import CatalogError
from xsaga.reading import (
    MeasuredGzip,
    TooLargeError,
    escaped,
    parse_json,
    parsing,
    printable,
    read_bytes,
    read_toml,
    reason_of,
    unpacked,
)


def describe(reason: str) -> CatalogError:
    return CatalogError(f"file: {reason}")


@given(st.text(max_size=40))
@settings(derandomize=True)
def test_what_is_shown_is_one_printable_line(text: str) -> None:
    assert printable(text).isprintable()
    assert escaped(text).isprintable()


def test_words_stay_and_escapes_show() -> None:
    assert printable("a\n  b") == "a b"
    assert escaped("é  ∞") == "é  ∞"
    assert printable("\x1b[31mred\x1b[0m \u202eevil") == r"\x1b[31mred\x1b[0m \u202eevil"


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (ValueError("bad\nmore"), "bad"),
        (AssertionError(), "AssertionError"),
        (MemoryError(), "more memory"),
        (FileNotFoundError(2, "x"), "no such file"),
        (RecursionError("deep"), "deep"),
    ],
)
def test_what_a_parser_raises_is_one_error(raised: Exception, words: str) -> None:
    with pytest.raises(CatalogError, match=rf"^file: .*{words}"), parsing(describe):
        raise raised


def test_own_errors_and_interruptions_pass() -> None:
    with pytest.raises(CatalogError, match=r"^ours$"), parsing(describe):
        raise CatalogError("ours")
    with pytest.raises(KeyboardInterrupt), parsing(describe):
        raise KeyboardInterrupt


def test_a_panic_of_rust_is_caught() -> None:
    panic = type("PanicException", (BaseException,), {})
    with pytest.raises(CatalogError, match="out of bounds"), parsing(describe):
        raise panic("index out of bounds")


def test_no_more_is_unpacked_than_the_limit(tmp_path: Path) -> None:
    packed = gzip.compress(bytes(100_000))
    assert unpacked(packed, 100_000) == bytes(100_000)
    assert unpacked(b"plain", 3) == b"plain"
    with pytest.raises(TooLargeError, match="gunzip"):
        unpacked(packed, 99_999)
    path = tmp_path / "a.gz"
    path.write_bytes(packed)
    with pytest.raises(TooLargeError):
        read_bytes(path, 50)
    with pytest.raises(EOFError):
        unpacked(packed[:-9])


def test_a_gzip_file_read_in_pieces_grows_in_proportion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "RATIO_FROM", 1 << 20)
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(1 << 20)))
    with io.BufferedReader(MeasuredGzip(path)) as stream:
        assert len(stream.read()) == 1 << 20
    path.write_bytes(gzip.compress(bytes(2 << 20)))
    with io.BufferedReader(MeasuredGzip(path)) as stream, pytest.raises(TooLargeError, match="200"):
        stream.read()


def test_json_and_toml_that_are_too_deep(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nested"):
        parse_json("[" * 100_000)
    path = tmp_path / "a.toml"
    path.write_text("a = " + "[" * 5000, encoding="utf-8")
    with pytest.raises(ValueError):
        read_toml(path)


@pytest.mark.parametrize("text", ["x" * 900_000, "a" + " " * 900_000, "a " * 400_000])
def test_toml_of_one_long_line_does_not_take_its_square(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="Expected '='"):  # it took an hour
        read_toml(path)


def test_a_long_message_is_cut() -> None:
    assert len(reason_of(ValueError("x" * 10_000))) < 400
