"""Keys and users on the command line, the keys that the all-in-one makes for itself, and the one commands send."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.table import Column, Table
from rich.text import Text

from control_plane.config import Config
from control_plane.store import access, audit, keys, schema, seals, sites, users
from control_plane.store.db import Connection, Database, utcnow
from control_plane.store.keys import Key, Role
from control_plane.store.users import User
from control_plane.store.vault import open_vault
from faces.errors import Invalid, NotFound

OWN = "rollcall up"
UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


def credentials() -> dict[str, str]:
    """The headers that carry the key in ROLLCALL_KEY, if there is one: an argument would stand in process listings."""
    key = os.environ.get("ROLLCALL_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def actor() -> str:
    """Who works on the command line, for the audit log: the user of this machine."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"


@contextmanager
def database_of(data: Path) -> Iterator[Database]:
    """The database that the control plane on this data folder uses, its schema brought up to date or checked."""
    config = Config.read({**os.environ, "DATA_DIR": str(data.resolve())})
    vault = open_vault(config.vault_url, config.master_key, sealing=config.encrypt)
    database = Database(config.database_url, vault=vault)
    try:
        schema.prepare(database, utcnow())
        seals.bind(database)
        yield database
    finally:
        database.close()


def create(
    connection: Connection, role: Role, now: datetime, *, name: str = "", places: Sequence[str] = (), expires: str = ""
) -> str:
    """Make a key for sites given by id or name (none: for all); returns its text. Raises Invalid and NotFound."""
    if role is Role.EDGE and len(places) != 1:
        raise Invalid("an edge's key is for one site", remedy="Name it with --site.")
    ids = sites_of(connection, places)
    text = keys.create(connection, role, now, name=name, sites=ids, expires_at=ends(expires, now))
    audit.did(connection, actor(), "key.create", now, [(keys.id_of(text), None)])
    return text


def revoke(connection: Connection, key_id: str, now: datetime) -> None:
    """End a key for good; raises NotFound."""
    keys.revoke(connection, key_id, now)
    audit.did(connection, actor(), "key.revoke", now, [(key_id, None)])


def sites_of(connection: Connection, places: Sequence[str]) -> list[str] | None:
    """The ids of sites given by id or name; None, which means all, if none are given. Raises NotFound."""
    return [site_named(connection, place) for place in places] or None


def user_named(connection: Connection, name: str) -> User:
    """Raises NotFound."""
    known = users.named(connection, name)
    if known is None:
        raise NotFound(f"there is no user {name!r}", remedy="rollcall users list shows all of them.")
    return known.user


def ends(expires: str, now: datetime) -> datetime | None:
    """When a key ends that is to last `90d`, `12h` or `30m`, or until a day such as 2027-01-31 begins (UTC); empty:
    never. Raises Invalid."""
    if not expires:
        return None
    if found := re.fullmatch(r"([1-9][0-9]{0,4})([dhm])", expires):
        return now + int(found[1]) * UNITS[found[2]]
    try:
        end = datetime.strptime(expires, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise Invalid(f"--expires {expires!r} is neither like 90d, 12h or 30m nor a day like 2027-01-31") from None
    if end <= now:
        raise Invalid(f"--expires {expires!r} is past")
    return end


def known(connection: Connection, text: str) -> bool:
    """Whether this is a key that was made here, also if it was revoked since."""
    return any(key.sha256 == keys.digest(text) for key in keys.listing(connection))


def own_key(connection: Connection, path: Path, role: Role, now: datetime) -> str:
    """The all-in-one's own key, kept in a file that only its user may read; made when there is none. One that was
    revoked stays so."""
    held = path.read_text().strip() if path.exists() else ""
    if known(connection, held):
        return held
    made = keys.create(connection, role, now, name=OWN)
    audit.did(connection, actor(), "key.create", now, [(keys.id_of(made), None)])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(f"{made}\n")
    return made


def needed(connection: Connection) -> bool:
    """Whether callers are asked who they are."""
    return access.read(connection).asked_for


def table(found: Iterable[Key], now: datetime) -> Table:
    shown = Table(Column("id", no_wrap=True), "role", "name", "sites", "created", "expires", "last used", "state")
    for key in found:
        state = "revoked" if key.revoked_at else "expired" if key.expires_at and key.expires_at <= now else "in force"
        cells = key.id, key.role, key.name, "all" if key.sites is None else ", ".join(key.sites)
        shown.add_row(
            *(Text(cell) for cell in cells),
            *(_moment(moment) for moment in (key.created_at, key.expires_at, key.last_used_at)),
            state,
        )
    return shown


def table_of_users(found: Iterable[User]) -> Table:
    shown = Table("name", "role", "sites", "created", "last sign-in", "state")
    for user in found:
        cells = user.name, user.role, "all" if user.sites is None else ", ".join(user.sites)
        moments = (user.created_at, user.signed_in_at)
        state = "disabled" if user.disabled_at else "in force"
        shown.add_row(*(Text(cell) for cell in cells), *(_moment(moment) for moment in moments), state)
    return shown


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def site_named(connection: Connection, place: str) -> str:
    """The id of a site given by id or name; raises NotFound."""
    found = sites.listing(connection, limit=1_000_000)
    chosen = next((s.id for s in found if s.id == place), None) or next((s.id for s in found if s.name == place), None)
    if chosen is None:
        raise NotFound(f"there is no site {place!r}", remedy="Make it with POST /v1/sites.")
    return chosen
