"""Page: the studio's components, and which of a session's functions their events call."""

import contextlib
import importlib.util
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from pipeline.command.messages import failure
from pipeline.errors import UserError
from pipeline.pictures.read import SAMPLES
from pipeline.studio import edits
from pipeline.studio.painter import SHOWN, Painter
from pipeline.studio.refining import OFTEN
from pipeline.studio.session import PICKS, REGION, Place, Session

log = logging.getLogger(__name__)

METHODS = ("guided", "stitch", "composite", "instant")
SIZES = {
    "as large as about the same time allows": "auto",
    "the photograph's own size (can take long)": "full",
}
COLORS = {
    "the style's": "style",
    "the photograph's": "luminance",
    "the style's, fitted to the photograph's": "match",
}
_CSS = """
#picture img, #before-after img {max-height: 62vh}
#strip .grid-wrap {min-height: 0; max-height: none; overflow: visible}
#strip .grid-container {grid-template-columns: repeat(auto-fill, minmax(92px, 1fr)) !important}
#strip .caption-label {font-size: 0.7rem; padding: 1px 4px; opacity: 1 !important}
#command .cm-scroller {min-height: 0 !important}
#said {min-height: 1.6em}
.gradio-container {max-width: 1400px !important}
"""
# Ctrl-Z and Ctrl-Y, but where one writes.
_HEAD = """
<script>
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.target.closest("input, textarea")) return;
  const key = event.key.toLowerCase();
  const name = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : "";
  if (name) { event.preventDefault(); document.getElementById(name)?.click(); }
});
</script>
"""
_WELCOME = "Open a photograph, click a part of it, then a style."


class Sessions:
    """The sessions of the pages that are open, by the browser's name for each.

    Args:
        painter: of all of them.
        place: where their files go.
    """

    def __init__(self, painter: Painter, place: Place) -> None:
        self._painter, self._place = painter, place
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, request: gr.Request) -> Session:
        """The session of a page."""
        with self._lock:
            return self._open.setdefault(
                str(request.session_hash), Session(self._painter, self._place)
            )

    def close(self, request: gr.Request) -> None:
        """A page is gone."""
        with self._lock:
            session = self._open.pop(str(request.session_hash), None)
        if session is not None:
            session.close()

    def close_all(self) -> None:
        """The server is going."""
        with self._lock:
            sessions, self._open = [*self._open.values()], {}
        for session in sessions:
            session.close()


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """Errors, in the command's own sentences; defects go to the server's log."""
    try:
        yield
    except gr.Error:
        raise
    except Exception as error:
        why = failure(error, SHOWN)
        if why.traceback:
            log.error("%s", why.traceback)
        line = "something went wrong; the server's log says what" if why.traceback else why.message
        raise gr.Error(line, print_exception=False) from None


def build_page(painter: Painter, place: Place) -> tuple[gr.Blocks, Sessions]:
    """The page, and its sessions.

    Args:
        painter: finds regions and paints them at once.
        place: where files go.
    """
    sessions = Sessions(painter, place)
    with gr.Blocks(
        title="Localized style transfer", analytics_enabled=False, delete_cache=(600, 3600)
    ) as page:
        gr.Markdown("# Localized style transfer")
        said = gr.Markdown(_WELCOME, elem_id="said")
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                parts = _picture_column()
            with gr.Column(scale=2, min_width=320):
                parts |= _side_column()
        _connect(page, sessions, {**parts, "said": said})
        page.unload(sessions.close)
    page.queue(default_concurrency_limit=8, max_size=64, status_update_rate=1)
    return page, sessions


