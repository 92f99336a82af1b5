"""The commands. Each reads its options here and hands over to the file that does the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console

from faces.engine import DETECTORS, ENGINES
from faces.errors import Invalid, Reason, Refused, RollcallError
from rollcall import __version__
from rollcall.jobs_commands import jobs
from rollcall.options import CENTRE, EDGE, data_in, usual
from rollcall.terminal import text_console
from rollcall.up import Place
from rollcall.user_commands import users

if TYPE_CHECKING:
    from control_plane.store.db import Database

console = text_console()
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


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
@click.option("--video", type=FILE, help="A film as the camera.")
@click.option("--camera", type=int, help="A camera of this machine by number.")
@click.option("--rtsp", help="A network camera's rtsp:// URL.")
@click.option("--name", default="camera", show_default=True, help="What the camera is called.")
@click.option("--loop", is_flag=True, help="Play the film again and again.")
@data_in(CENTRE)
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
    if rtsp is not None:
        _hide(rtsp)
    settings = {"CAMERA": name}
    settings |= {"VIDEO_SOURCE": sources[0]} if sources else {}
    settings |= {"VIDEO_LOOP": "loop"} if loop else {}
    run(Place(data=data.resolve(), port=port, stream_port=stream_port), settings, console)


def _hide(rtsp: str) -> None:
    """Start over with the URL in the environment: it may hold a password, and everybody on this machine may read a
    process's arguments."""
    words = [word for word in sys.orig_argv[1:] if word not in ("--rtsp", rtsp, f"--rtsp={rtsp}")]
    os.execve(sys.executable, [sys.executable, *words], {**os.environ, "VIDEO_SOURCE": rtsp})


@cli.command()
@click.argument("folder", type=FOLDER, required=False)
@click.option("--gallery", help="Instead of a folder: an enrolled gallery, each person left out in turn.")
@click.option("--engine", type=click.Choice(ENGINES), default=ENGINES[0], show_default=True)
@click.option("--models", type=FOLDER, help="A folder of weight files to use instead of the installed ones.")
@click.option("--detector", type=click.Choice(DETECTORS), default=DETECTORS[0], help="What finds the faces.")
@click.option("--photos", type=click.IntRange(1, 100), default=3, show_default=True, help="Photos enrolled a person.")
@click.option("--probes", type=click.IntRange(1, 100), default=1, show_default=True, help="Photos a search averages.")
@click.option("--tracks", is_flag=True, help="Judge whole tracks, by the edge, in films of the photos not enrolled.")
@click.option("--splits", type=click.IntRange(1), help="With --tracks: ways to part a person's photos; else all.")
@click.option("--strangers", type=FOLDER, help="Photos of people who are never enrolled.")
@click.option("--distance", type=click.FloatRange(0, 2), help="The distance to report; else the engine's own.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the order of each person's photos.")
@click.option("--fpir", type=click.FloatRange(0.000001, 0.5), default=0.003, show_default=True, help="FPIR you want.")
@click.option("--people", type=click.IntRange(1), help="Gallery size you plan; else that of the folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw both rates as an SVG picture.")
@data_in(CENTRE)
def evaluate(
    folder: Path | None,
    gallery: str | None,
    engine: str,
    models: Path | None,
    detector: str,
    photos: int,
    probes: int,
    tracks: bool,
    splits: int | None,
    strangers: Path | None,
    distance: float | None,
    seed: int,
    fpir: float,
    people: int | None,
    as_json: bool,
    plot: Path | None,
    data: Path,
) -> None:
    """Measure who is recognised and which stranger is given a name (ISO/IEC 19795-1).

    FOLDER holds a folder of photos for each person.
    """
    from rollcall import evaluate as evaluation
    from rollcall import evaluate_tracks as whole
    from rollcall import plot as plotting

    if (folder is None) == (gallery is None):
        raise click.UsageError("Give a folder of people, or --gallery.")
    if tracks and (gallery is not None or plot is not None):
        raise click.UsageError("--tracks needs a folder of people, and draws no picture.")
    if gallery is not None:
        _confusion(gallery, engine, distance, data, as_json)
        return
    assert folder is not None
    options = evaluation.Options(
        folder=folder,
        strangers=strangers,
        engine=engine,
        models=models,
        detector=detector,
        photos=photos,
        probes=probes,
        distance=distance,
        seed=seed,
        wanted_fpir=fpir,
        wanted_gallery=people,
    )
    if tracks:
        judged = whole.run(options, Console(stderr=True), splits=splits)
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(judged)).decode())
        else:
            whole.show(judged, console)
        return
    report, found = evaluation.run(options, Console(stderr=True))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        evaluation.show(report, console)
    if plot is not None:
        title = f"{engine}: {report.gallery} people, {photos} photos each, {probes} probe(s)"
        plotting.save(found, report.operating.distance, title, plot)


