"""A simulated month: 30 nights of `xsaga nightly` and `xsaga monitor` over a SIMULATED sky.

Each evening the command runs as cron would run it; each night a pretend survey puts fibers on the
first targets of the latest list and reads their redshifts from the simulated truth; these come in
a night late. New sweep files come on night 8; the command is killed on nights 5 and 19 and the
next night goes on; the redshift file of night 12 is cut short and mended a night later; night 16
brings other weights.

Checked: the ledger adds up to each list, no target is in a list twice, none observed again, every
scored source ends as target or with a reason; and the monitor's share of z < 0.03 holds the truth
of the same tier in its interval.

    python benchmarks/simulated_month.py SKY FOLDER --weights FIRST --upgrade SECOND
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.table import Table, vstack

NIGHTS, FIBERS = 30, 40
FIRST = date(2026, 12, 1)
KILLED, CORRUPT, UPGRADE, NEW_SWEEPS = (5, 19), 12, 16, 8
REDSHIFT_SUCCESS = 0.95
XSAGA = (sys.executable, "-m", "xsaga")


def night_of(number: int) -> str:
    """Give the date of a night, 1 being the first."""
    return (FIRST + timedelta(days=number - 1)).isoformat()


def configuration(sky: Path, folder: Path) -> Path:
    """Write what the cron job is given."""
    path = folder / "lowz.toml"
    path.write_text(
        f"""[catalog]
