"""The report: one file, complete, and true to what was recorded."""

from __future__ import annotations

import base64
import html
import io
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure as Sheet
from PIL import Image

from diffx.config import RunConfig, option
from diffx.evaluation import Baseline, Figure, Goal, to_json
from diffx.run import Report, execute
from diffx.run.curves import loss_curve, series, smooth
from diffx.run.figures import sheet
from diffx.run.judgement import goals_section, metrics_section


@dataclass
class Config(RunConfig):
    age: float | None = option(None, help="age", unit="years", min=0, max=120)
    sex: str | None = field(default=None)


class Outside(HTMLParser):
    """Everything a browser would fetch."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []
        self.pictures: list[str] = []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action", "data") and value:
                if value.startswith("data:"):
                    self.pictures.append(value)
                elif not value.startswith("#"):
                    self.found.append(value)
        if tag in ("script", "link", "iframe", "object", "embed"):
            self.found.append(tag)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    brain = np.tile(np.arange(64, dtype=np.uint8), (32, 1))

    def task(run):
        sheet = Sheet()
        sheet.add_subplot().plot([0, 1])
        run.report.facts({"volumes": 4})
        run.report.picture("A brain", brain, "of <nobody>")
        run.report.picture("A plot", sheet)
        run.report.table("Ages", [{"file": "a", "age": 70.123456}, {"file": "b", "note": "late"}])
        run.report.text("Words", "first\nline\n\nsecond")
        run.metric("fid", {"value": 12.5, "baseline": 40.0, "floor": 9.0, "interval": [10.0, 15.0], "n": 15})
        run.metric("group", {"inner": {"value": 1.0}})
        for step in range(100):
            run.record(step, loss=1 / (step + 1), lr=1e-3 * step)
        (run.samples / "sub-01.nii.gz").write_bytes(b"0" * 1500)
        run.flag("sub-02 is <b>constant</b>")

    out = tmp_path_factory.mktemp("run") / "a"
    assert execute(Config(plugin="toy", task="sample", out=str(out), age=70.0), task, ["run", "plugin=toy"]) == 0
    return (out / "report.html").read_text(encoding="utf-8")


def text(page: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def test_it_needs_nothing_from_outside(page):
    outside = Outside()
    outside.feed(page)
    assert outside.found == []
    assert "://" not in page and "url(" not in page.replace("url(#", "") and "@import" not in page


def test_it_holds_the_pictures_themselves(page):
    outside = Outside()
    outside.feed(page)
    assert len(outside.pictures) == 2
    kind, content = outside.pictures[0].split(";base64,")
    assert kind == "data:image/png"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    assert np.array_equal(shown, np.tile(np.arange(64, dtype=np.uint8), (32, 1)))


def test_it_says_what_was_given_and_escapes_it(page):
    words = text(page)
    assert "of &lt;nobody&gt;" in page and "sub-02 is &lt;b&gt;constant&lt;/b&gt;" in page
    for told in ("volumes 4", "age 70 years", "n 1", "70.12", "first line", "samples/sub-01.nii.gz 1.5 kB"):
        assert told in words, told
    assert "sex None" not in words  # not asked for
    assert "diffx run plugin=toy" in words and "plugin: toy" in words and "Wh" in words
    assert "fid 12.5 10 to 15 40 9 15" in words and "group.inner 1" in words


def test_every_tag_is_closed(page):
    void = {"meta", "img", "br", "link", "hr", "path", "use"}
    stack: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in void:
                stack.append(tag)

        def handle_endtag(self, tag):
            if tag not in void:
                assert stack.pop() == tag

    Tags().feed(page)
    assert stack == []


def test_a_run_with_nothing_to_show_has_no_empty_sections(tmp_path):
    execute(Config(plugin="toy", task="sample", out=str(tmp_path / "a")), lambda run: None)
    words = text((tmp_path / "a" / "report.html").read_text())
    for absent in ("Metrics", "Loss", "Files", "Please note", "To make it again", "failed"):
        assert absent not in words


def test_pictures_are_taken_at_the_call_and_refused_when_they_are_none():
    report = Report()
    array = np.zeros((4, 4), np.uint8)
    report.picture("black", array)
    array[:] = 255
    content = base64.b64decode(report.sections[0].uri.split(",")[1])
    assert np.asarray(Image.open(io.BytesIO(content))).max() == 0
    with pytest.raises(ValueError, match="uint8"):
        report.picture("floats", np.zeros((4, 4)))
    with pytest.raises(TypeError):
        report.picture("none", None)


def test_big_pictures_are_kept_small():
    report = Report()
    report.picture("noise", np.random.default_rng(0).integers(0, 255, (900, 900, 3)).astype(np.uint8))
    assert report.sections[0].uri.startswith("data:image/webp") and report.sections[0].width == 900


def test_metric_columns_that_nothing_fills_are_left_out():
    bare = metrics_section({"mae": 1.0, "lost": {"value": None}})
    assert bare.columns == ["metric", "value"]
    assert bare.rows == [["mae", "1"], ["lost", "not finite"]]
    assert metrics_section({}) is None
    deep = metrics_section({"a": {"b": {"c": 1, "d": {"e": 2}}}, "mae": 3})
    assert deep.rows == [["a.b.c", "1"], ["mae", "3"]]


def test_goals_come_from_the_figures_and_the_missed_ones_first():
    figures = {
        "fast": Figure(3.0, goal=Goal(high=20), title="seconds a brain"),
        "scores": {"kettle": {"f1": Figure(0.9, n=40, better="higher", goal=Goal(low=0.95)), "mae": Figure(3.0)}},
        "few": Figure(0.9, n=40, n_real=6, goal=Goal(low=0.5, high=0.6)),
    }
    goals = goals_section(to_json(figures))
    assert goals.columns == ["verdict", "goal", "wanted", "value", "n"]
    assert goals.rows == [
        ["missed", "kettle, f1", "at least 0.95", "0.9", "40"],
        ["too few to tell", "few", "0.5 to 0.6", "0.9", "6"],
        ["met", "seconds a brain", "at most 20", "3", "–"],
    ]
    assert goals_section({"mae": 1.0, "fid": {"value": 1.0}}) is None


def test_a_figure_stands_beside_all_that_it_is_compared_with():
    own = Figure(
        12.5,
        (10.0, 15.0),
        9.0,
        (7.0, 11.0),
        [Baseline("mean brain", 40.0), Baseline("codec", 8.0)],
        15,
        16,
        "ml",
        "lower",
    )
    section = metrics_section({"fid": own.to_json()})
    assert dict(zip(section.columns, section.rows[0], strict=True)) == {
        "metric": "fid ↓", "value": "12.5", "unit": "ml", "95 % interval": "10 to 15", "baseline": "40 (mean brain)",
        "other baselines": "8 (codec)", "real against real": "9 (7 to 11)", "n": "15", "note": "real n 16",
    }  # fmt: skip
    assert "lower is better" in section.caption and "Real against real" in section.caption


def test_pictures_lie_beside_the_report_as_files(tmp_path):
    def task(run):
        run.report.picture("A brain / here", np.zeros((4, 9), np.uint8))
        run.report.picture("Noise", np.random.default_rng(0).integers(0, 255, (900, 900, 3)).astype(np.uint8))

    execute(Config(plugin="toy", task="sample", out=str(tmp_path / "a")), task)
    names = sorted(path.name for path in (tmp_path / "a/pictures").iterdir())
    assert names == ["01-a-brain-here.png", "02-noise.webp"]
    assert Image.open(tmp_path / "a/pictures" / names[0]).size == (9, 4)


def test_what_is_too_wide_for_a_phone_scrolls_and_says_so():
    """A picture is never narrower than its words need; a hint shows where the window is narrower than that."""
    report = Report()
    with sheet(11, 3) as wide:
        wide.add_subplot().plot([0, 1])
    report.picture("wide", wide)
    (section,) = report.sections
    assert 1000 < section.width < 1150 and section.least == round(0.7 * section.width)  # 11 inches of 96 px
    report.table("many", [{f"a column of figures {i}": 1.0 for i in range(9)}])
    assert report.sections[1].least > 1000
    report.table("few", [{"a": 1, "b": 2}])
    assert report.sections[2].least < 100


def test_curves_take_the_later_of_two_records_and_skip_what_is_not_a_number():
    records = [{"step": 1, "loss": 5.0}, {"step": 2, "loss": 4.0}, {"step": 2, "loss": 3.0}, {"step": 3, "loss": None}]
    steps, values = series(records)["loss"]
    assert steps.tolist() == [1, 2] and values.tolist() == [5.0, 3.0]
    assert loss_curve([{"step": 1, "loss": 1.0}]) == ""


def test_smoothing_keeps_a_line_and_the_first_point():
    line = np.arange(50.0)
    assert np.allclose(smooth(line, 9)[:46], line[:46])
    assert smooth(np.array([9.0, 0, 0, 0, 0, 0, 0]), 5)[0] == 9.0
    assert np.allclose(smooth(np.ones(20), 7), 1.0)


def test_a_page_within_the_page_is_escaped_and_may_run_scripts_alone(tmp_path):
    def task(run):
        run.report.embed("A viewer", '<p id="x">1 < 2 & "so"</p>', 300, "Drag it.")

    assert execute(Config(plugin="toy", task="sample", out=str(tmp_path / "a")), task, []) == 0
    page = (tmp_path / "a/report.html").read_text(encoding="utf-8")
    frame = re.search(r"<iframe[^>]*>", page)
    assert frame and 'sandbox="allow-scripts"' in frame[0] and "height: 300px" in frame[0]
    inner = re.search(r'srcdoc="([^"]*)"', frame[0])
    assert inner and html.unescape(inner[1]) == '<p id="x">1 < 2 & "so"</p>'
    assert "Drag it." in text(page)