@cli.command("import")
@click.argument("file", type=FILE)
@data_in(CENTRE)
@click.option("--url", default="http://127.0.0.1:5000", show_default=True, help="The running product, for a ZIP.")
@click.option("--force", is_flag=True, help="Enrol look-alikes of a ZIP all the same.")
@click.option("--dry-run", is_flag=True, help="Only report what a ZIP would bring.")
def import_(file: Path, data: Path, url: str, force: bool, dry_run: bool) -> None:
    """Import a ZIP of photos (katya.jpg, katya/1.jpg), or the people of the original service from its face_db.pkl."""
    if file.suffix.lower() == ".zip":
        from rollcall.importing import run

        run(file, url.rstrip("/"), console, force=force, dry_run=dry_run)
        return
    from control_plane.store.db import utcnow
    from jobs.config import Config as WorkerConfig
    from rollcall import face_db
    from rollcall.moving_in import move_in

    if file.suffix != ".pkl":
        raise Invalid(f"{file.name} is neither a ZIP nor a face_db.pkl", remedy="Its name ends with .zip or .pkl.")
    if WorkerConfig.read(os.environ).require_consent:
        raise Refused(
            Reason.CONSENT_MISSING,
            "REQUIRE_CONSENT is set, and a face_db.pkl says nothing of consent",
            remedy="Import their photos as a ZIP whose manifest.csv does.",
        )
    people = face_db.read(file.read_bytes())
    with _database(data) as database, _progress("Moving in", len(people)) as advance:
        moved = move_in(database, people, utcnow, advance)
    console.print(f"{len(moved.added)} people moved in, {len(moved.known)} were there already.")
    console.print(
        "Their encodings are of the model face_recognition-bgr: set ENGINE=face_recognition-bgr for worker and edges. "
        "They have no photo, so no other engine can take them over."
    )


@cli.command()
@click.argument("photo", type=FILE)
@click.option("--gallery", "galleries", multiple=True, help="Id of a gallery; may be repeated. Else the default one.")
@click.option("--url", default="http://127.0.0.1:5000", show_default=True, help="The running product.")
def identify(photo: Path, galleries: tuple[str, ...], url: str) -> None:
    """Say who is on a photo, by the running product."""
    from rollcall.identifying import run

    run(photo, url.rstrip("/"), console, galleries)


@cli.command()
@click.option("--engine", type=click.Choice(ENGINES), help="The engine that galleries are to go by.")
@click.option("--back", is_flag=True, help="Go back to the engine before.")
@click.option("--accept-losses", is_flag=True, help="Switch although somebody would not be recognised any more.")
@click.option("--clean-up", is_flag=True, help="Remove the encodings of the engines before.")
@click.option("--url", default="http://127.0.0.1:5000", show_default=True, help="The running product.")
def reencode(engine: str | None, back: bool, accept_losses: bool, clean_up: bool, url: str) -> None:
    """Change the engine: encode every kept photo anew, then have all galleries and edges switch at once."""
    from rollcall import reencoding

    if [engine is not None, back, clean_up].count(True) != 1:
        raise click.UsageError("Give one of --engine, --back and --clean-up.")
    if clean_up:
        reencoding.clean_up(url.rstrip("/"), console)
    else:
        reencoding.run(url.rstrip("/"), console, engine, accept_losses=accept_losses)


@cli.command()
@data_in(CENTRE)
def migrate(data: Path) -> None:
    """Bring the database up to date for this version, while the version before it goes on."""
    from rollcall.migrating import run

    run(data, console)


@cli.command()
@click.argument("role", type=click.Choice(["edge", "centre"]), default="edge")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(role: str, as_json: bool) -> None:
    """Say what this machine can carry and what is wrong with it, by the settings that the ROLE reads.

    Ends with 0 if all is well, 1 if something will not work, 2 if something could be better.
    """
    from rollcall.doctor import run

    report = run.examine(role, Console(stderr=True))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        run.show(report, console)
    sys.exit(report.exit_code)


