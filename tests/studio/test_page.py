"""The studio in a browser: from a photograph to a download, without a complaint."""

import io
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from PIL import Image

from pipeline.config.compose import CONF
from tests.studio.conftest import WORDS

if TYPE_CHECKING:
    import playwright.sync_api as playwright

#: Milliseconds that anything may take, on a busy machine.
PATIENCE = 120_000


@dataclass(frozen=True)
class Server:
    """A studio in a process of its own."""

    address: str
    folder: Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("gradio")
    folder = tmp_path_factory.mktemp("studio")
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent), "PYTHONUNBUFFERED": "1"}
    words = [word for word in WORDS if not word.startswith("optimizer")]
    words += ["optimizer.iterations=30", "size=192"]
    # Sessions end sooner, so that nobody has to wait for it.
    serve = (
        "from pipeline.studio import serve, sessions; sessions.RUN_GRACE = sessions.GRACE = 8.0; "
        f"serve.main(['--no-browser', *{words}])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", serve],
        cwd=folder,
        env={**environment, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found, said + process.stdout.read()
        yield Server(found[0], folder)
        process.terminate()


class Page:
    """A page of the studio, and what one does on it."""

    def __init__(self, page: "playwright.Page") -> None:
        self.page = page
        self.complaints: list[str] = []

    def source(self) -> str:
        """The address of the picture that is shown; empty where there is none."""
        shown = self.page.locator("#picture img")
        return str(shown.get_attribute("src")) if shown.count() else ""

    def after(self, act: object) -> np.ndarray:
        """The picture that is shown once something has been done."""
        before = self.source()
        assert callable(act)
        act()
        self.page.wait_for_function(
            "(before) => { const shown = document.querySelector('#picture img');"
            " return shown && shown.src !== before && shown.complete; }",
            arg=before,
            timeout=PATIENCE,
        )
        return self.pixels()

    def pixels(self) -> np.ndarray:
        with urllib.request.urlopen(self.source()) as answer:
            return np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB")).astype(int)

    def open_sample(self, name: str = "astronaut") -> np.ndarray:
        def choose() -> None:
            self.page.locator("#sample input").click()
            self.page.get_by_role("option", name=name).click()

        return self.after(choose)

    def click(self, x: float, y: float) -> np.ndarray:
        """Click a place of the picture, given as fractions of its sides."""
        self.wait_for_strip()
        shown = self.page.locator("#picture img")

        def press() -> None:
            shown.scroll_into_view_if_needed()
            box = shown.bounding_box()
            assert box is not None
            # What is smaller than its place is shown at its own size, in the middle.
            wide, tall = shown.evaluate("(shown) => [shown.naturalWidth, shown.naturalHeight]")
            scale = min(1.0, box["width"] / wide, box["height"] / tall)
            self.page.mouse.click(
                box["x"] + box["width"] / 2 + (x - 0.5) * wide * scale,
                box["y"] + box["height"] / 2 + (y - 0.5) * tall * scale,
            )

        return self.after(press)

    def take(self, style: str) -> np.ndarray:
        self.wait_for_strip()
        return self.after(lambda: self.page.locator("#strip button", has_text=style).first.click())

    def wait_for_strip(self) -> None:
        """Until the strip shows what is selected, and nothing is under way."""
        self.page.wait_for_selector("#strip button", timeout=PATIENCE)
        shown = self.page.locator("#strip img")
        before, quiet = None, 0
        while quiet < 8:
            self.page.wait_for_timeout(200)
            now = [one.get_attribute("src") for one in shown.all()]
            if re.search("queue|processing", self.said()):
                now = []
            before, quiet = now, quiet + 1 if now and now == before else 0

    def tick(self, group: str, name: str) -> None:
        self.page.locator(f"#{group} label", has_text=name).locator("input").click()

    def refine(self) -> None:
        """Start a run, and wait for its first picture."""
        self.page.locator("#refine").click()
        self.page.wait_for_function(
            "document.querySelector('#said').innerText.includes('Refining')", timeout=PATIENCE
        )

    def said(self) -> str:
        return self.page.locator("#said").inner_text()


@pytest.fixture(params=[(1280, 1000)], ids=["desktop"])
def page(
    request: pytest.FixtureRequest, browser: "playwright.Browser", server: Server
) -> Iterator[Page]:
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height})
    opened = context.new_page()
    made = Page(opened)
    complaints = made.complaints

    def complain(message: "playwright.ConsoleMessage") -> None:
        if message.type == "error":
            complaints.append(message.text)

    opened.on("console", complain)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on(
        "request",
        lambda sent: complaints.extend(
            [] if sent.url.startswith((server.address, "data:", "blob:")) else [sent.url]
        ),
    )
    opened.goto(server.address)
    opened.wait_for_selector("#strip button", timeout=PATIENCE)
    yield made
    context.close()
    assert complaints == []


