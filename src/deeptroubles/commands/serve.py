"""`deeptroubles serve`: one local page to look for yourself."""

from __future__ import annotations

import secrets
import shlex
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from deeptroubles.commands.console import err, out
from deeptroubles.commands.images import Label, Masks, PathColumn, ValueRange, images_with_masks
from deeptroubles.commands.model import Load, load_model, named_model, origin_of, with_model
from deeptroubles.errors import UsageError
from deeptroubles.run.origin import Origin, is_run, read_origin, write_origin

if TYPE_CHECKING:
    from deeptroubles.serving.workbench import Opened, Workbench

PORT = 8321


@with_model()
def serve(
    *,
    load: Load,
    images: Annotated[str | None, typer.Option(help="The images, as for audit; not needed for a run folder.")] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Run folder to open or to create. Default: a temporary one.")
    ] = None,
    label: Label = None,
    path_column: PathColumn = None,
    value_range: ValueRange = None,
    masks: Masks = None,
    beside: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A second model, whose predictions are shown beside those of the first."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen on; if other machines can reach it, --token is required.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = PORT,
    token: Annotated[
        str | None,
        typer.Option(
            help="The secret that lets a browser in; it is part of the printed address. Default: a new one at every "
            "start."
        ),
    ] = None,
    root_path: Annotated[
        str, typer.Option(help="Path under which a proxy serves the page, such as /tools/troubles.")
    ] = "",
) -> None:
    """Open a page to look for yourself: findings, microscope, what-if, data and fairness, attack lab.

    MODEL is a model (with --images), or the folder of a run.
    """
    if host not in _LOOPBACK and not token:
        raise UsageError(
            f"On {host} others can reach the page and compute with it: protect it with --token SECRET (the page is not "
            "encrypted; put a proxy with TLS in front of it)."
        )
    read = {"label": label, "path_column": path_column, "value_range": value_range, "masks": masks}
    with opened_bench(load, images, out_folder, read, beside, seed) as bench:
        _run(bench, host, port, token or secrets.token_urlsafe(24), root_path.rstrip("/"))


@contextmanager
def opened_bench(
    load: Load,
    images: str | None,
    folder: Path | None,
    read: Mapping[str, str | None],
    beside: str | None = None,
    seed: int = 0,
) -> Iterator[Workbench]:
    """A workbench on a run folder (named in place of the model), or on a model and images.

    Raises:
        UsageError: Images are missing.
    """
    named = Path(named_model(load))
    with ExitStack() as stack:
        if is_run(named):
            folder, (opened, seed) = named, _reopened(named)
        elif images is None:
            raise UsageError("Say which images, with --images IMAGES (or name the folder of a run).")
        else:
            opened = _opened(load, images, read, beside)
        if folder is None:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="deeptroubles-"))) / "run"
        from deeptroubles.serving.workbench import Workbench

        bench = stack.enter_context(closing(Workbench(folder, opened, seed)))
        if opened and images:
            write_origin(folder, origin_of(load, images, seed, read))
        yield bench


_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def _opened(load: Load, images: str, read: Mapping[str, str | None], beside: str | None = None) -> Opened:
    classifier = load()
    from deeptroubles.serving.workbench import Opened

    return Opened(classifier, images_with_masks(images, read), load_model(beside) if beside else None)


def _reopened(folder: Path) -> tuple[Opened | None, int]:
    """The model, images and seed of a run; no model where the folder names none, or one whose loading runs code."""
    origin = read_origin(folder)
    if origin is None:
        err.print(
            "The folder does not say where its model is, so the page shows what it holds and computes nothing.",
            highlight=False,
        )
        return None, 0
    from deeptroubles.models import is_module, runs_code

    masks = origin.images_options.get("masks")
    if runs_code(origin.model) or (masks and is_module(masks)) or ":" in origin.images:
        err.print(
            f"The page shows what the folder holds and computes nothing: loading {origin.model} on {origin.images} "
            "would run code or use the network, and a run folder is not trusted to do that. To compute more: "
            f"{_with_model(origin, folder)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return None, origin.seed
    return _opened(_loading(origin), origin.images, dict(origin.images_options)), origin.seed


def _with_model(origin: Origin, folder: Path) -> str:
    """The command that serves a run and loads its model."""
    words = ["deeptroubles", "serve", origin.model, "--images", origin.images, "--out", str(folder)]
    for name, value in {**origin.model_options, **origin.images_options}.items():
        if value:
            words += [f"--{'range' if name == 'value_range' else name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _loading(origin: Origin) -> Load:
    return lambda: load_model(origin.model, **_typed(origin))


def _typed(origin: Origin) -> dict[str, Any]:
    """Options as the command line gives them: files are paths."""
    files = {"classes", "weights"}
    return {k: Path(str(v)) if k in files and v is not None else v for k, v in origin.model_options.items()}


def _run(bench: Workbench, host: str, port: int, token: str, root_path: str) -> None:
    import uvicorn

    from deeptroubles.serving.app import make_app, page_html
    from deeptroubles.serving.guard import LOOPBACK, Guard

    page_html(root_path)  # say at once that the page is missing
    listening = _listen(host, port)
    hosts = LOOPBACK if host in LOOPBACK else ()
    app = Guard(make_app(bench, root_path), token=token, hosts=hosts, root_path=root_path)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listening.getsockname()[1]}{root_path}/?token={token}"
    out.print(f"Open {escape(address)}", soft_wrap=True, highlight=False)
    err.print("Ctrl-C stops the server.", highlight=False)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on", timeout_graceful_shutdown=2))
    with suppress(KeyboardInterrupt):  # the way to end it
        server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UsageError where it cannot."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {host}, port {port} ({error.strerror or error}); choose another with --port."
        ) from error