@cli.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--vault", type=click.Path(file_okay=False, path_type=Path), help="A folder for the keys, apart from it.")
@data_in(CENTRE)
def backup(folder: Path, vault: Path | None, data: Path) -> None:
    """Back up database, photos and archives into FOLDER, while everything runs; what is there already is not copied
    again."""
    from rollcall.backing_up import back_up

    back_up(data, folder, vault, console)


@cli.command()
@click.argument("folder", type=FOLDER)
@click.option("--vault", type=FOLDER, help="The copy of the keys, where there are none in place.")
@click.option("--replace", is_flag=True, help="There is a database, and what came after the backup is to be lost.")
@data_in(CENTRE)
def restore(folder: Path, vault: Path | None, replace: bool, data: Path) -> None:
    """Have all be as it was when the backup in FOLDER was made, but for whoever was erased since.

    Control plane and worker are stopped meanwhile. A backup of SQLite can be restored to PostgreSQL, and back.
    """
    from rollcall.backing_up import restore as put_back

    put_back(data, folder, vault, replace, console)


@cli.group()
def secrets() -> None:
    """The master key, by which what is sealed can be read."""


@secrets.command("new")
def secrets_new() -> None:
    """Print a new master key, where it does not come from a file: give it before the old one, then rotate."""
    from faces import masterkey

    click.echo(masterkey.as_text(os.urandom(32)))


@secrets.command("rotate")
@click.option("--edge", "of_edge", is_flag=True, help="That of the edge whose folder --data is.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="DATA_DIR",
    show_envvar=True,
    help=f"Its folder.  [default: {CENTRE}, or {EDGE}]",
)
def secrets_rotate(of_edge: bool, data: Path | None) -> None:
    """Exchange the master key, while everything runs. What is sealed stays; the keys that seal it are wrapped anew."""
    from rollcall import keeping

    source = keeping.rotate_edge(data or usual(EDGE)) if of_edge else keeping.rotate(data or usual(CENTRE), console)
    console.print("A new master key counts. Keep a copy of it elsewhere, in place of the old one.")
    if len(source.read()) > 1:
        console.print(f"The old one is in {source.name} still, and nothing needs it: take it out.")


@cli.group()
def edge() -> None:
    """Edges: how they join, and how they fare."""


@edge.command()
@click.option("--edge", "named", help="Name or id of an edge; else all.")
@click.option("--url", default="http://127.0.0.1:5000", show_default=True, help="The running product.")
def funnel(named: str | None, url: str) -> None:
    """Show what became of the faces before each camera, and what most are lost by."""
    from rollcall.funnel import run

    run(url.rstrip("/"), console, named)


@edge.command("token")
@click.option("--site", required=True, help="Id or name of the site that an edge is to join.")
@data_in(CENTRE)
def edge_token(site: str, data: Path) -> None:
    """Print a token with which one edge joins the site, within 15 minutes."""
    from rollcall import joining

    with _database(data) as database, database.write() as connection:
        text = joining.token_for(connection, site)
    click.echo(text)
    Console(stderr=True).print("At the edge: rollcall edge join URL, and the token on its input.", style="dim")


@edge.command("join")
@click.argument("url")
@click.argument("token", required=False, envvar="ROLLCALL_JOIN_TOKEN")
@data_in(EDGE)
def edge_join(url: str, token: str | None, data: Path) -> None:
    """Join the control plane at URL by a token: given here, in ROLLCALL_JOIN_TOKEN, or on the standard input.

    The edge on the same data folder (DATA_DIR) then calls by the credential it was given.
    """
    from rollcall import joining

    found = joining.join(url, joining.token_of(token), data)
    console.print(f"This edge has joined the site {found.site}: start it with python -m edge.", markup=False)


@edge.command("renew")
@click.argument("edge")
@data_in(CENTRE)
def edge_renew(edge: str, data: Path) -> None:
    """Have EDGE (id or name) take another credential within ten minutes; it goes on meanwhile."""
    from rollcall import joining

    with _database(data) as database, database.write() as connection:
        joining.renew(connection, edge)


@edge.command("revoke")
@click.argument("edge")
@data_in(CENTRE)
def edge_revoke(edge: str, data: Path) -> None:
    """End the credentials of EDGE (id or name) for good, within a second. To come back it joins again."""
    from rollcall import joining

    with _database(data) as database, database.write() as connection:
        joining.revoke(connection, edge)