def test_from_a_photograph_to_a_download(page: Page, server: Server, tmp_path: Path) -> None:
    overview = page.open_sample()
    labels = page.page.locator("#regions label").all_inner_texts()
    assert [label.strip() for label in labels] == ["person", "background"]
    page.click(0.5, 0.6)
    assert "Selected: person" in page.said()
    painted = page.take("scream")
    assert painted.shape == overview.shape
    # Only the region has changed; the rest is identical.
    from skimage import data

    photograph = data.astronaut().astype(int)
    same = (painted == photograph).all(2)
    assert same[:, 400:].mean() > 0.8
    assert same[250:350, 150:230].mean() < 0.1
    # Less strength: nearer to the photograph.
    number = page.page.locator("#strength input[type=number]")
    number.fill("0.1")
    weaker = page.after(number.blur)
    assert np.abs(weaker - photograph).mean() < np.abs(painted - photograph).mean()
    # A second region, by the list and the keyboard.
    page.after(lambda: page.tick("regions", "background"))
    both = page.take("night")
    assert (both == photograph).all(2)[:60].mean() < 0.1
    undone = page.after(lambda: page.page.locator("#undo").click())
    assert np.array_equal(undone, weaker)
    again = page.after(lambda: page.page.keyboard.press("Control+y"))
    assert np.array_equal(again, both)
    hidden = page.after(lambda: page.tick("layers", "background: night"))
    assert np.array_equal(hidden, weaker)
    page.after(lambda: page.tick("layers", "background: night"))
    # Refined: the picture streams, and ends as a file.
    page.page.locator("#refine").click()
    page.page.wait_for_function(
        "document.querySelector('#said').innerText.includes('s left')", timeout=PATIENCE
    )
    streamed = page.source()
    assert streamed.endswith(".jpg")
    page.page.wait_for_function(
        "document.querySelector('#said').innerText.includes('Done')", timeout=PATIENCE
    )
    page.page.wait_for_selector("#download:not([disabled])", timeout=PATIENCE)
    with page.page.expect_download() as download:
        page.page.locator("#download").click()
    assert download.value.suggested_filename == "astronaut-painted.png"
    download.value.save_as(tmp_path / "down.png")
    # The command repeats it to the bit.
    command = page.page.locator("#command .cm-content").inner_text()
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "pipeline"]
    done = subprocess.run(
        [sys.executable, *words[1:], f"hydra.run.dir={tmp_path / 'again'}"],
        cwd=server.folder,
        env={**os.environ, "PYTHONPATH": str(CONF.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    with (
        Image.open(tmp_path / "down.png") as down,
        Image.open(tmp_path / "again" / "result.png") as repeated,
    ):
        assert np.array_equal(np.asarray(down), np.asarray(repeated))


def test_a_run_is_stopped_with_what_is_there(page: Page) -> None:
    page.open_sample()
    page.click(0.5, 0.6)
    page.take("wave")
    # So that there is time to stop it.
    page.page.get_by_text("How it is refined").click()
    page.page.locator("#size input").click()
    page.page.get_by_role("option", name="the photograph's own").click()
    page.refine()
    # Nothing else is asked for meanwhile, by the mouse.
    for part in ("#strip", "#picture", "#undo", "#regions", "#sample"):
        found = page.page.locator(part)
        assert found.evaluate("(e) => getComputedStyle(e).pointerEvents") == "none", part
    page.page.locator("#stop").click()
    page.page.wait_for_selector("#download:not([disabled])", timeout=PATIENCE)
    assert "Stopped; what was there is kept" in page.said()
    assert "it was stopped" in page.page.locator("#command").inner_text()
    assert not page.page.locator("#stop").is_visible()


def test_two_people_do_not_see_each_others_pictures(
    page: Page, browser: "playwright.Browser", server: Server
) -> None:
    mine = page.open_sample("astronaut")
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    other = Page(context.new_page())
    other.page.goto(server.address)
    other.page.wait_for_selector("#strip button", timeout=PATIENCE)
    assert other.source() == ""
    theirs = other.open_sample("chelsea")
    assert theirs.shape != mine.shape
    assert np.array_equal(page.pixels(), mine)
    context.close()


def test_a_bad_file_is_refused_in_words(page: Page, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no picture")
    shown = page.open_sample()
    page.page.set_input_files("input[type=file] >> nth=0", tmp_path / "bad.jpg")
    page.page.wait_for_selector(".toast-body", timeout=PATIENCE)
    message = page.page.locator(".toast-body").inner_text()
    assert "bad.jpg is not a picture that can be read; use JPEG, PNG, ..." in message
    assert "Traceback" not in message
    # The photograph is still there; its regions may follow outlines by now.
    assert (page.pixels() != shown).any(2).mean() < 0.1


def test_a_page_that_is_loaded_anew_goes_on(page: Page) -> None:
    page.open_sample()
    page.click(0.5, 0.6)
    page.take("wave")
    page.refine()
    page.page.reload()
    page.page.wait_for_function(
        "document.querySelector('#said')?.innerText.includes('Done')", timeout=PATIENCE
    )
    page.page.wait_for_selector("#download:not([disabled])", timeout=PATIENCE)
    # Gradio's page complains that the stream of the one before has ended.
    page.complaints.clear()
    command = page.page.locator("#command .cm-content").inner_text()
    assert command.startswith("python -m pipeline")
    refined = page.pixels()
    undone = page.after(lambda: page.page.locator("#undo").click())
    assert undone.shape != refined.shape or not np.array_equal(undone, refined)
    # The refined picture is there again, not a sketch of it.
    again = page.after(lambda: page.page.locator("#redo").click())
    assert np.array_equal(again, refined)
    assert page.page.locator("#download:not([disabled])").count() == 1


def test_quick_events_all_count(page: Page) -> None:
    page.open_sample()
    page.click(0.5, 0.6)
    for style in ("ink", "night", "wave"):
        page.take(style)
    undo = page.page.locator("#undo")
    for _ in range(3):
        undo.click()
    page.page.wait_for_selector("#undo[disabled]", timeout=PATIENCE)
    assert page.page.locator("#layers label").count() == 0
    # Three values, one after another: the last one counts.
    page.wait_for_strip()
    page.take("ink")
    number = page.page.locator("#strength input[type=number]")
    for value in ("0.1", "0.9", "0.3"):
        number.fill(value)
        number.blur()
    page.wait_for_strip()
    # What comes back for a value does not replace the next one, which is being typed.
    number.fill("0.7")
    number.blur()
    number.fill("0.3")
    page.wait_for_strip()
    assert number.input_value() == "0.3"
    number.blur()
    page.wait_for_strip()
    page.page.reload()
    page.page.wait_for_selector("#layers label", timeout=PATIENCE)
    assert number.input_value() == "0.3"


def test_what_was_refused_does_not_stay_on_the_page(page: Page) -> None:
    page.open_sample()
    page.page.locator("#regions label", has_text="person").click()
    page.wait_for_strip()
    page.page.get_by_text("More ways to a region").click()
    page.page.locator("#mend").click()
    page.page.wait_for_selector("#editor canvas", timeout=PATIENCE)
    page.page.locator("#mended").click()
    page.page.wait_for_selector(".toast-body", timeout=PATIENCE)
    assert "paint something first" in page.page.locator(".toast-body").inner_text()
    # The brush stays, for another try.
    assert page.page.locator("#editor").is_visible()


@pytest.mark.parametrize("page", [(390, 844)], indirect=True, ids=["phone"])
def test_it_fits_a_phone_and_works_by_the_keyboard(page: Page) -> None:
    page.open_sample()
    person = page.page.locator("#regions label", has_text="person").locator("input")
    person.focus()
    page.after(lambda: page.page.keyboard.press("Space"))
    page.wait_for_strip()
    page.page.locator("#strip button").first.focus()
    page.after(lambda: page.page.keyboard.press("Enter"))
    width = page.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390


SENT = """
import sys
import gradio
from gradio.components.image_editor import EditorData
from gradio.data_classes import FileData
from pipeline.errors import UserError
from pipeline.studio import page, pictures

with gradio.Blocks():
    editor = gradio.ImageEditor(type="numpy")
    page._bound(editor)
sent = EditorData(background=None, layers=[FileData(path=sys.argv[1])], composite=None)
print(editor.preprocess(sent)["layers"][0].shape)
pictures.MOST_PIXELS = 9_000
try:
    editor.preprocess(sent)
except UserError as error:
    print(error)
"""


def test_what_is_sent_as_painted_is_bounded(tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    Image.new("RGBA", (100, 100)).save(tmp_path / "layer.png")
    done = subprocess.run(
        [sys.executable, "-c", SENT, str(tmp_path / "layer.png")],
        capture_output=True,
        text=True,
        check=True,
    )
    shape, refused = done.stdout.splitlines()
    assert shape == "(100, 100, 4)"
    assert "100x100 pixels" in refused


def test_no_path_from_the_browser_is_opened(server: Server) -> None:
    with urllib.request.urlopen(f"{server.address}/config") as answer:
        config = answer.read().decode()
    assert str(server.folder) not in config
    secret = server.folder / "secret.png"
    Image.new("RGB", (40, 40)).save(secret)
    for path in (str(secret), "/etc/hostname"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{server.address}/gradio_api/file={path}")
        with caught.value as refused:
            assert refused.code in (403, 404)


def test_files_go_when_the_page_does(browser: "playwright.Browser", server: Server) -> None:
    context = browser.new_context()
    page = Page(context.new_page())
    page.page.goto(server.address)
    page.page.wait_for_selector("#strip button", timeout=PATIENCE)
    page.open_sample()
    page.click(0.5, 0.6)
    page.take("ink")
    page.refine()
    assert len(runs(server)) == 1
    # The one in which the run's pictures on its way are.
    [mine] = {path.parent for path in server.folder.glob("studio-*/on-its-way-*")}
    context.close()
    end = time.monotonic() + PATIENCE / 1000
    while runs(server) or mine.exists():
        assert time.monotonic() < end, "the run goes on"
        time.sleep(0.2)


def runs(server: Server) -> list[psutil.Process]:
    """The runs that are under way."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, folder = process.info["cmdline"] or [], process.info["cwd"]
        if "pipeline" in words and folder == str(server.folder):
            found.append(process)
    return found