def _picture_column() -> dict[str, Any]:
    with gr.Row():
        photograph = gr.UploadButton(
            "Open a photograph", file_types=["image"], variant="primary", elem_id="photograph"
        )
        sample = gr.Dropdown(
            [*SAMPLES],
            value=None,
            label="or a sample photograph",
            elem_id="sample",
            interactive=True,
            filterable=False,
            min_width=140,
        )
    with gr.Accordion("Camera or clipboard", open=False):
        camera = gr.Image(
            sources=["webcam", "clipboard"],
            type="filepath",
            label="A photograph from the camera or the clipboard",
            elem_id="camera",
            webcam_options=gr.WebcamOptions(mirror=False),
        )
    with gr.Tabs() as tabs:
        with gr.Tab("Picture", id="picture"):
            picture = gr.Image(
                label="Click a part of it",
                interactive=False,
                format="png",
                type="filepath",
                buttons=["fullscreen"],
                elem_id="picture",
                alt_text="The photograph as it is painted",
            )
        with gr.Tab("Before and after"):
            slider = gr.ImageSlider(
                label="Before and after",
                interactive=False,
                format="png",
                buttons=["fullscreen"],
                elem_id="before-after",
            )
    with gr.Row():
        undo = gr.Button("Undo", elem_id="undo", interactive=False, min_width=80)
        redo = gr.Button("Redo", elem_id="redo", interactive=False, min_width=80)
        refine = gr.Button(
            "Refine", variant="primary", elem_id="refine", interactive=False, min_width=80
        )
        download = gr.DownloadButton(
            "Download", elem_id="download", interactive=False, min_width=80
        )
        # The last one: when it goes, nothing comes to where the mouse is.
        stop = gr.Button("Stop", variant="stop", elem_id="stop", visible=False, min_width=80)
    gr.Markdown("**Styles**, each on what is selected: click one")
    strip = gr.Gallery(
        label="Styles, each on what is selected",
        show_label=False,
        height="auto",
        allow_preview=False,
        object_fit="cover",
        interactive=False,
        buttons=[],
        format="png",
        elem_id="strip",
    )
    own = gr.UploadButton(
        "Add a style of your own", file_types=["image"], size="sm", elem_id="own-style"
    )
    return {
        "photograph": photograph,
        "sample": sample,
        "camera": camera,
        "picture": picture,
        "tabs": tabs,
        "slider": slider,
        "undo": undo,
        "redo": redo,
        "refine": refine,
        "stop": stop,
        "download": download,
        "strip": strip,
        "own": own,
    }


def _side_column() -> dict[str, Any]:
    regions = gr.CheckboxGroup([], label="Regions", elem_id="regions", visible=False)
    picks = gr.Radio(PICKS, value=REGION, label="A click on the picture picks", elem_id="picks")
    strength = gr.Slider(0, 1, 0.5, step=0.05, label="Strength", elem_id="strength")
    scale = gr.Slider(0.5, 3, 1, step=0.1, label="Size of brushwork", elem_id="scale")
    color = gr.Radio([*COLORS], value=next(iter(COLORS)), label="Colours", elem_id="color")
    layers = gr.CheckboxGroup([], label="Painted (untick to hide)", elem_id="layers", visible=False)
    remove = gr.Button("Take the style off what is selected", size="sm", elem_id="remove")
    with gr.Accordion("More ways to a region", open=False):
        phrase = gr.Textbox(
            label="Write what it is",
            placeholder="red hat",
            visible=importlib.util.find_spec("transformers") is not None,
            elem_id="phrase",
        )
        with gr.Row():
            save_mask = gr.Button("Save the mask", size="sm", elem_id="save-mask")
            load_mask = gr.UploadButton(
                "Load a mask", file_types=["image"], size="sm", elem_id="load-mask"
            )
        mask_file = gr.File(label="Mask", visible=False, interactive=False, elem_id="mask-file")
        mend = gr.Button("Mend its edge with a brush", size="sm", elem_id="mend")
        editor = gr.ImageEditor(
            label="White belongs to it, black does not",
            type="numpy",
            visible=False,
            sources=[],
            transforms=[],
            brush=gr.Brush(default_size=16, colors=["#ffffff", "#000000"], color_mode="fixed"),
            layers=False,
            buttons=[],
            elem_id="editor",
        )
        mended = gr.Button("Take it", size="sm", visible=False, elem_id="mended")
    with gr.Accordion("How it is refined", open=False), gr.Row():
        method = gr.Dropdown(
            [*METHODS], value=METHODS[0], label="Method", elem_id="method", min_width=120
        )
        size = gr.Dropdown(
            [*SIZES], value=next(iter(SIZES)), label="Size", elem_id="size", min_width=160
        )
    command = gr.Code(
        label="The command that makes it",
        language="shell",
        lines=2,
        max_lines=8,
        interactive=False,
        visible=False,
        elem_id="command",
        wrap_lines=True,
    )
    return {
        "regions": regions,
        "picks": picks,
        "strength": strength,
        "scale": scale,
        "color": color,
        "layers": layers,
        "remove": remove,
        "phrase": phrase,
        "save_mask": save_mask,
        "load_mask": load_mask,
        "mask_file": mask_file,
        "mend": mend,
        "editor": editor,
        "mended": mended,
        "method": method,
        "size": size,
        "command": command,
    }


