"""The commands for users. A password is asked for, or is the first line of what is piped in: never an argument, which
stands in process listings and in the shell's history."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from rollcall.options import CENTRE, data_in

if TYPE_CHECKING:
    from control_plane.store.db import Connection

ROLE = click.Choice(["admin", "operator", "viewer"])


@click.group()
def users() -> None:
    """People who sign in to the dashboard. From the first one on nothing is open."""


@users.command()
@click.argument("name")
@click.option("--role", type=ROLE, required=True)
@click.option("--site", "places", multiple=True, help="Id or name of a site it is for; may be repeated. Else all.")
@data_in(CENTRE)
def create(name: str, role: str, places: tuple[str, ...], data: Path) -> None:
    """Add a user."""
    from control_plane.api import texts
    from control_plane.store import users as store
    from control_plane.store.db import utcnow
    from control_plane.store.keys import Role
    from rollcall.access import sites_of

    name = texts.name(name)
    hashed = _new_password(name)
    with _writing(data) as connection:
        made = store.create(connection, name, Role(role), hashed, utcnow(), sites=sites_of(connection, places))
        _noted(connection, "create", made.id)


@users.command("list")
@data_in(CENTRE)
def list_(data: Path) -> None:
    """Show all users, what they may, and when they last signed in."""
    from control_plane.store import users as store
    from rollcall.access import database_of, table_of_users

    with database_of(data) as database, database.read() as connection:
        Console(highlight=False).print(table_of_users(store.listing(connection)))


@users.command()
@click.argument("name")
@data_in(CENTRE)
def password(name: str, data: Path) -> None:
    """Give a user another password, and end their sign-ins."""
    from control_plane.store import users as store
    from rollcall.access import user_named

    with _writing(data) as connection:
        known = user_named(connection, name)
    hashed = _new_password(known.name)
    with _writing(data) as connection:
        store.set_password(connection, known.id, hashed)
        _noted(connection, "change_password", known.id)


@users.command()
@click.argument("name")
@click.option("--role", type=ROLE, help="Else it stays.")
@click.option("--site", "places", multiple=True, help="Id or name of a site it is for from now on; may be repeated.")
@click.option("--all-sites", is_flag=True, help="It is for all sites from now on.")
@data_in(CENTRE)
def change(name: str, role: str | None, places: tuple[str, ...], all_sites: bool, data: Path) -> None:
    """Give a user another role or other sites, and end their sign-ins."""
    from control_plane.store import users as store
    from control_plane.store.keys import Role
    from rollcall.access import sites_of, user_named

    if not role and not places and not all_sites:
        raise click.UsageError("Give --role, --site or --all-sites.")
    with _writing(data) as connection:
        known = user_named(connection, name)
        sites = sites_of(connection, places) if places or all_sites else known.sites
        store.change(connection, known.id, role=Role(role) if role else known.role, sites=sites)
        _noted(connection, "change", known.id)


@users.command()
@click.argument("name")
@data_in(CENTRE)
def disable(name: str, data: Path) -> None:
    """Shut a user out: within a second, also where they are signed in."""
    from control_plane.store import users as store
    from control_plane.store.db import utcnow
    from rollcall.access import user_named

    with _writing(data) as connection:
        known = user_named(connection, name)
        store.disable(connection, known.id, utcnow())
        _noted(connection, "disable", known.id)


@users.command()
@click.argument("name")
@data_in(CENTRE)
def enable(name: str, data: Path) -> None:
    """Let a user sign in again."""
    from control_plane.store import users as store
    from rollcall.access import user_named

    with _writing(data) as connection:
        known = user_named(connection, name)
        store.enable(connection, known.id)
        _noted(connection, "enable", known.id)


def _new_password(name: str) -> str:
    """The hash of a password that is asked for; raises Invalid for a weak one."""
    from control_plane.passwords import RULE, Passwords, checked

    if sys.stdin.isatty():
        click.echo(f"A password has {RULE}.", err=True)
        text = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        text = sys.stdin.readline().rstrip("\r\n")
    return Passwords().hashed(checked(text, name))


def _noted(connection: Connection, done: str, user_id: str) -> None:
    from control_plane.store import audit
    from control_plane.store.db import utcnow
    from rollcall.access import actor

    audit.did(connection, actor(), f"user.{done}", utcnow(), [(user_id, None)])


@contextmanager
def _writing(data: Path) -> Iterator[Connection]:
    from rollcall.access import database_of

    with database_of(data) as database, database.write() as connection:
        yield connection
