"""Identities: enrolled people and their photos."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from control_plane.api import enrollments, texts
from control_plane.api.pictures import PICTURE, PICTURES, picture
from control_plane.api.route import Call, Listing, Moment, Paging, Route, answer, listing
from control_plane.api.uploads import either, flag, form, photo_limit, upload
from control_plane.auth import PEOPLE_READ, PEOPLE_WRITE
from control_plane.limits import Cost
from control_plane.plane import Plane
from control_plane.store import discards, erasures, identities
from control_plane.store.db import Connection
from control_plane.store.erasures import Erasure
from control_plane.store.galleries import DEFAULT_GALLERY
from control_plane.store.identities import Identity, Photo
from control_plane.store.reach import Reach
from faces.consent import Consent
from faces.errors import Conflict, Invalid, NotFound
from faces.texts import attributes

Basis = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_.:-]+$", max_length=64)]


class NewIdentity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person to be added, without photos yet. `galleries` are ids. `consent_basis` is a code of your own, such as
    `contract`; from `consent_until` on the person is not recognised any more, and is erased."""

    name: texts.Name
    external_id: texts.Name | None = None
    attributes: dict[str, Any] = {}
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    consent_basis: Basis | None = None
    consent_given_at: Moment | None = None
    consent_until: Moment | None = None
    galleries: tuple[str, ...] = (DEFAULT_GALLERY,)


class ChangedIdentity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed; fields that are absent stay as they are."""

    name: texts.Name | msgspec.UnsetType = msgspec.UNSET
    external_id: texts.Name | msgspec.UnsetType | None = msgspec.UNSET
    attributes: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    valid_from: Moment | msgspec.UnsetType | None = msgspec.UNSET
    valid_until: Moment | msgspec.UnsetType | None = msgspec.UNSET
    consent_basis: Basis | msgspec.UnsetType | None = msgspec.UNSET
    consent_given_at: Moment | msgspec.UnsetType | None = msgspec.UNSET
    consent_until: Moment | msgspec.UnsetType | None = msgspec.UNSET


class Search(Paging, frozen=True, kw_only=True):
    """`name` finds parts of names."""

    name: str | None = None
    external_id: str | None = None
    gallery: str | None = None


class Force(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`force` enrols a look-alike, or a photo unlike the person's others, all the same."""

    force: bool = False


async def search(call: Call[None, Search]) -> Response:
    """People, by name, external id or gallery."""
    asked = call.query

    def work(connection: Connection) -> list[Identity]:
        found = identities.listing(
            connection,
            after=asked.after,
            limit=asked.limit + 1,
            name=asked.name,
            external_id=asked.external_id,
            gallery_id=asked.gallery,
            within=call.reach.galleries(connection),
        )
        return [call.reach.shown(connection, person) for person in found]

    return listing(await call.plane.read(work), asked.limit, lambda i: i.id)


async def create(call: Call[NewIdentity, None]) -> Response:
    """Add a person, without photos."""
    made = await added(call.plane, call.reach, call.body)
    return answer(made, 201, {"Location": f"/v1/identities/{made.id}"})


async def added(plane: Plane, reach: Reach, new: NewIdentity) -> Identity:
    """Add a person, without photos; raises Invalid, NotFound and Conflict."""
    fields = _checked(msgspec.structs.asdict(new))
    gallery_ids = fields.pop("galleries")
    consent = Consent(**{name: fields.pop(f"consent_{name}") for name in Consent.__struct_fields__})

    def work(connection: Connection) -> Identity:
        if reach.sites is not None and not gallery_ids:
            raise Invalid("galleries: none", remedy="Name a gallery that the key's sites follow.")
        for gallery_id in gallery_ids:
            reach.gallery(connection, gallery_id)
        identity_id = identities.create(
            connection, gallery_ids=gallery_ids, now=plane.clock(), consent=consent, **fields
        )
        return reach.shown(connection, _valid(identities.get(connection, identity_id)))

    return await plane.write(work)


async def show(call: Call[None, None]) -> Response:
    """One person."""
    identity_id = call.path()
    return answer(await call.plane.read(lambda c: call.reach.shown(c, identities.get(c, identity_id))))


async def change(call: Call[ChangedIdentity, None]) -> Response:
    """Change a person's name, external id, attributes, validity, or what is on record of their consent."""
    identity_id = call.path()
    changed = {k: v for k, v in msgspec.structs.asdict(call.body).items() if v is not msgspec.UNSET}
    fields = _checked(changed)

    def work(connection: Connection) -> Identity:
        identities.update(connection, identity_id, call.plane.clock(), **fields)
        return call.reach.shown(connection, _valid(identities.get(connection, identity_id)))

    return answer(await call.plane.write(work))


async def erase(call: Call[None, None]) -> Response:
    """Erase a person with all photos and encodings."""
    await erased(call.plane, call.path())
    return Response(status_code=204)


