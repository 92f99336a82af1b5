"""All routes of the API."""

from __future__ import annotations

from typing import Any

from control_plane.api import (
    alarms,
    attendance,
    audit,
    camera_orders,
    corrections,
    edges,
    enrollments,
    events,
    exports,
    galleries,
    health,
    identifications,
    identities,
    imports,
    joining,
    keys,
    legacy,
    merges,
    reencodings,
    session,
    sites,
    tickets,
    unknowns,
    users,
    webhooks,
)
from control_plane.api.route import Route

ROUTES: tuple[Route[Any, Any], ...] = (
    *legacy.ROUTES,
    *identities.ROUTES,
    *exports.ROUTES,
    *corrections.ROUTES,
    *merges.ROUTES,
    *identifications.ROUTES,
    *reencodings.ROUTES,
    *enrollments.ROUTES,
    *imports.ROUTES,
    *events.ROUTES,
    *attendance.ROUTES,
    *unknowns.ROUTES,
    *sites.ROUTES,
    *edges.ROUTES,
    *camera_orders.ROUTES,
    *joining.ROUTES,
    *galleries.ROUTES,
    *webhooks.ROUTES,
    *keys.ROUTES,
    *alarms.ROUTES,
    *audit.ROUTES,
    *tickets.ROUTES,
    *session.ROUTES,
    *users.ROUTES,
    *health.ROUTES,
)
