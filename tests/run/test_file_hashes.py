from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from xsaga.errors import RunError
from xsaga.run.file_hashes import ABSENT, FileHashes


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_counts_by_content(tmp_path: Path) -> None:
    file, hashes = tmp_path / "a.fits", FileHashes(tmp_path / "hashes.json")
    assert hashes.of(file) == ABSENT
    file.write_bytes(b"one")
    assert hashes.of(file) == sha256(b"one")
    os.utime(file, ns=(10**18, 10**18))  # touched
    assert hashes.of(file) == sha256(b"one")
    file.write_bytes(b"two")
    assert hashes.of(file) == sha256(b"two")


def test_what_is_known_is_kept_and_trusted_by_size_and_time(tmp_path: Path) -> None:
    file, store = tmp_path / "a.fits", tmp_path / "hashes.json"
    file.write_bytes(b"one")
    os.utime(file, ns=(10**18, 10**18))
    hashes = FileHashes(store)
    (before,) = hashes.inputs([file])
    hashes.save()
    file.write_bytes(b"two")
    os.utime(file, ns=(10**18, 10**18))
    assert FileHashes(store).inputs([file]) == (before,)  # it is not read again
    store.write_text("[1, 2]", encoding="utf-8")
    assert FileHashes(store).of(file) == sha256(b"two")


def test_inputs_must_be_there(tmp_path: Path) -> None:
    hashes = FileHashes(tmp_path / "hashes.json")
    with pytest.raises(RunError, match=r"absent\.fits: No such file"):
        hashes.inputs([tmp_path / "absent.fits"])
    with pytest.raises(RunError, match="it is not a file"):
        hashes.of(tmp_path)