async def erasure(call: Call[None, None]) -> Response:
    """How far a person's erasure has got: which edges have confirmed it, and which are pending."""
    identity_id = call.path()
    return answer(await call.plane.read(lambda c: erasures.get(c, identity_id)))


async def erased(plane: Plane, identity_id: str) -> None:
    """Erase a person everywhere here: rows, then photos, then SQLite's log of changes. Raises NotFound.

    What a database keeps of deleted rows all the same the worker takes care of, as that takes long.
    """
    blobs = await plane.write(lambda c: identities.erase(c, identity_id, plane.clock()))
    await plane.run(lambda: discards.carry_out(plane.database, plane.blobs, blobs))
    await plane.run(plane.database.truncate_wal)


async def photos(call: Call[None, None]) -> Response:
    """A person's accepted photos."""
    identity_id = call.path()
    return answer(Listing(await call.plane.read(lambda c: identities.photos_of(c, identity_id)), None))


async def add_photo(call: Call[None, Force]) -> Response:
    """Put a photo forward for a person (with `Prefer: wait=5`: and wait for the outcome)."""
    identity_id = call.path()
    person = await call.plane.read(lambda c: call.reach.shown(c, identities.get(c, identity_id)))
    gallery_id = DEFAULT_GALLERY if DEFAULT_GALLERY in person.galleries else min(person.galleries, default="")
    if not gallery_id:
        raise Conflict("the person is in no gallery", remedy="A photo is put forward for a person in a gallery.")
    async with upload(call, "image", raw=PICTURES) as sent:
        if sent.file is None:
            raise Invalid("image is missing", remedy="Send a form with the photo in 'image', or the photo itself.")
        enrollment = await enrollments.put_forward(
            call.plane,
            sent.file,
            call.wait_s,
            gallery_id=gallery_id,
            identity_id=identity_id,
            name=person.name,
            force=flag(sent.fields, "force") or call.query.force,
        )
    return enrollments.told(enrollment)


async def show_photo(call: Call[None, None]) -> Response:
    """The photo itself."""
    identity_id, photo_id = call.path(), call.path("photo")
    blob = await call.plane.read(lambda c: identities.photo_blob(c, identity_id, photo_id))
    try:
        return picture(await call.plane.run(lambda: call.plane.blobs.get(blob)))
    except FileNotFoundError:
        raise NotFound("the photo was erased just now") from None


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as they are stored; raises Invalid."""
    if "name" in fields:
        fields["name"] = texts.name(fields["name"])
    if fields.get("external_id") is not None:
        fields["external_id"] = texts.name(fields["external_id"], "external_id")
    if "attributes" in fields:
        fields["attributes"] = attributes(fields["attributes"])
    return fields


def _valid(identity: Identity) -> Identity:
    """The identity; raises Invalid, and so undoes the transaction, if it would never be valid."""
    if identity.valid_from and identity.valid_until and identity.valid_from >= identity.valid_until:
        raise Invalid("valid_until is not after valid_from")
    Consent(basis=identity.consent_basis, given_at=identity.consent_given_at, until=identity.consent_until).check()
    return identity


PERSON = {"id": Reach.person}

ROUTES = (
    Route("GET", "/v1/identities", search, PEOPLE_READ, {200: Listing[Identity]}, query=Search, within={}),
    Route(
        "POST",
        "/v1/identities",
        create,
        PEOPLE_WRITE,
        {201: Identity},
        body=NewIdentity,
        within={},
        audit="identity.create",
    ),
    Route("GET", "/v1/identities/{id}", show, PEOPLE_READ, {200: Identity}, within=PERSON),
    Route(
        "PATCH",
        "/v1/identities/{id}",
        change,
        PEOPLE_WRITE,
        {200: Identity},
        body=ChangedIdentity,
        within={"id": Reach.whole},
        audit="identity.change",
    ),
    Route(
        "DELETE",
        "/v1/identities/{id}",
        erase,
        PEOPLE_WRITE,
        {204: None},
        within={"id": Reach.whole},
        audit="identity.erase",
    ),
    Route("GET", "/v1/identities/{id}/erasure", erasure, PEOPLE_READ, {200: Erasure}),
    Route("GET", "/v1/identities/{id}/photos", photos, PEOPLE_READ, {200: Listing[Photo]}, within=PERSON),
    Route(
        "POST",
        "/v1/identities/{id}/photos",
        add_photo,
        PEOPLE_WRITE,
        enrollments.OUTCOMES,
        query=Force,
        reads=form("image", force=either("true: enrol a look-alike all the same")) | dict.fromkeys(PICTURES, PICTURE),
        limit=photo_limit,
        costs=Cost.ENROLL,
        within={"id": Reach.whole},
        audit="identity.add_photo",
    ),
    Route(
        "GET",
        "/v1/identities/{id}/photos/{photo}",
        show_photo,
        PEOPLE_READ,
        {200: PICTURE},
        within=PERSON,
        audit="identity.see_photo",
    ),
)