#: What shows the state of a session, apart from the strip.
_SHOWN = (
    "picture",
    "said",
    "regions",
    "layers",
    "undo",
    "redo",
    "refine",
    "stop",
    "download",
    "command",
    "strength",
    "scale",
    "color",
    "slider",
    "tabs",
)


def _view(session: Session, said: str = "", strip: bool = False) -> Iterator[list[Any]]:
    """The page's values for a session: those of `_SHOWN`, and then the strip's if that is asked."""
    chosen = gr.Gallery(selected_index=_index(session))
    yield [*_values(session, said), gr.skip() if strip else chosen]
    if strip:
        shown = session.strip()
        yield [*[gr.skip()] * len(_SHOWN), gr.Gallery(shown, selected_index=_index(session))]


def _index(session: Session) -> int | None:
    """Which style of the strip the first selected region is painted in."""
    layer = session.edit.layers.get(session.selected[0]) if session.selected else None
    if layer is None or layer.image not in session.offered:
        return None
    return session.offered.index(layer.image)


def _values(session: Session, said: str) -> list[Any]:
    edit, regions = session.edit, session.regions
    names = [] if regions is None else regions.names
    objects = [] if regions is None else [one for n in names for one in regions.objects(n)]
    chosen = next((edit.layers[n] for n in session.selected if n in edit.layers), None)
    labels = {layer.label: layer.shown for layer in edit.layers.values()}
    shown = session.shown() if regions is not None else None
    download = session.download()
    color = {value: label for label, value in COLORS.items()}
    return [
        shown,
        said or _hint(session),
        gr.CheckboxGroup([*names, *objects], value=[*session.selected], visible=bool(names)),
        gr.CheckboxGroup(
            [*labels],
            value=[label for label, shows in labels.items() if shows],
            visible=bool(labels),
        ),
        gr.Button(interactive=bool(session.history.past)),
        gr.Button(interactive=bool(session.history.future)),
        gr.Button(interactive=bool(edit.painted)),
        gr.Button(visible=False),
        gr.DownloadButton(value=download, interactive=download is not None),
        gr.Code(visible=download is not None),
        chosen.strength if chosen else 0.5,
        chosen.scale if chosen else 1.0,
        color.get(chosen.color if chosen else "style", next(iter(COLORS))),
        (session.before(), session.after()) if regions is not None else None,
        gr.skip(),
    ]


def _hint(session: Session) -> str:
    """What to do next."""
    if session.regions is None:
        return _WELCOME
    if not session.selected:
        return "Click a part of the picture, or tick a region."
    if session.choosing:
        return f"Selected: {', '.join(session.selected)}. Click a style, or add another part."
    if session.result is not None:
        return "Click another part, or download."
    return (
        "Click another part for another style, or change strength and brushwork. This is a quick "
        "sketch: Refine paints it in full."
    )


