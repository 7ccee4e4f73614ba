from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.target_samples import provenance
from xsaga.errors import TargetsError
from xsaga.targets.provenance import installed_versions, sha256_of, without_credentials


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://user:secret@host/a", "https://host/a"),
        ("https://user:s@cr@t@host:8080/a b@c", "https://host:8080/a b@c"),
        ("ftp://user@host", "ftp://host"),
        ("x = 'https://u:p@h/a' # y", "x = 'https://h/a' # y"),
        ("https://h/a?token=abc&x=1", "https://h/a?token=***&x=1"),
        (
            "https://h/a?X-Amz-Credential=AK%2F1&X-Amz-Signature=ff&part=2",
            "https://h/a?X-Amz-Credential=***&X-Amz-Signature=***&part=2",
        ),
        ("https://h/a?sig=ab%3D&se=1", "https://h/a?sig=***&se=1"),
        ("https://h/a?API_KEY=q", "https://h/a?API_KEY=***"),
        ("https://h/a?ra=1&dec=-2&layer=ls-dr9", "https://h/a?ra=1&dec=-2&layer=ls-dr9"),
        ("mail me@example.org, a/b@c", "mail me@example.org, a/b@c"),
    ],
)
def test_credentials_are_removed(text: str, clean: str) -> None:
    assert without_credentials(text) == clean


def test_no_part_of_a_provenance_keeps_a_secret() -> None:
    whole = provenance()
    assert "secret" not in json.dumps(whole.to_dict())
    assert "secret" not in repr(whole)
    assert "secret" not in repr(whole.items())


def test_to_dict_is_plain_and_complete() -> None:
    whole = provenance()
    record = json.loads(json.dumps(whole.to_dict()))
    assert record == whole.to_dict()
    assert record["weights"] == {
        "name": "provisional",
        "sha256": "ab" * 32,
        "simulated": True,
        "z_limit": 0.02,
    }
    assert [each["size"] for each in record["inputs"]] == [12345, 5]
    assert record["packages"]["numpy"] == "2.1.0"


def test_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"xsaga" * 100_000)
    assert sha256_of(path) == hashlib.sha256(b"xsaga" * 100_000).hexdigest()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TargetsError, match="absent: cannot be read"):
        sha256_of(tmp_path / "absent")


def test_versions_name_what_is_installed_only() -> None:
    found = dict(installed_versions(("numpy", "no-such-package-anywhere")))
    assert list(found) == ["python", "numpy"]
    assert found["numpy"][0].isdigit()
