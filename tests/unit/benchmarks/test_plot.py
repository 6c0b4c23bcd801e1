from pathlib import Path
from xml.etree import ElementTree

from benchmarks.plot import Bar, bars


def test_bars_are_as_long_as_their_medians(tmp_path: Path) -> None:
    figures = [{"median": median, "low": median, "high": median, "unit": "µs"} for median in (10.0, 40.0)]
    shown = bars(
        "speed", "Speed", [Bar("ours & only ours", figures[0], is_ours=True), Bar("<b>", figures[1])], folder=tmp_path
    )
    assert shown == "![Speed](performance/speed.svg)\n"
    drawn = ElementTree.parse(tmp_path / "speed.svg").getroot()
    svg = "{http://www.w3.org/2000/svg}"
    ours, other = (float(bar.attrib["width"]) for bar in drawn.iter(f"{svg}rect"))
    assert round(other / ours, 2) == 4.0
    assert [text.text for text in drawn.iter(f"{svg}text")] == ["ours & only ours", "10 µs", "<b>", "40 µs"]
