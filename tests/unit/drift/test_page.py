"""The page of a report: what it says, that it needs nothing else, and that a real browser shows it."""

import html
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from functions.drift.charts import CHARACTER, HEIGHT, WIDTH, distribution
from functions.drift.page import page
from lastmile.policies import Feature
from lastmile.spec import ModelSpec
from tests.unit.drift.conftest import World
from tests.unit.drift.test_watch import labelled
from tests.unit.watching import HOUR, NOW

type Make = Callable[..., ModelSpec]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
VOID = {"meta", "br", "link", "img"}


class Outline(HTMLParser):
    """Tags in order, and whether each that was opened was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture
def report(world: World, fraud: Make) -> dict[str, Any]:
    """Drifted traffic, earlier checks, labels, a group."""
    of = fraud(features={"country": Feature(categories=("DE", "FR", "IT"), sensitive=True)})
    world.push(of)
    world.traffic(of, hours=30, until=NOW - HOUR)
    labelled(world, of, right=True)
    for hour in (3, 2, 1):
        world.watch.tick(NOW - hour * HOUR)
    world.traffic(of, shift=3.0)
    (checked,) = world.watch.tick(NOW)["checked"]
    return world.report(checked["path"])


def outline(text: str) -> Outline:
    found = Outline()
    found.feed(text)
    assert (found.open, found.wrong) == ([], [])
    return found


def words(text: str) -> str:
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_page_says_what_the_report_says(report: dict[str, Any]) -> None:
    said = words(page(report))
    assert "fraud: drifted" in said
    assert report["summary"] in said
    for feature in report["features"]:
        assert feature["name"] in said
    assert "2026-03-13 15:00 to 2026-03-14 15:00 (UTC)" in said
    assert "country = DE" in said
    assert "measured accuracy" in said
    assert "Checks so far" in said
    assert report["features"][0]["reason"] in said
    assert "uncertainty from the reference" in said
    assert "p99, ms" in said
    assert "Estimated without labels, within this window" in said
    assert "train on newer rows: lastmile train fraud <file>" in said


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(report: dict[str, Any]) -> None:
    text = page(report)
    tags = outline(text).tags
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in tags}
    assert not re.search(r"https?:|url\(|@import|\son\w+=", text)
    policies = [attributes.get("content") for _, attributes in tags if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_every_drawing_has_words(report: dict[str, Any]) -> None:
    text = page(report)
    drawings = re.findall(r"<svg .*?</svg>", text, re.DOTALL)
    assert len(drawings) >= len(report["features"]) + 2
    for drawing in drawings:
        assert 'role="img"' in drawing
        assert re.search(r"<title>[^<]+</title><desc>[^<]+</desc>", drawing)


def test_labels_of_bars_do_not_cover_one_another() -> None:
    labels = [f"{number}0.25 to {number}1.75" for number in range(1000, 1024)]
    shares = [1 / len(labels)] * len(labels)
    drawn = distribution("amount", [*labels, "missing"], [*shares, 0.0], [*shares, 0.0])
    named = re.findall(rf'<text x="([\d.]+)" y="{HEIGHT - 4:.1f}" text-anchor="middle">([^<]+)<', drawn)
    ends = sorted((float(x) - len(words) * CHARACTER / 2, float(x) + len(words) * CHARACTER / 2) for x, words in named)
    assert [words for _, words in named if words == "missing"]
    assert len(ends) > 2
    assert all(left[1] < right[0] for left, right in pairwise(ends))
    assert ends[0][0] > -1
    assert ends[-1][1] < WIDTH + 1


def test_headings_follow_one_another_and_tables_have_heads(report: dict[str, Any]) -> None:
    tags = [tag for tag, _ in outline(page(report)).tags]
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert tags.count("table") == tags.count("thead")


def test_light_and_dark_are_readable() -> None:
    """The contrast that WCAG 2.2 AA wants for text, 4.5 to 1."""
    style = (Path(__file__).parents[3] / "functions/drift/page/report.css").read_text()
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w+);", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    )
    for colours in (light, dark):
        for name in ("ink", "faint", "good", "bad", "unsure", "now"):
            assert contrast(colours[name], colours["ground"]) >= 4.5, name


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_quality_is_drawn_over_time_for_groups_too(world: World, fraud: Make) -> None:
    of = fraud(features={"country": Feature(categories=("DE",), sensitive=True)})
    world.push(of)
    world.traffic(of)
    labelled(world, of, right=True)
    labelled(world, of, right=False, at=NOW - 26 * HOUR)
    (checked,) = world.watch.tick(NOW)["checked"]
    text = page(world.report(checked["path"]))
    assert "<title>accuracy of country = DE, version 1 over time</title>" in text
    assert "2026-03-13: 0" in text
    assert "2026-03-14: 1" in text


def test_names_that_look_like_markup_stay_names(report: dict[str, Any]) -> None:
    hostile = '<script>alert("1")</script>'
    report["features"][0] |= {"name": hostile, "labels": [hostile] * len(report["features"][0]["labels"])}
    report["notes"] = [hostile]
    text = page(report)
    assert "<script" not in text
    assert hostile in words(text)


def test_a_report_without_anything_is_a_page_too(world: World, fraud: Make) -> None:
    world.push(fraud())
    (checked,) = world.watch.tick(NOW)["checked"]
    text = page(world.report(checked["path"]))
    outline(text)
    assert "fraud: no traffic" in words(text)


def test_the_page_lies_beside_the_report(world: World, fraud: Make) -> None:
    world.push(fraud())
    (checked,) = world.watch.tick(NOW)["checked"]
    report = world.report(checked["path"])
    assert world.data.get(report["page"]).data.decode() == page(report)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_shows_it(report: dict[str, Any], tmp_path: Path) -> None:
    assert CHROMIUM is not None
    file, picture = tmp_path / "report.html", tmp_path / "report.png"
    file.write_text(page(report), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    shot = [CHROMIUM, *options, "--window-size=1200,2000", f"--screenshot={picture}", file.as_uri()]
    done = subprocess.run(shot, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert picture.stat().st_size > 20_000
    dom = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=60, check=False
    )
    assert dom.stdout.count("<svg") == page(report).count("<svg")
    assert "fraud: " in dom.stdout
