"""All who may come in: keys, users and their sign-ins, as one value that stays the same until they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from control_plane.store import keys, sign_ins, users
from control_plane.store.keys import Key, Role
from control_plane.store.sign_ins import SignIn
from control_plane.store.users import User


@dataclass(frozen=True, slots=True)
class Access:
    """By id. When keys were last used is not kept up."""

    keys: Mapping[str, Key] = field(default_factory=dict)
    users: Mapping[str, User] = field(default_factory=dict)
    sign_ins: Mapping[str, SignIn] = field(default_factory=dict)
    version: tuple[int, ...] = ()

    @property
    def asked_for(self) -> bool:
        """Whether callers have to say who they are: there is a user, or a key that is not an edge's, whether or not it
        still counts. An edge's key alone closes nothing."""
        return bool(self.users) or any(key.role is not Role.EDGE for key in self.keys.values())

    @property
    def somebody(self) -> bool:
        """Whether anybody but edges is let in at all."""
        held = any(key.role is not Role.EDGE and key.revoked_at is None for key in self.keys.values())
        return held or any(user.disabled_at is None for user in self.users.values())


def read(connection: sa.Connection, before: Access | None = None) -> Access:
    """Who may come in now; `before` itself if nothing has changed since."""
    version = (*keys.version(connection), sign_ins.version(connection))
    if before is not None and before.version == version:
        return before
    return Access(
        keys={key.id: key for key in keys.listing(connection)},
        users={user.id: user for user in users.listing(connection)},
        sign_ins=sign_ins.by_id(connection),
        version=version,
    )
