"""The page in a real browser: it sorts, filters, wipes and shows pictures, without a complaint."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.compare.columns import compare
from pipeline.compare.page import save_page
from pipeline.compare.runs import find_runs
from tests.compare.conftest import MakeRun, fail

if TYPE_CHECKING:
    import playwright.sync_api as playwright


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, make_run: MakeRun) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    for number, name in enumerate(("stitch", "composite", "stitch")):
        settings = {"method": {"name": name}, "size": 2**number}
        make_run(folder / str(number), settings, noise=20 * number)
    fail(folder / "3", "no <b>person</b>", {"method": {"name": "composite"}, "size": 8})
    measured = [{"seam": 2.0, "content_similarity": 0.5}, {"seam": 1.0}, {"seam": 10.0}, {}]
    save_page(compare(find_runs([folder]), measured), folder / "report.html")
    return folder / "report.html"


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desktop", "phone"])
def page(
    request: pytest.FixtureRequest, browser: "playwright.Browser", report: Path
) -> Iterator["playwright.Page"]:
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: complaints.extend(outside(request.url)))
    opened.goto(report.as_uri())
    yield opened
    context.close()
    assert complaints == []


def outside(url: str) -> list[str]:
    return [] if url.startswith(("file:", "data:")) else [url]


def order(page: "playwright.Page", holder: str = "#cards > *") -> list[str]:
    script = "items => items.filter(i => i.offsetParent).map(i => i.dataset.run)"
    found: list[str] = page.locator(holder).evaluate_all(script)
    return found


def test_pictures_load_and_nothing_is_wider_than_the_screen(page: "playwright.Page") -> None:
    script = "Promise.all(Array.from(document.images).filter(i => i.src).map(i => i.decode()))"
    page.evaluate(script)
    widths = page.locator("main img").evaluate_all("all => all.map(i => i.naturalWidth)")
    # Content, regions, three results with two styles each, and the two of the slider.
    assert len(widths) == 2 + 3 * 3 + 2
    assert min(widths) > 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_sorting_orders_cards_and_rows(page: "playwright.Page") -> None:
    assert order(page) == ["0", "1", "2", "3"]
    page.select_option("#sort", "seam")
    assert order(page) == ["1", "0", "2", "3"]
    page.click("#direction")
    # What has no value stays last.
    assert order(page) == order(page, "#table tbody tr") == ["2", "0", "1", "3"]
    page.click("th[data-column='size'] button")
    assert order(page) == ["0", "1", "2", "3"]
    assert page.get_attribute("th[data-column='size']", "aria-sort") == "ascending"
    page.click("th[data-column='size'] button")
    assert order(page) == ["3", "2", "1", "0"]


def test_filters_add_up_and_go_away(page: "playwright.Page") -> None:
    page.select_option("#filter-column", "seam")
    page.fill("#filter", "<= 2")
    assert order(page) == order(page, "#table tbody tr") == ["0", "1"]
    assert page.text_content("#shown") == "2 of 4 shown"
    page.select_option("#filter-column", "method.name")
    page.fill("#filter", "STITCH")
    assert order(page) == ["0"]
    page.click("#conditions button >> nth=0")
    assert order(page) == ["0", "2"]
    page.fill("#filter", "!=stitch")
    assert order(page) == ["1", "3"]
    page.fill("#filter", "")
    assert order(page) == ["0", "1", "2", "3"]
    page.select_option("#filter-column", "")
    page.fill("#filter", "failed")
    assert order(page) == ["3"]


def test_the_slider_wipes_between_two_chosen_runs(page: "playwright.Page") -> None:
    clip = "getComputedStyle(document.getElementById('left-picture')).clipPath"
    half = page.evaluate(clip)
    page.focus("#wiper")
    page.keyboard.press("End")
    assert page.evaluate(clip) != half
    handle = page.locator(".handle").bounding_box()
    stage = page.locator("#wipe").bounding_box()
    assert handle is not None
    assert stage is not None
    assert handle["x"] > stage["x"] + stage["width"] - 3
    # With the mouse, too.
    page.locator("#wipe").scroll_into_view_if_needed()
    page.locator("#wiper").click(position={"x": stage["width"] * 0.25, "y": 20})
    assert abs(float(page.input_value("#wiper")) - 25) < 5
    before = page.get_attribute("#right-picture", "src")
    page.select_option("#right", label="run 2: method=stitch, size=4")
    assert page.get_attribute("#right-picture", "src") != before
    assert page.get_attribute("#right-picture", "alt") == "run 2: method=stitch, size=4"


def test_a_picture_opens_at_full_size(page: "playwright.Page") -> None:
    page.click(".card[data-run='1'] .picture")
    assert page.is_visible("dialog")
    assert page.text_content("#viewer-title") == "run 1: method=composite, size=2 (64 \u00d7 48)"
    box = page.locator("#viewer-picture").bounding_box()
    assert box is not None
    assert (box["width"], box["height"]) == (64, 48)
    page.keyboard.press("ArrowRight")
    assert "run 2" in (page.text_content("#viewer-title") or "")
    page.keyboard.press("Escape")
    assert page.is_hidden("dialog")


def test_a_failed_run_shows_its_message_as_text(page: "playwright.Page") -> None:
    assert page.text_content(".card[data-run='3'] .alarm") == "Failed: no <b>person</b>"


def test_the_curves_are_drawn(page: "playwright.Page") -> None:
    box = page.locator(".plot path").first.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) > 50