def _connect(page: gr.Blocks, sessions: Sessions, parts: dict[str, Any]) -> None:
    outputs = [*(parts[name] for name in _SHOWN), parts["strip"]]

    def on(
        trigger: Callable[..., Any],
        change: Callable[..., str | None],
        inputs: list[Any] | None = None,
        strip: bool = False,
        progress: str = "minimal",
    ) -> None:
        """Let an event change its page's session; all that shows it is shown anew."""

        def react(request: gr.Request, *given: Any) -> Iterator[list[Any]]:
            session = sessions.of(request)
            with _in_words():
                said = change(session, *given) or ""
                yield from _view(session, said, strip)

        trigger(
            _with_data(react, change),
            inputs,
            outputs,
            show_progress=progress,
            show_progress_on=parts["picture" if progress == "full" else "said"],
            concurrency_id="device",
            concurrency_limit=1,
            api_visibility="private",
        )

    on(page.load, lambda session: None, strip=True)
    on(parts["photograph"].upload, _open, [parts["photograph"]], True, "full")
    on(parts["camera"].input, _open_camera, [parts["camera"]], True, "full")
    on(parts["sample"].input, Session.open_sample, [parts["sample"]], True, "full")
    on(parts["picture"].select, _click, [parts["picks"]], True)
    on(parts["regions"].input, Session.select, [parts["regions"]], True)
    on(parts["strip"].select, _take)
    on(parts["own"].upload, _add_style, [parts["own"]], True)
    on(parts["strength"].release, lambda s, v: s.change(strength=v), [parts["strength"]], True)
    on(parts["scale"].release, lambda s, v: s.change(scale=v), [parts["scale"]], True)
    on(parts["color"].input, lambda s, v: s.change(color=COLORS[v]), [parts["color"]], True)
    on(parts["layers"].input, _show, [parts["layers"]])
    on(parts["remove"].click, Session.remove)
    on(parts["undo"].click, Session.undo, strip=True)
    on(parts["redo"].click, Session.redo, strip=True)
    on(parts["phrase"].submit, Session.write_region, [parts["phrase"]], True, "full")
    on(parts["load_mask"].upload, _load_mask, [parts["load_mask"]], True)
    _connect_mending(sessions, parts, on)
    _connect_refining(sessions, parts, outputs)


def _with_data(react: Callable[..., Any], change: Callable[..., Any]) -> Callable[..., Any]:
    """Gradio hands on what was selected to those whose signature asks for it."""
    if change not in (_click, _take):
        return react

    def with_event(event: gr.SelectData, request: gr.Request, *given: Any) -> Any:
        yield from react(request, *given, event)

    return with_event


def _open(session: Session, path: str) -> None:
    with _sent(path) as file:
        session.open(file, file.name)


def _open_camera(session: Session, path: str | None) -> None:
    if path is not None:
        with _sent(path) as file:
            session.open(file, "camera")


def _load_mask(session: Session, path: str) -> None:
    with _sent(path) as file:
        session.load_mask(file, file.name)


def _add_style(session: Session, path: str) -> str:
    with _sent(path) as file:
        added = session.add_style(file, file.name)
    if session.selected:
        session.take(added)
        return ""
    return "Your style is in the strip. Click a part of the picture, then the style."


@contextlib.contextmanager
def _sent(path: str) -> Iterator[Path]:
    """A file that the browser has sent, in the server's own folder; it goes once it is read."""
    file = Path(path)
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def _click(session: Session, picks: str, event: gr.SelectData) -> str:
    column, row = event.index
    width, height = session.size()
    return session.click(min(1.0, (column + 0.5) / width), min(1.0, (row + 0.5) / height), picks)


def _take(session: Session, event: gr.SelectData) -> None:
    session.take(session.offered[int(event.index)])


def _show(session: Session, labels: list[str]) -> None:
    layers = session.edit.layers.values()
    session.show([layer.region for layer in layers if layer.label in labels])