@edge.command("remove")
@click.argument("edge")
@data_in(CENTRE)
def edge_remove(edge: str, data: Path) -> None:
    """Remove EDGE (id or name) for good: alarms and erasures wait for it no more, and its credentials end.

    If it still runs it goes on by what it holds until its lease ends (LEASE_DAYS): wipe it.
    """
    from rollcall import joining

    with _database(data) as database, database.write() as connection:
        joining.remove(connection, edge)


@cli.group()
def keys() -> None:
    """Access keys, for programs. While there are no keys and no users everything is open, to this machine only."""


@keys.command("create")
@click.option("--role", type=click.Choice(["admin", "operator", "viewer", "integrator", "edge"]), required=True)
@click.option("--site", "places", multiple=True, help="Id or name of a site it is for; may be repeated. Else all.")
@click.option("--expires", default="", help="When it ends: 90d, 12h, 30m, or a day such as 2027-01-31. Else never.")
@click.option("--name", default="", help="What it is for, for your own eyes.")
@data_in(CENTRE)
def keys_create(role: str, places: tuple[str, ...], expires: str, name: str, data: Path) -> None:
    """Make a key and print it, this once."""
    from control_plane.store.db import utcnow
    from control_plane.store.keys import Role
    from rollcall import access

    with access.database_of(data) as database, database.write() as connection:
        text = access.create(connection, Role(role), utcnow(), name=name, places=places, expires=expires)
    click.echo(text)
    Console(stderr=True).print("Keep it safe: it is shown this once. It counts within a second.", style="dim")


@keys.command("list")
@data_in(CENTRE)
def keys_list(data: Path) -> None:
    """Show all keys: whose they are, when they end, and when they were last used (to the minute)."""
    from control_plane.store import keys as store
    from control_plane.store.db import utcnow
    from rollcall import access

    with access.database_of(data) as database, database.read() as connection:
        console.print(access.table(store.listing(connection), utcnow()))


@keys.command("revoke")
@click.argument("key_id")
@data_in(CENTRE)
def keys_revoke(key_id: str, data: Path) -> None:
    """End a key for good: within a second, also where it is in use."""
    from control_plane.store.db import utcnow
    from rollcall import access

    with access.database_of(data) as database, database.write() as connection:
        access.revoke(connection, key_id, utcnow())


@cli.group()
def audit() -> None:
    """The audit log: who did what, and who looked at what."""


@audit.command("show")
@click.option("--last", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many rows.")
@click.option("--actor", help="What this one did: key:ID, user:ID, edge:ID, cli:USER, job:NAME.")
@click.option("--about", "concerning", help="What was done to this id, or looked at of it.")
@data_in(CENTRE)
def audit_show(last: int, actor: str | None, concerning: str | None, data: Path) -> None:
    """Show the newest rows, the newest last."""
    from rollcall import auditing

    with _database(data) as database, database.read() as connection:
        console.print(auditing.table(connection, last, actor, concerning))


@audit.command("verify")
@click.option("--head", help="A head that this command has printed before: the rows up to it must be those of then.")
@data_in(CENTRE)
def audit_verify(head: str | None, data: Path) -> None:
    """Check that no row was changed, taken out or moved, and print the log's head.

    Whoever can write the database could write the whole log anew: keep the head elsewhere, and give it next time.
    """
    from rollcall import auditing

    with _database(data) as database, database.read() as connection:
        click.echo(auditing.verified(connection, head))


@cli.command()
@click.option("--markdown", "as_markdown", is_flag=True, help="As a reference for people instead of JSON.")
def openapi(as_markdown: bool) -> None:
    """Print the document of the whole API."""
    from rollcall.reference import document, markdown

    made = document()
    click.echo(
        markdown(made).strip() if as_markdown else msgspec.json.format(msgspec.json.encode(made)).decode().strip()
    )


cli.add_command(jobs)
cli.add_command(users)


def _confusion(gallery: str, engine: str, distance: float | None, data: Path, as_json: bool) -> None:
    from faces.engine import load
    from rollcall.confusion import confusion, show

    loaded = load(engine)
    with _database(data) as database, database.read() as connection:
        found = confusion(connection, gallery, loaded.model, loaded.th_accept if distance is None else distance)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        show(found, console)


def _database(data: Path) -> AbstractContextManager[Database]:
    from rollcall.access import database_of

    return database_of(data)


def _progress(what: str, total: int) -> AbstractContextManager[Callable[[], None]]:
    from rollcall.terminal import progress

    return progress(what, total, Console(stderr=True))