path = ["catalog/*.fits"]
[cuts]
name = "desi-lowz"
[imaging]
bricks = "{sky.absolute()}"
[model]
weights = "weights"
[exclude]
redshifts = ["redshifts/*.fits"]
observed = ["observed/*.fits"]
""",
        encoding="utf-8",
    )
    for name in ("catalog", "redshifts", "observed"):
        (folder / name).mkdir()
    return path


def replaced(source: Path, target: Path) -> None:
    """Put a folder of weights in the place of another."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def run(arguments: list[str], kill_after: float | None = None) -> dict[str, object]:
    """Run a command to its end, or kill it; give code, output, seconds and memory."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [*XSAGA, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        output, errors = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        output, errors = process.communicate()
    return {
        "code": process.returncode,
        "output": output,
        "errors": errors,
        "seconds": round(time.monotonic() - begun, 1),
    }


def observe(out: Path, truth: pd.DataFrame, seen: set[int], rng: np.random.Generator) -> Table:
    """Put fibers on the first targets of the latest list that have had none."""
    listed = pd.read_parquet(out / "latest" / "targets.parquet", columns=["source_id", "ra", "dec"])
    new = listed[~listed["source_id"].isin(seen)].head(FIBERS)
    true = truth.reindex(new["source_id"])
    good = (rng.uniform(size=len(new)) < REDSHIFT_SUCCESS) & np.isfinite(true["z"].to_numpy())
    return Table(
        {
            "TARGETID": new["source_id"].to_numpy(),
            "TARGET_RA": new["ra"].to_numpy(),
            "TARGET_DEC": new["dec"].to_numpy(),
            "Z": np.where(good, true["z"].fillna(-1.0).to_numpy(), -1.0),
            "ZWARN": np.where(good, 0, 4),
            "DELTACHI2": np.where(good, 100.0, 3.0),
            "SPECTYPE": np.where(true["is_star"].to_numpy(), "STAR", "GALAXY").astype("S6"),
        },
        meta={"SIMULAT": True},
    )


def two_halves(sky: Path) -> tuple[Table, Table]:
    """Split the catalog at the middle of its right ascensions."""
    table = vstack([Table.read(path) for path in sorted((sky / "sweep").rglob("*.fits"))])
    west = table["RA"] < np.median(table["RA"])
    return table[west], table[~west]


def truth_of(sky: Path) -> pd.DataFrame:
    """Read the true redshift of every catalogued source."""
    table = pd.read_parquet(sky / "redshifts-simulated.parquet")
    named = "source_id" if "source_id" in table else "label_id"
    star = table["kind"].eq("star") if "kind" in table else pd.Series(False, index=table.index)
    frame = pd.DataFrame({"z": table["z"], "is_star": star.to_numpy()})
    frame.index = pd.Index(table[named])
    return frame[~frame.index.duplicated()]


def reconcile(out: Path) -> dict[str, int]:
    """Check that the ledger adds up to every list and that no target is in a list twice."""
    lists = sorted(path for path in (out / "lists").iterdir() if path.is_dir())
    have: set[int] = set()
    totals = {"lists": len(lists), "added": 0, "removed": 0, "changed": 0}
    for folder in lists:
        ids = pd.read_parquet(folder / "targets.parquet", columns=["source_id"])["source_id"]
        assert ids.is_unique, folder
        changes = pd.read_parquet(folder / "changes.parquet")
        added = set(changes.loc[changes["what"] == "added", "source_id"])
        removed = set(changes.loc[changes["what"] == "removed", "source_id"])
        assert not added & have, folder
        assert removed <= have, folder
        have = (have | added) - removed
        assert have == set(ids), folder
        rest = pd.read_parquet(folder / "not-targets.parquet", columns=["source_id"])["source_id"]
        assert rest.is_unique, folder
        assert not set(rest) & have, folder
        totals["added"] += len(added)
        totals["removed"] += len(removed)
        totals["changed"] += int((changes["what"] == "changed").sum())
    totals["last list"] = len(have)
    return totals


def month(sky: Path, folder: Path, first: Path, upgrade: Path) -> None:
    """Live through the month."""
    folder.mkdir(parents=True)
    config, out = configuration(sky, folder), folder / "lowz"
    replaced(first, folder / "weights")
    halves = two_halves(sky)
    truth, rng, chance = truth_of(sky), np.random.default_rng(7), random.Random(11)
    seen: set[int] = set()
    waiting: dict[int, Table] = {}
    corrupted: Path | None = None
    rows = []
    for number in range(1, NIGHTS + 1):
        night = night_of(number)
        if number in (1, NEW_SWEEPS):
            half = halves[number == NEW_SWEEPS]
            half.write(folder / "catalog" / f"sources-simulated-{number}.fits")
        if number == UPGRADE:
            replaced(upgrade, folder / "weights")
        if corrupted is not None:  # somebody mends it the next day
            waiting[number - 3].write(corrupted, overwrite=True)
            corrupted = None
        late = waiting.get(number - 2)
        if late is not None:
            path = folder / "redshifts" / f"zcat-simulated-{night_of(number - 2)}.fits"
            late["LASTNIGHT"] = int(night_of(number - 2).replace("-", ""))
            late.write(path)
            if number == CORRUPT:
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
                corrupted = path
        command = ["nightly", str(config), "--out", str(out), "--night", night, "--json"]
        command += ["--export", "desi-targets"]
        kill = chance.uniform(6, 14) if number in KILLED else None
        done = run(command, kill)
        facts = json.loads(str(done["output"])) if str(done["output"]).startswith("{") else {}
        rows.append(
            {
                "night": number,
                "what": "killed" if done["code"] == -signal.SIGKILL else "",
                "code": done["code"],
                "seconds": done["seconds"],
                "peak_MiB": facts.get("peak_memory_mib"),
                "list": facts.get("list", ""),
                "targets": facts.get("targets"),
                "tiles": facts.get("tiles"),
            }
        )
        print(rows[-1], str(done["errors"]).strip().splitlines()[-1:], flush=True)
        if (out / "latest").exists():
            spectra = observe(out, truth, seen, rng)
            ids = set(spectra["TARGETID"].tolist())
            assert not ids & seen
            seen |= ids
            waiting[number] = spectra
            Table({"TARGETID": spectra["TARGETID"]}).write(
                folder / "observed" / f"observed-simulated-{night}.fits"
            )
    print("reconciled:", reconcile(out))
    files = [str(path) for path in sorted((folder / "redshifts").glob("*.fits"))]
    options = [word for path in files for word in ("--redshifts", path)]
    watched = run(["monitor", str(out), *options, "--out", str(folder / "monitor")])
    print(watched["output"], watched["errors"])
    pd.DataFrame(rows).to_csv(folder / "nights.csv", index=False)
    judge(folder, truth, seen)


def judge(folder: Path, truth: pd.DataFrame, seen: set[int]) -> None:
    """Check that the monitor's share of each tier holds the share of all observed in truth."""
    told = json.loads((folder / "monitor" / "monitor.json").read_text(encoding="utf-8"))
    first = pd.concat(
        [
            pd.read_parquet(path / "targets.parquet", columns=["source_id", "tier"])
            for path in sorted((folder / "lowz" / "lists").iterdir())
        ]
    ).drop_duplicates("source_id", keep="first")
    tier = first.set_index("source_id")["tier"].reindex(sorted(seen))
    near = (truth["z"].reindex(tier.index) < 0.03) & ~truth["is_star"].reindex(tier.index)
    print("observed:", len(seen), "near in truth by tier when first listed:")
    print(near.groupby(tier).agg(["sum", "count", "mean"]))
    print(json.dumps(told.get("tiers", told), indent=1)[:3000])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sky", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--upgrade", type=Path, required=True)
    given = parser.parse_args()
    month(given.sky, given.folder, given.weights, given.upgrade)