def _connect_mending(sessions: Sessions, parts: dict[str, Any], on: Callable[..., None]) -> None:
    def begin(request: gr.Request) -> tuple[Any, Any]:
        session = sessions.of(request)
        with _in_words():
            shown = np.asarray(session.outlined())
        # Not the mask as a layer: the editor would show it beside its place.
        value: Any = {"background": shown, "layers": [], "composite": None}
        return gr.ImageEditor(value=value, visible=True), gr.Button(visible=True)

    def end(session: Session, value: dict[str, Any] | None) -> None:
        layers = [] if value is None else value["layers"]
        if not layers:
            raise UserError("paint something first: white belongs to the region, black does not")
        painted = np.asarray(layers[0], np.float32) / 255
        session.mend(painted[..., :3].mean(2), painted[..., 3])

    def hide() -> tuple[Any, Any]:
        return gr.ImageEditor(visible=False), gr.Button(visible=False)

    def save(request: gr.Request) -> Any:
        session = sessions.of(request)
        with _in_words():
            mask = session.mask_picture()
            path = session.folder / f"{'-'.join(session.selected)}-mask.png"
            mask.save(path)
        return gr.File(value=str(path), visible=True)

    options: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    parts["mend"].click(begin, None, [parts["editor"], parts["mended"]], **options)
    parts["save_mask"].click(save, None, parts["mask_file"], **options)
    on(parts["mended"].click, end, [parts["editor"]], True)
    parts["mended"].click(hide, None, [parts["editor"], parts["mended"]], **options)


def _connect_refining(sessions: Sessions, parts: dict[str, Any], outputs: list[Any]) -> None:
    place = {name: number for number, name in enumerate(_SHOWN)}

    def only(**values: Any) -> list[Any]:
        """What changes on the page, by name; all else stays."""
        changed = [gr.skip()] * (len(_SHOWN) + 1)
        for name, value in values.items():
            changed[place[name]] = value
        return changed

    def refine(method: str, size: str, request: gr.Request) -> Iterator[list[Any]]:
        session = sessions.of(request)
        with _in_words():
            run = session.start(method, SIZES[size])
            yield only(
                said="Starting ...",
                stop=gr.Button(visible=True),
                command=gr.Code(value=edits.command(run.words), visible=True),
                refine=gr.Button(interactive=False),
                tabs=gr.Tabs(selected="picture"),
            )
            try:
                number = 0
                while not run.wait(OFTEN) and not session.closed:
                    found = run.look()
                    if found.picture is None:
                        continue
                    number += 1
                    # Two names in turn: the one before may still be on its way to the browser.
                    path = session.folder / f"on-its-way-{number % 2}.jpg"
                    path.write_bytes(found.picture)
                    left = found.seconds_left
                    about = "" if left is None else f", about {left:.0f} s left"
                    yield only(picture=str(path), said=f"Refining: {found.done:.0%}{about}")
                if session.closed:
                    return
                said = session.finish()
            finally:
                run.end()
            yield [*_values(session, said), gr.skip()]

    def show_again(request: gr.Request) -> list[Any]:
        session = sessions.of(request)
        return [*_values(session, ""), gr.skip()]

    def stop(request: gr.Request) -> str:
        run = sessions.of(request).run
        if run is not None:
            run.stop()
        return "Stopping after this iteration ..."

    options: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    begun = parts["refine"].click(
        refine,
        [parts["method"], parts["size"]],
        outputs,
        show_progress_on=parts["said"],
        concurrency_id="device",
        concurrency_limit=1,
        **{**options, "show_progress": "minimal"},
    )
    begun.failure(show_again, None, outputs, **options)
    parts["stop"].click(stop, None, parts["said"], queue=False, **options)


def appearance() -> dict[str, Any]:
    """What `gr.Blocks.launch` needs for the page to look and act as it should."""
    return {"theme": gr.themes.Soft(), "css": _CSS, "head": _HEAD}
