"""Page: the studio's components, and which of a session's functions their events call."""

import contextlib
import importlib.util
import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from pipeline.command.messages import failure
from pipeline.config.schema import Settings
from pipeline.errors import UserError
from pipeline.pictures.read import SAMPLES
from pipeline.studio import edits
from pipeline.studio.painter import SHOWN, Painter
from pipeline.studio.pictures import bounded
from pipeline.studio.refining import OFTEN, Run
from pipeline.studio.session import (
    BOX,
    NOT_THING,
    OBJECT,
    PICKS,
    REGION,
    THING,
    Place,
    Session,
)
from pipeline.studio.sessions import Sessions

log = logging.getLogger(__name__)

_METHODS = {
    "guided": "guided: the usual one",
    "stitch": "stitch: from one sheet of all styles",
    "composite": "composite: each region by itself",
    "instant": "instant: rough, in a second",
}
_SIZES = {
    "auto": "as large as the time allows",
    "full": "the photograph's own (can take long)",
}
_COLORS = {
    "style": "the style's",
    "luminance": "the photograph's",
    "match": "the style's, fitted to the photograph's",
}
_CSS = """
#picture img, #before-after img {max-height: 62vh}
#strip .grid-wrap {min-height: 0; max-height: none; overflow: visible}
#strip .grid-container {grid-template-columns: repeat(auto-fill, minmax(92px, 1fr)) !important}
#strip .caption-label {font-size: 0.7rem; padding: 1px 4px; opacity: 1 !important}
#command .cm-scroller {min-height: 0 !important}
#said {min-height: 1.6em}
/* While a run is under way nothing else is asked for. */
.gradio-container:has(#stop) :is(
  #strip, #regions, #layers, #picks, #strength, #scale, #color,
  #photograph, #sample, #camera, #undo, #redo, #remove, #own-style, #more
) {pointer-events: none; opacity: 0.5}
.gradio-container:has(#stop) #picture {pointer-events: none}
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
# What a browser's tab keeps when the page is loaded anew.
_KEY = """() => {
  const made = () => [...crypto.getRandomValues(new Uint32Array(4))].join("-");
  try {
    const key = sessionStorage.getItem("studio") ?? made();
    sessionStorage.setItem("studio", key);
    return key;
  } catch { return ""; }
}"""
_TO_EDITOR = (
    "() => setTimeout(() => document.querySelector('#editor')"
    "?.scrollIntoView({behavior: 'smooth', block: 'center'}), 300)"
)
# What one does for each of `PICKS`.
_HOW = {
    REGION: "Click a part of the picture; click more to add them.",
    OBJECT: "Click one of several, such as one person of a group.",
    THING: "Click a thing; its outline is found. Click it again where something is missing.",
    NOT_THING: "Click what does not belong to the thing that was found.",
    BOX: "Click one corner of a box around a thing, then the opposite corner.",
}
# Of a run's work, below which nothing is known yet of how long it takes.
_TOO_EARLY = 0.05
# The size of the picture that is clicked: when the click is looked at there may be another. (As an
# input gr.Image is lost where an event has skipped it.)
_CLICKED = """(_, picks) => {
  const shown = document.querySelector("#picture img");
  return [shown ? `${shown.naturalWidth} ${shown.naturalHeight}` : "", picks];
}"""
_COMMAND = "The command that makes it, in a terminal, in the folder where the studio was started"
_WELCOME = "Open a photograph, click a part of it, then a style."


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
                parts |= _side_column(painter.usual)
        parts |= {"said": said, "from_browser": gr.Textbox(visible=False)}
        _connect(page, sessions, parts)

        def leave(request: gr.Request) -> None:
            sessions.leave(_connection(request))

        page.unload(leave)
    page.queue(default_concurrency_limit=8, max_size=64, status_update_rate=1)
    return page, sessions


def _connection(request: gr.Request) -> str:
    return str(request.session_hash)


def _choices(labels: Mapping[str, str], usual: str) -> list[tuple[str, str]]:
    """What a setting can be, as the page calls it; and what it is, if that is none of these."""
    known = [(label, value) for value, label in labels.items()]
    return known if usual in labels else [(usual, usual), *known]


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
            # Otherwise it would be read before its size is looked at.
            image_mode=None,
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


# Colours of the brush.
_INSIDE, _OUTSIDE = "#00c853", "#ff1744"


def _bound(editor: gr.ImageEditor) -> None:
    """Let what is sent as painted be read only if it is no larger than other pictures may be."""
    read = editor.preprocess

    def preprocess(payload: Any) -> Any:
        sent = payload and (editor.blob_storage.get(payload.id) if payload.id else payload)
        for one in [] if not sent else [sent.background, sent.composite, *(sent.layers or [])]:
            if one is not None:
                file = io.BytesIO(one) if isinstance(one, bytes) else Path(one.path)
                bounded(file, "what was painted")
        return read(payload)

    # Not a class of one's own: Gradio would write a file beside this one for it.
    editor.preprocess = preprocess  # type: ignore[method-assign]


def _side_column(usual: Settings) -> dict[str, Any]:
    regions = gr.CheckboxGroup([], label="Regions", elem_id="regions", visible=False)
    picks = gr.Radio(PICKS, value=REGION, label="A click on the picture picks", elem_id="picks")
    strength = gr.Slider(0, 1, usual.strength, step=0.05, label="Strength", elem_id="strength")
    scale = gr.Slider(0.5, 3, 1, step=0.1, label="Size of brushwork", elem_id="scale")
    color = gr.Radio(
        _choices(_COLORS, usual.color.value),
        value=usual.color.value,
        label="Colours",
        elem_id="color",
    )
    layers = gr.CheckboxGroup([], label="Painted (untick to hide)", elem_id="layers", visible=False)
    remove = gr.Button("Take the style off what is selected", size="sm", elem_id="remove")
    with gr.Accordion("More ways to a region", open=False, elem_id="more"):
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
        brush = gr.Markdown(visible=False, elem_id="brush")
        editor = gr.ImageEditor(
            show_label=False,
            type="numpy",
            visible=False,
            sources=[],
            transforms=[],
            brush=gr.Brush(default_size=16, colors=[_INSIDE, _OUTSIDE], color_mode="fixed"),
            layers=False,
            buttons=[],
            elem_id="editor",
        )
        _bound(editor)
        mended = gr.Button(
            "Use the mended edge", size="sm", variant="primary", visible=False, elem_id="mended"
        )
    with gr.Accordion("How it is refined", open=False):
        method = gr.Dropdown(
            _choices(_METHODS, usual.method.name),
            value=str(usual.method.name),
            label="Method",
            elem_id="method",
        )
        size = gr.Dropdown(
            _choices(_SIZES, str(usual.size)),
            value=str(usual.size),
            label="Size",
            elem_id="size",
        )
    command = gr.Code(
        label=_COMMAND,
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
        "brush": brush,
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
    refined = session.refined
    usual = session.painter.usual
    strength = chosen.strength if chosen else None
    stopped = refined is not None and refined.stopped
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
        gr.DownloadButton(
            value=refined.picture if refined else None, interactive=refined is not None
        ),
        gr.Code(
            value=edits.command(refined.words) if refined else None,
            label=_COMMAND + (" (it was stopped: this goes to the end)" if stopped else ""),
            visible=refined is not None,
        ),
        usual.strength if strength is None else strength,
        chosen.scale if chosen else 1.0,
        (chosen and chosen.color) or usual.color.value,
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
    if session.refined is not None:
        return "This is the finished picture. Download it, or click another part."
    return (
        "Click another part for another style, or change strength and brushwork. This is a quick "
        "sketch: Refine paints it in full."
    )


def _connect(page: gr.Blocks, sessions: Sessions, parts: dict[str, Any]) -> None:
    outputs = [*(parts[name] for name in _SHOWN), parts["strip"]]

    def show_again(request: gr.Request) -> list[Any]:
        """What there is: after an error, no part of the page keeps what was refused."""
        with _in_words():
            return [*_values(sessions.of(_connection(request)), ""), gr.skip()]

    def on(
        trigger: Callable[..., Any],
        change: Callable[..., str | None],
        inputs: list[Any] | None = None,
        strip: bool = False,
        progress: str = "minimal",
        js: str | None = None,
    ) -> Any:
        """Let an event change its page's session; all that shows it is shown anew.

        But for inputs that say what the session has: by now they may show the next value.

        Args:
            trigger: of the event.
            change: what it does, given the session and the inputs.
            inputs: components.
            strip: whether the strip's pictures change.
            progress: how much is seen of it.
            js: what the browser makes of the inputs.
        """
        shown = [(outputs.index(c), k) for k, c in enumerate(inputs or []) if c in outputs]

        def react(request: gr.Request, *given: Any) -> Iterator[list[Any]]:
            with _in_words():
                session = sessions.of(_connection(request))
                said = change(session, *given) or ""
                for values in _view(session, said, strip):
                    for place, number in shown:
                        if getattr(values[place], "value", values[place]) == given[number]:
                            values[place] = gr.skip()
                    yield values
                session.follow_outlines()

        event = trigger(
            _with_data(react, change),
            inputs,
            outputs,
            show_progress=progress,
            show_progress_on=parts["picture" if progress == "full" else "said"],
            concurrency_id="device",
            concurrency_limit=1,
            # Each counts, with the values of its time; Gradio would drop those that come quickly.
            trigger_mode="multiple",
            js=js,
            api_visibility="private",
        )
        event.failure(show_again, None, outputs, **_QUIETLY)
        return event

    strength, scale, color = (parts[name] for name in ("strength", "scale", "color"))
    opened = [
        on(parts["photograph"].upload, _open, [parts["photograph"]], True, "full"),
        on(parts["camera"].input, _open_camera, [parts["camera"]], True, "full"),
        on(parts["sample"].input, Session.open_sample, [parts["sample"]], True, "full"),
    ]
    clicked = [parts["from_browser"], parts["picks"]]
    on(parts["picture"].select, _click, clicked, True, js=_CLICKED)
    on(parts["regions"].input, Session.select, [parts["regions"]], True)
    on(parts["strip"].select, _take)
    on(parts["own"].upload, _add_style, [parts["own"]], True)
    on(strength.release, _change_strength, [strength], True)
    on(scale.release, _change_scale, [scale], True)
    on(color.input, _change_color, [color], True)
    on(parts["layers"].input, _show, [parts["layers"]])
    on(parts["remove"].click, Session.remove, strip=True)
    parts["picks"].input(
        lambda pick: _HOW[pick], parts["picks"], parts["said"], queue=False, **_QUIETLY
    )
    on(parts["undo"].click, Session.undo, strip=True)
    on(parts["redo"].click, Session.redo, strip=True)
    on(parts["phrase"].submit, Session.write_region, [parts["phrase"]], True, "full")
    on(parts["load_mask"].upload, _load_mask, [parts["load_mask"]], True)
    hide = _connect_mending(sessions, parts, on)
    for event in opened:
        hide(event)
    for event in _connect_refining(page, sessions, parts, outputs):
        event.failure(show_again, None, outputs, **_QUIETLY)


#: For events that nobody waits for.
_QUIETLY: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def _with_data(react: Callable[..., Any], change: Callable[..., Any]) -> Callable[..., Any]:
    """Gradio hands on what was selected to those whose signature asks for it."""
    if change not in (_click, _take):
        return react

    def with_event(event: gr.SelectData, request: gr.Request, *given: Any) -> Any:
        yield from react(request, *given, event)

    return with_event


def _open(session: Session, path: str) -> None:
    session.open(Path(path), Path(path).name)


def _open_camera(session: Session, path: str | None) -> None:
    if path is not None:
        session.open(Path(path), "camera")


def _load_mask(session: Session, path: str) -> None:
    session.load_mask(Path(path), Path(path).name)


def _add_style(session: Session, path: str) -> str:
    added = session.add_style(Path(path), Path(path).name)
    if session.selected:
        session.take(added)
        return ""
    return "Your style is in the strip. Click a part of the picture, then the style."


def _change_strength(session: Session, value: float) -> None:
    session.change(strength=value)


def _change_scale(session: Session, value: float) -> None:
    session.change(scale=value)


def _change_color(session: Session, value: str) -> None:
    session.change(color=value)


def _click(session: Session, size: str, picks: str, event: gr.SelectData) -> str:
    width, height = map(int, size.split())
    column, row = event.index
    return session.click(min(1.0, (column + 0.5) / width), min(1.0, (row + 0.5) / height), picks)


def _take(session: Session, event: gr.SelectData) -> None:
    name = event.value["caption"]
    if name not in session.styles:
        raise UserError(f"the style {name} is gone; choose another")
    session.take(session.styles[name])


def _show(session: Session, labels: list[str]) -> None:
    layers = session.edit.layers.values()
    session.show([layer.region for layer in layers if layer.label in labels])


def _connect_mending(
    sessions: Sessions, parts: dict[str, Any], on: Callable[..., Any]
) -> Callable[[Any], None]:
    """Connect the brush and the files of masks; how an event makes the brush go."""

    def begin(request: gr.Request) -> list[Any]:
        with _in_words():
            session = sessions.of(_connection(request))
            shown = np.asarray(session.begin_mending())
        # Not the mask as a layer: the editor would show it beside its place.
        value: Any = {"background": shown, "layers": [], "composite": None}
        how = f"**{session.selected[0]}**: paint green what belongs to it, red what does not."
        return [
            gr.Markdown(how, visible=True),
            gr.ImageEditor(value=value, visible=True),
            gr.Button(visible=True),
        ]

    def end(session: Session, value: dict[str, Any] | None) -> None:
        layers = [] if value is None else value["layers"]
        if not layers:
            raise UserError("paint something first: green belongs to the region, red does not")
        red, green, _, opacity = np.moveaxis(np.asarray(layers[0], np.float32) / 255, 2, 0)
        session.mend((green > red).astype(np.float32), opacity)

    def save(request: gr.Request) -> Any:
        with _in_words():
            path = sessions.of(_connection(request)).mask_file()
        return gr.File(value=str(path), visible=True)

    editor = [parts["brush"], parts["editor"], parts["mended"]]

    def hide(event: Any) -> None:
        hidden = [part(visible=False) for part in (gr.Markdown, gr.ImageEditor, gr.Button)]
        event.success(lambda: hidden, None, editor, **_QUIETLY)

    begun = parts["mend"].click(begin, None, editor, **_QUIETLY)
    begun.success(None, None, None, js=_TO_EDITOR)
    parts["save_mask"].click(save, None, parts["mask_file"], **_QUIETLY)
    hide(on(parts["mended"].click, end, [parts["editor"]], True))
    return hide


def _connect_refining(
    page: gr.Blocks, sessions: Sessions, parts: dict[str, Any], outputs: list[Any]
) -> list[Any]:
    """Connect the run; the events that watch one."""
    place = {name: number for number, name in enumerate(_SHOWN)}

    def only(**values: Any) -> list[Any]:
        """What changes on the page, by name; all else stays."""
        changed = [gr.skip()] * (len(_SHOWN) + 1)
        for name, value in values.items():
            changed[place[name]] = value
        return changed

    def load(key: str, request: gr.Request) -> Iterator[list[Any]]:
        with _in_words():
            session = sessions.begin(_connection(request), key)
            yield from _view(session, strip=True)
            if session.run is not None:  # the page was loaded anew meanwhile
                yield from watch(request, session, session.run)

    def refine(method: str, size: str, request: gr.Request) -> Iterator[list[Any]]:
        with _in_words():
            session = sessions.of(_connection(request))
            while sessions.busy(session):
                yield only(said="Waiting for the end of somebody else's ...")
                time.sleep(OFTEN)
            yield from watch(request, session, session.start(method, size))

    def watch(request: gr.Request, session: Session, run: Run) -> Iterator[list[Any]]:
        yield only(
            said="Starting ...",
            stop=gr.Button(visible=True),
            command=gr.Code(value=edits.command(run.words), visible=True),
            refine=gr.Button(interactive=False),
            tabs=gr.Tabs(selected="picture"),
        )
        number = 0
        while not run.wait(OFTEN):
            sessions.of(_connection(request))  # it is watched: it goes on
            found = run.look()
            if found.picture is None:
                continue
            number += 1
            # Two names in turn: the one before may still be on its way to the browser.
            path = session.folder / f"on-its-way-{number % 2}.jpg"
            path.write_bytes(found.picture)
            left = None if found.done < _TOO_EARLY else found.seconds_left
            about = "" if left is None else f", about {left:.0f} s left"
            yield only(picture=str(path), said=f"Refining: {found.done:.0%}{about}")
        if session.run is run and not session.closed:
            yield [*_values(session, session.finish()), gr.skip()]

    def stop(request: gr.Request) -> str:
        with _in_words():
            run = sessions.of(_connection(request)).run
        if run is not None:
            run.stop()
        return "Stopping after this iteration ..."

    watching: dict[str, Any] = {
        "show_progress": "minimal",
        "show_progress_on": parts["said"],
        "api_visibility": "private",
    }
    parts["stop"].click(stop, None, parts["said"], queue=False, **_QUIETLY)
    return [
        # Whoever comes, or comes back, does not wait for others.
        page.load(
            load, parts["from_browser"], outputs, js=_KEY, concurrency_limit=None, **watching
        ),
        parts["refine"].click(
            refine,
            [parts["method"], parts["size"]],
            outputs,
            concurrency_id="device",
            concurrency_limit=1,
            **watching,
        ),
    ]


def appearance() -> dict[str, Any]:
    """What `gr.Blocks.launch` needs for the page to look and act as it should."""
    return {"theme": gr.themes.Soft(), "css": _CSS, "head": _HEAD}
