"""Serve: the studio's page, from a command or a notebook."""

import argparse
import atexit
import contextlib
import ipaddress
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import UserError, fails_in_one_line, without_warnings
from pipeline.runtime import threads
from pipeline.runtime.interruption import raise_on


def launch(
    *words: str,
    host: str = "127.0.0.1",
    port: int | None = None,
    folder: str | Path | None = None,
    browser: bool = False,
    wait: bool | None = None,
) -> str:
    """Open the studio: a page on which regions of a photograph are clicked and painted.

    Args:
        words: settings for all that it paints, as on the command line
            (``"segmenter=deeplabv3_resnet101"``).
        host: the address that it listens at; others than this machine's own let others in, who
            then do not see each other's pictures.
        port: of it; None: the first free one from 7860.
        folder: where commands start and ``outputs/`` is; None: the present one.
        browser: whether to open a browser.
        wait: whether to return only when the server ends; None: not in a notebook.

    Returns:
        The page's address.

    Raises:
        UserError: gradio is missing, a setting is wrong, or the port is taken.
    """
    try:
        import gradio  # noqa: F401
    except ImportError:
        raise UserError("the studio needs gradio: pip install -e '.[studio]'") from None
    from pipeline.studio.page import appearance, build_page
    from pipeline.studio.painter import Painter
    from pipeline.studio.pictures import MOST_BYTES
    from pipeline.studio.session import Place

    here = Path.cwd() if folder is None else Path(folder).resolve()
    outputs = here / "outputs"
    kept = outputs / "studio"
    place = Place(here, outputs, kept, kept / "styles", shared=not _is_loopback(host))
    painter = Painter(words, here)
    # What the browser has sent and is sent goes with the server at the latest.
    temporary = tempfile.mkdtemp(prefix="studio-", dir=os.environ.get("GRADIO_TEMP_DIR"))
    os.environ["GRADIO_TEMP_DIR"] = temporary
    page, sessions = build_page(painter, place)
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    atexit.register(sessions.close_all)
    # The networks are loaded before somebody waits for them. No daemon: a process that ends while
    # torch is at work in one is aborted.
    threading.Thread(target=painter.warm).start()
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            show_error=True,
            max_file_size=MOST_BYTES,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            **appearance(),
        )
    except OSError as error:
        raise UserError(f"{host}: {error}; choose another with --host or --port") from None
    print(f"The studio is at {address} (Ctrl-C ends it)")
    if wait if wait is not None else not _in_notebook():
        page.block_thread()
    return str(address)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules


def main(words: Sequence[str] | None = None) -> None:
    """The command; exits with 2 where the user has to put something right."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.studio",
        description="Open a page in the browser: click a region, see every style on it, refine.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument(
        "settings", nargs="*", help="for all that is painted, such as segmenter=deeplabv3_resnet101"
    )
    given = parser.parse_args(words)
    without_warnings()
    threads.choose_waiting()
    # What is registered with `atexit`, runs and pictures, goes then too.
    raise_on("SIGTERM", "SIGHUP")
    with fails_in_one_line(), contextlib.suppress(KeyboardInterrupt):
        launch(
            *given.settings,
            host=given.host,
            port=given.port,
            browser=not given.no_browser,
            wait=True,
        )
