"""Column maps: which column of an input holds what.

A map is a TOML file with a table ``[columns]`` that gives, for each name of
`xsaga.catalog.schema.INPUT_NAMES`, the input columns that may hold it. Names of input columns are
compared without regard to case and the first one that an input has is used. The maps that ship
with xsaga lie in ``catalogs/columns/``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xsaga.catalog.schema import INPUT_NAMES
from xsaga.errors import CatalogError, ConfigError, nearest_name
from xsaga.reading import read_toml, reason_of
from xsaga.shipped import catalogs_folder

COLUMN_OPTION = "--column"
"""Option by which most commands take a quantity from another column."""

AUTO = "auto"
"""Name that stands for "the shipped map that fits each input best"."""

_PREFERENCE = ("legacysurvey", "saga-dr3", "sdss", "minimal")
_SHOWN = 12
_TARGETID_PARTS = ("release", "brickid", "objid")


@dataclass(frozen=True)
class ColumnMap:
    """Which input columns may hold what.

    Parameters
    ----------
    name : str
        Name of the map, for messages.
    columns : mapping of str to tuple of str
        For each name of `INPUT_NAMES`, input columns in order of preference.
    overrides : mapping of str to str
        Input columns that must be used; it is an error when an input lacks one.
    """

    name: str
    columns: Mapping[str, tuple[str, ...]]
    overrides: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, available: Sequence[str]) -> dict[str, str]:
        """Find the columns of one input.

        Parameters
        ----------
        available : sequence of str
            Columns that the input has.

        Returns
        -------
        dict
            From names of `INPUT_NAMES` to columns of the input, for all that were found.

        Raises
        ------
        CatalogError
            When a column that an override names is absent.
        """
        by_lower = {column.lower(): column for column in reversed(available)}
        found = {
            name: by_lower[candidate.lower()]
            for name, candidates in self.columns.items()
            for candidate in reversed(candidates)
            if candidate.lower() in by_lower
        }
        for name, column in self.overrides.items():
            if column.lower() not in by_lower:
                raise CatalogError(
                    f"column '{column}', wanted for {name}, is absent: "
                    f"{nearest_name(column, available)}"
                )
            found[name] = by_lower[column.lower()]
        if not all(part in found for part in _TARGETID_PARTS):
            # Surveys use the name OBJID for other things; only the three together make an id.
            found.pop("objid", None)
        return found


def load_column_maps(
    name_or_path: str | Path = AUTO, overrides: Mapping[str, str] | None = None
) -> tuple[ColumnMap, ...]:
    """Load the column map to use, or all shipped ones to choose from.

    Parameters
    ----------
    name_or_path : str or Path
        ``auto``, the name of a shipped map (`shipped_map_names`) or the path of a TOML file.
    overrides : mapping of str to str, optional
        From names of `INPUT_NAMES` to input columns, as given by ``--column name=COLUMN``.

    Returns
    -------
    tuple of ColumnMap
        All shipped maps for ``auto``, else one.

    Raises
    ------
    CatalogError
        For an unknown map, an unknown name (the nearest known one is offered), or a malformed
        file.
    """
    overrides = dict(overrides or {})
    _refuse_unknown(overrides, COLUMN_OPTION)
    if str(name_or_path) == AUTO:
        maps = [_read_map(_shipped_path(name)) for name in _PREFERENCE]
    elif str(name_or_path) in shipped_map_names():
        maps = [_read_map(_shipped_path(str(name_or_path)))]
    elif Path(name_or_path).suffix == ".toml":
        maps = [_read_map(Path(name_or_path))]
    else:
        raise CatalogError(
            f"no column map '{name_or_path}': give a TOML file or a shipped map; "
            f"{nearest_name(str(name_or_path), (AUTO, *shipped_map_names()))}"
        )
    return tuple(replace(column_map, overrides=overrides) for column_map in maps)


def shipped_map_names() -> tuple[str, ...]:
    """Names of the column maps that ship with xsaga."""
    return tuple(sorted(path.stem for path in _shipped_path("*").parent.glob("*.toml")))


def shown_columns(available: Sequence[str]) -> str:
    """List the first columns of an input, for messages."""
    return ", ".join(available[:_SHOWN]) + (", …" if len(available) > _SHOWN else "")


def match_columns(
    maps: Sequence[ColumnMap], available: Sequence[str], where: str, option: str = COLUMN_OPTION
) -> tuple[str, dict[str, str]]:
    """Choose the map that finds most columns of one input.

    Parameters
    ----------
    maps : sequence of ColumnMap
        Maps to choose from; the earlier one wins a tie.
    available : sequence of str
        Columns that the input has.
    where : str
        Name of the input, for messages.
    option : str
        Option of the command that names a column, for messages.

    Returns
    -------
    name : str
        Name of the map.
    columns : dict
        From names of `INPUT_NAMES` to columns of the input; always has ``ra`` and ``dec``.

    Raises
    ------
    CatalogError
        When no map finds a position, or an override names a column that is absent.
    """
    try:
        resolved = [(column_map.name, column_map.resolve(available)) for column_map in maps]
    except CatalogError as error:
        raise CatalogError(f"{where}: {error}") from error
    complete = [(name, found) for name, found in resolved if {"ra", "dec"} <= found.keys()]
    if not complete:
        missing = [n for n in ("ra", "dec") if all(n not in found for _, found in resolved)]
        raise CatalogError(
            f"{where}: no column for {' or '.join(missing or ['ra', 'dec'])}; its columns are "
            f"{shown_columns(available)}; name one with {option} {(missing or ['ra'])[0]}=COLUMN"
        )
    return max(complete, key=lambda match: len(match[1]))


def _shipped_path(name: str) -> Path:
    return catalogs_folder() / "columns" / f"{name}.toml"


def _refuse_unknown(names: Iterable[str], where: str) -> None:
    for name in names:
        if name not in INPUT_NAMES:
            raise ConfigError(f"{where}: unknown name '{name}': {nearest_name(name, INPUT_NAMES)}")


def _read_map(path: Path) -> ColumnMap:
    try:
        content = read_toml(path)
    except OSError as error:
        raise CatalogError(f"{path}: cannot read this column map: {error.strerror}") from error
    except ValueError as error:
        raise CatalogError(f"{path}: not a TOML file: {reason_of(error)}") from error
    columns = content.get("columns")
    if not isinstance(columns, dict) or not columns:
        raise CatalogError(f"{path}: a column map needs a table [columns]")
    _refuse_unknown(columns, str(path))
    candidates: dict[str, tuple[str, ...]] = {}
    for name, value in columns.items():
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
            raise CatalogError(f"{path}: {name} must be a column name or a list of them")
        candidates[name] = tuple(listed)
    return ColumnMap(path.stem, candidates)
