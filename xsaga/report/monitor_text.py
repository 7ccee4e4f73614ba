"""What the monitor found, as text for a terminal, from the content of its ``monitor.json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NIGHTS_SHOWN = 14
"""The last nights; all are in the table."""

_NO_VALUE = "–"
_LABEL = 34

Content = Mapping[str, Any]


def monitor_text(content: Content) -> str:
    """Write the tables."""
    blocks = [
        _head(content),
        _spectra(content["spectra"]),
        _tiers(content),
        _gains(content),
        _nights(content),
        _calibration(content),
        "\n".join(f"note: {words}" for words in content["notes"]),
    ]
    return "\n\n".join(block for block in blocks if block)


def near_words(content: Content) -> str:
    """Say what near is."""
    return f"z < {content['z_limit']:g}"


def drift_words(content: Content) -> str:
    """Say what the sequential test says."""
    drift = content["drift"]
    if drift is None or not drift["nights"]:
        return ""
    rate = f"{drift['alpha']:.2g}"
    if drift["alarm_night"] is None:
        return (
            f"no alarm: e-value {number(drift['nights'][-1]['e_value'], 3)}, alarm at "
            f"{number(drift['alarm_level'], 3)} (chance of ever a false one: {rate})"
        )
    return (
        f"ALARM on {drift['alarm_night']}: {drift['direction']} found than p_lowz says, since "
        f"about {drift['since']}; odds since then "
        f"{interval(drift['odds_factor_since'], 3)} times those said (chance of ever a false "
        f"alarm: {rate})"
    )


def number(value: float | None, digits: int) -> str:
    """Write a number with so many digits; a dash where it is not known."""
    if value is None:
        return _NO_VALUE
    if value and abs(value) >= 10**digits:
        return f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.1e}"
    return f"{value:.{digits}g}"


def interval(estimate: Content, digits: int = 2) -> str:
    """Write an estimate with its interval: ``13 (6.1 – 28)``; ``> 4.2`` where it has no end."""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None and low is not None:
        return f"> {number(low, digits)}"
    if low is None:
        return number(value, digits)
    end = "∞" if high is None else number(high, digits)
    return f"{number(value, digits)} ({number(low, digits)} – {end})"


def percent(value: float | None) -> str:
    """Write a share in percent."""
    if value is None:
        return _NO_VALUE
    return f"{value * 100:.2f} %" if value < 0.0995 else f"{value * 100:.1f} %"


def _head(content: Content) -> str:
    lists, files = content["lists"], content["redshifts"]
    mark = "SIMULATED redshifts: " if content["simulated"] else ""
    named = "1 list"
    if len(lists) > 1:
        named = f"{len(lists):,} lists, {lists[0]['name']} … {lists[-1]['name']}"
    read = "1 file" if len(files) == 1 else f"{len(files):,} files"
    return (
        f"{mark}{near_words(content)} among the targets of {content['where']}\n"
        f"{named}; weights {', '.join(content['weights'])}; {read} of redshifts"
    )


def _spectra(fates: Content) -> str:
    rows = [
        ("spectra", fates["rows"]),
        ("  from before the first list", fates["before_first_list"]),
        ("  of no target", fates["of_no_target"]),
        ("  of targets", fates["of_targets"]),
        ("    by TARGETID", fates["by_targetid"]),
        ("    by position", fates["by_position"]),
        ("  of these without a good redshift", fates["not_good"]),
        ("  good, the first of its target", fates["first_good"]),
        ("  good, of a target that had one", fates["repeats"]),
    ]
    return "\n".join(
        f"{name:<{_LABEL}}{count:>12,}" for name, count in rows if count or name == "spectra"
    )


def _tiers(content: Content) -> str:
    entries = [*content["tiers"], {"tier": "all", "words": "", **content["all"]}]
    width = max(8, *(len(entry["words"]) for entry in entries))
    near = near_words(content)
    head = f"{'tier':<5}{'':<{width}}{'targets':>11}{'observed':>10}{'good z':>10}{near:>10}"
    lines = [f"{head}{'share':>9}{'95 %':>20}{'expected':>10}{'found/expected':>22}"]
    for entry in entries:
        share = entry["share"]
        ends = f"{percent(share['low'])} – {percent(share['high'])}" if entry["good"] else _NO_VALUE
        over = entry["found_over_expected"]
        lines.append(
            f"{entry['tier']!s:<5}{entry['words']:<{width}}{entry['targets']:>11,}"
            f"{entry['observed']:>10,}{entry['good']:>10,}{entry['lowz']:>10,}"
            f"{percent(share['value']):>9}{ends:>20}{_expected(entry['expected']):>10}"
            f"{interval(over, 2):>22}"
        )
    told = ", ".join(f"{each['by']} {each['share'] * 100:.1f} %" for each in content["published"])
    lines.append(f"published by DESI LOW-Z, z < 0.03: {told}")
    lines.append("a share is of the targets with a good redshift; each target counts once")
    lines += list(_failures(entries))
    return "\n".join(lines)


def _failures(entries: list[Content]) -> Iterator[str]:
    for entry in entries[:-1]:
        if entry["not_good"]:
            told = ", ".join(f"{count:,} {why}" for why, count in entry["not_good"].items())
            yield (
                f"tier {entry['tier']} without a good redshift: {told} "
                f"(success {percent(entry['success']['value'])})"
            )


def _gains(content: Content) -> str:
    reference = content["reference"]
    kind = {tier["tier"]: tier["words"] for tier in content["tiers"]}
    lines = []
    for gain in content["gains"]:
        over = gain["over"]
        name = f"tier {over[0]}" if len(over) == 1 else f"tiers {', '.join(map(str, over))}"
        words = " and ".join(kind[tier] for tier in over if kind[tier])
        ratio = gain["ratio"]
        if ratio["value"] is None and ratio["low"] is None:
            continue
        lines.append(
            f"tier {gain['tier']} finds {interval(ratio, 2)} times the share of {name}"
            f"{f' ({words})' if words else ''}"
        )
    if lines and not reference["photometric"]:
        lines.append("no tier is named after photometric cuts: the last one stands for them")
    return "\n".join(lines)


def _nights(content: Content) -> str:
    tiers = [entry["tier"] for entry in content["tiers"]]
    nights: dict[str, dict[int, Content]] = {}
    for row in content["nights"]:
        nights.setdefault(row["night"], {})[row["tier"]] = row
    e_values = {
        each["night"]: each["e_value"] for each in (content["drift"] or {"nights": []})["nights"]
    }
    if not nights:
        return ""
    near = near_words(content)
    heads = "".join(f"{f'tier {tier}':>16}" for tier in tiers)
    lines = [f"{f'{near} / good z':<20}{heads}{'expected':>11}{'e-value':>10}"]
    shown = list(nights)[-NIGHTS_SHOWN:]
    if len(nights) > len(shown):
        lines.append(f"… {len(nights) - len(shown):,} earlier nights are in monitor.csv")
    for night in shown:
        rows = nights[night].values()
        counts = [f"{row['lowz']:,} / {row['good']:,}" for row in rows]
        cells = "".join(f"{each:>16}" for each in counts)
        told = [row["expected"] for row in rows]
        expected = None if None in told else sum(told)
        e_value = number(e_values.get(night), 3)
        lines.append(f"{night:<20}{cells}{_expected(expected):>11}{e_value:>10}")
    return "\n".join(lines)


def _calibration(content: Content) -> str:
    calibration = content["calibration"]
    if calibration is None or not calibration["redshifts"]:
        return ""
    left_out = calibration["unfamiliar_left_out"]
    lines = [
        f"p_lowz: {calibration['lowz']:,} found, {_expected(calibration['expected'])} expected: "
        f"{interval(calibration['found_over_expected'], 3)} times; odds "
        f"{interval(calibration['odds_factor'], 3)} times those said"
        + (f"; {left_out:,} UNFAMILIAR left out" if left_out else "")
    ]
    lines.append(f"{'p_lowz':>17}{'said':>10}{'found':>10}{'95 %':>21}{'n':>10}")
    for each in calibration["reliability"][-1]["bins"]:
        found = each["observed"]
        lines.append(
            f"{each['low']:8.4f} – {each['high']:6.4f}{each['mean_probability']:10.4f}"
            f"{found['value']:10.4f}{found['low']:12.4f} – {found['high']:6.4f}"
            f"{each['sources']:10,}"
        )
    lines.append(f"drift: {drift_words(content)}")
    return "\n".join(lines)


def _expected(value: float | None) -> str:
    return _NO_VALUE if value is None else f"{value:,.1f}"
