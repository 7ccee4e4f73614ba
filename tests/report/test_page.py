from __future__ import annotations

import sys
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.target_samples import provenance, ranked_targets
from xsaga.errors import MissingExtraError, RunError
from xsaga.report.facts import REQUIRED, ReportFacts
from xsaga.report.page import write_report
from xsaga.run.status import RunCounts

HOSTILE = "<script>alert('x')</script>\"&"

COUNTS = RunCounts(
    read=100,
    outside_footprint=40,
    rejected={"position is not a number": 3},
    duplicates=2,
    sources=55,
    failed_cuts=35,
    candidates=20,
    scored=18,
    failed={"no answer": 2},
)


def png(shade: int) -> bytes:
    stream = BytesIO()
    Image.fromarray(np.full((4, 4, 3), shade, dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def facts(count: int = 18, *, simulated: bool = True) -> ReportFacts:
    targets = ranked_targets(count)
    return ReportFacts(
        title="Circle 0.0, 0.7, 0.5",
        provenance=provenance(simulated=simulated),
        counts=COUNTS,
        cutflow=pd.DataFrame({"step": ["all", "r < 21"], "passed": [55, 20]}),
        targets=targets,
        failures=pd.DataFrame(
            {"source_id": np.array([2**62, 5]), "ra": [1.25, 2.5], "reason": ["no answer", None]}
        ),
        pictures={int(value): png(9) for value in targets["source_id"][:3]},
        warnings=("31 % of the footprint has no imaging",),
        top=5,
    )


class Page(HTMLParser):
    """What a browser would see: elements with attributes, and text."""

    VOID = frozenset({"meta", "img", "br", "link", "input"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(tmp_path: Path, made_from: ReportFacts) -> Page:
    path = write_report(made_from, tmp_path / "report" / "index.html")
    assert path == tmp_path / "report" / "index.html"
    page = Page(path)
    assert page.open == []
    return page


def test_the_page_shows_the_best_targets_in_order(tmp_path: Path) -> None:
    made_from = facts()
    page = page_of(tmp_path, made_from)
    best = [str(value) for value in made_from.targets["source_id"][:5]]
    places = [page.text.index(value) for value in best]
    assert places == sorted(places)
    assert str(made_from.targets["source_id"][5]) not in page.text
    assert f"{made_from.targets['p_lowz'][0]:.3f}" in page.text
    assert "The first 5 of 18." in page.text


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    page = page_of(tmp_path, facts())
    assert page.all("script") == []
    assert page.all("link") == []
    assert page.all("iframe") == []
    pictures = page.all("img")
    assert len(pictures) == 3
    assert all(str(each["src"]).startswith("data:image/png;base64,") for each in pictures)
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert "default-src 'none'" in str(policy)
    assert "no picture kept" in page.text
    assert "url(" not in (tmp_path / "report" / "index.html").read_text().replace("url(#field", "")


def test_each_target_links_to_its_place_in_the_viewer(tmp_path: Path) -> None:
    made_from = replace(facts(), viewer_layer="ls-dr10-grz")
    links = page_of(tmp_path, made_from).all("a")
    assert len(links) == 2 * made_from.top
    for link in links:
        assert "noopener" in str(link["rel"])
    parts = urlsplit(str(links[0]["href"]))
    query = {key: value[0] for key, value in parse_qs(parts.query).items()}
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "www.legacysurvey.org", "/viewer")
    assert float(query["ra"]) == pytest.approx(made_from.targets["ra"][0], abs=1e-6)
    assert float(query["dec"]) == pytest.approx(made_from.targets["dec"][0], abs=1e-6)
    assert query["layer"] == "ls-dr10-grz"


@pytest.mark.parametrize("simulated", [True, False])
def test_the_banner_is_there_when_weights_are_simulated(tmp_path: Path, simulated: bool) -> None:
    page = page_of(tmp_path, facts(simulated=simulated))
    assert ("SIMULATED WEIGHTS" in page.text) is simulated


def test_all_text_from_outside_is_escaped(tmp_path: Path) -> None:
    made_from = facts()
    targets = made_from.targets.assign(type=HOSTILE)
    dirty = replace(
        made_from,
        title=HOSTILE,
        targets=targets,
        warnings=(HOSTILE,),
        viewer_layer=HOSTILE,
        cutflow=pd.DataFrame({HOSTILE: [HOSTILE]}),
        failures=pd.DataFrame({"reason": [HOSTILE]}),
        counts=replace(COUNTS, rejected={HOSTILE: 3}, failed={HOSTILE: 2}),
        provenance=replace(
            made_from.provenance,
            command=HOSTILE,
            config_toml=HOSTILE,
            packages=((HOSTILE, HOSTILE),),
            weights=replace(made_from.provenance.weights, name=HOSTILE),
        ),
    )
    page = page_of(tmp_path, dirty)
    assert page.all("script") == []
    assert page.text.count("<script>alert('x')</script>\"&") >= 15


def test_counts_and_reasons_are_shown_and_add_up(tmp_path: Path) -> None:
    text = page_of(tmp_path, facts()).text
    for shown in (
        "read from the catalog 100",
        "position is not a number 3",
        "duplicates 2",
        "sources in the run 55",
        "no answer 2",
        "The counts add up.",
        "31 % of the footprint has no imaging",
    ):
        assert shown in text


def test_counts_that_do_not_add_up_are_said_so(tmp_path: Path) -> None:
    off = replace(COUNTS, sources=54, scored=17)
    text = page_of(tmp_path, replace(facts(), counts=off)).text
    assert "100 rows were read, but 99 left out or kept" in text
    assert "20 candidates, but 19 scored, failed or waiting" in text
    assert "The counts add up." not in text


def test_tables_keep_ids_whole_and_missing_text_blank(tmp_path: Path) -> None:
    text = page_of(tmp_path, facts()).text
    assert str(2**62) in text
    assert "nan" not in text.lower()
    assert "None" not in text


def test_a_long_list_of_failures_is_cut_and_counted(tmp_path: Path) -> None:
    many = pd.DataFrame({"source_id": np.arange(1000, 1060), "reason": "no answer"})
    text = page_of(tmp_path, replace(facts(), failures=many)).text
    assert "The first 50 of 60" in text
    assert "1049" in text
    assert "1050" not in text


def test_missing_numbers_are_dashes(tmp_path: Path) -> None:
    made_from = facts(1)
    targets = made_from.targets.assign(
        mag_g=np.float32(np.nan), p_lowz_std=np.float32(np.nan), coverage_z=np.float32(np.nan)
    )
    text = page_of(tmp_path, replace(made_from, targets=targets)).text
    assert "± –" in text
    assert "g−r –" in text


def test_coverage_is_never_rounded_up_to_complete(tmp_path: Path) -> None:
    made_from = facts(1)
    targets = made_from.targets.assign(
        coverage_g=np.float32(1), coverage_r=np.float32(0.9999), coverage_z=np.float32(1)
    )
    assert "99 %" in page_of(tmp_path, replace(made_from, targets=targets)).text


def test_a_run_without_targets_has_a_page(tmp_path: Path) -> None:
    page = page_of(tmp_path, facts(0))
    assert "No target: the counts below say" in page.text
    assert "sources in the run 55" in page.text
    assert page.all("svg") == []


def test_one_tier_and_many_tiers_are_named(tmp_path: Path) -> None:
    made_from = facts()
    one = replace(
        made_from,
        targets=made_from.targets.assign(tier=1),
        provenance=replace(made_from.provenance, tiers=("all",)),
    )
    assert "tier 1 , all 18" in page_of(tmp_path, one).text
    words = ("p>=0.9", "20/deg2", "saga2", "r<=21")
    four = replace(made_from, provenance=replace(made_from.provenance, tiers=words))
    assert "tier 4 , r<=21" in page_of(tmp_path, four).text


def test_targets_that_rank_last_say_why(tmp_path: Path) -> None:
    targets = facts().targets
    targets["score_flags"] = np.where(np.arange(len(targets)) == 1, 33, 0)
    text = page_of(tmp_path, replace(facts(), targets=targets)).text
    assert text.count("#2 unfamiliar") == 1
    assert text.count("unfamiliar") == 1
    assert text.count("PARTIAL, UNFAMILIAR") == 1


def test_the_same_facts_give_the_same_bytes(tmp_path: Path) -> None:
    first = write_report(facts(), tmp_path / "a.html").read_bytes()
    assert write_report(facts(), tmp_path / "b.html").read_bytes() == first


def test_without_jinja2_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"xsaga\[report\]"):
        write_report(facts(), tmp_path / "index.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("column", REQUIRED)
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    short = replace(facts(), targets=facts().targets.drop(columns=column))
    with pytest.raises(RunError, match=f"lacks {column}"):
        write_report(short, tmp_path / "index.html")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunError, match="cannot be written") as info:
        write_report(facts(), tmp_path / "file" / "index.html")
    assert "\n" not in str(info.value)
