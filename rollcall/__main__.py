"""The command line: `python -m rollcall`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from faces.errors import RollcallError
from rollcall import __version__
from rollcall.up import Place

console = Console(highlight=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rollcall")
def cli() -> None:
    """Rollcall: face recognition for many sites."""


@cli.command()
@click.option("--keep", is_flag=True, help="Go on until Ctrl-C: the camera's film plays in a loop.")
@click.option("--data", type=click.Path(path_type=Path), default=Path("rollcall-data/demo"), show_default=True)
def demo(keep: bool, data: Path) -> None:
    """Enrol a person from two photos and watch them, and a stranger, walk past a camera."""
    from rollcall.demo import run
    from rollcall.up import free_port

    place = Place(data=data.resolve())
    try:
        place.check_ports()
    except RollcallError:
        place = Place(data=data.resolve(), port=free_port(), stream_port=0)
    run(place, console, keep=keep)


@cli.command()
@click.option("--video", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A film as the camera.")
@click.option("--camera", type=int, help="A camera of this machine by number.")
@click.option("--rtsp", help="A network camera's rtsp:// URL.")
@click.option("--name", default="camera", show_default=True, help="What the camera is called.")
@click.option("--loop", is_flag=True, help="Play the film again and again.")
@click.option("--data", type=click.Path(path_type=Path), default=Path("rollcall-data"), show_default=True)
@click.option("--port", type=int, default=5000, show_default=True, help="REST, dashboard and stream.")
@click.option("--stream-port", type=int, default=3001, show_default=True, help="The stream again; 0: not.")
def up(
    video: Path | None,
    camera: int | None,
    rtsp: str | None,
    name: str,
    loop: bool,
    data: Path,
    port: int,
    stream_port: int,
) -> None:
    """Run everything on this machine: control plane, worker, and an edge with one camera."""
    from rollcall.run import run

    sources = [str(s) for s in (video, camera, rtsp) if s is not None]
    if len(sources) > 1:
        raise click.UsageError("--video, --camera and --rtsp are one camera's source: give one of them.")
    settings = {"VIDEO_SOURCE": sources[0] if sources else "0", "CAMERA": name}
    settings |= {"VIDEO_LOOP": "loop"} if loop else {}
    run(Place(data=data.resolve(), port=port, stream_port=stream_port), settings, console)


def main() -> NoReturn:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except RollcallError as error:
        console.print(f"[bold red]{error.message}[/]  {error.remedy}", style=None)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


if __name__ == "__main__":
    main()
