"""All tables. Columns are explained where the name does not say it; migrations/ makes exactly these."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from control_plane.store.db import UtcDateTime

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = String(64)
Big = sa.BigInteger().with_variant(Integer, "sqlite")
Json = sa.JSON(none_as_null=True)


def _id() -> Column[str]:
    return Column("id", Id, primary_key=True)


def _lease() -> list[Column[object]]:
    """A job's lease: who works on the row (a uuid per run), and until when nobody else may."""
    return [
        Column("lease_owner", Id),
        Column("lease_until", UtcDateTime),
        Column("attempts", Integer, nullable=False, default=0),
    ]


# Positions of logs come from here, in the transaction that appends: autoincrement ids become visible out of order.
counters = Table("counters", metadata, Column("name", Id, primary_key=True), Column("value", Big, nullable=False))

# `event_days` and `thumbnail_days` say how long they are kept (null: as set up, 0: for ever); `tidied_at` is when that
# was last seen to, and `thumbnails_to` the position up to which it has been for thumbnails.
sites = Table(
    "sites",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("time_zone", Text, nullable=False, server_default="UTC"),
    Column("event_days", Integer),
    Column("thumbnail_days", Integer),
    Column("probe_days", Integer, nullable=False, server_default="0"),
    Column("grouped_at", UtcDateTime),
    Column("lease_days", Float),
    Column("tidied_at", UtcDateTime),
    Column("thumbnails_to", Big, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
)

# `model`: whose encodings its copies hold; null: those of every model, as long as the engine was never changed.
galleries = Table(
    "galleries",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("th_accept", Float),
    Column("model", String(64)),
    Column("th_accept_engine", String(64)),
    Column("revision", Big, nullable=False),
    Column("checksum", sa.BigInteger, nullable=False),
    Column("settings_hash", sa.BigInteger, nullable=False),
    Column("compacted_to", Big, nullable=False),
    Column("compacted_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
)

# `sites` are ids, null: all of them. No foreign keys: with its last site gone a key is good for none, not for all.
# `replaces` is the key that ends as soon as this one is used; `renew_at` is when its edge is told to take another.
keys = Table(
    "keys",
    metadata,
    _id(),
    Column("role", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("sites", Json),
    Column("edge_id", Id),
    Column("sha256", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("replaces", Id),
    Column("renew_at", UtcDateTime),
)

# With one of these an edge joins a site, once. By the SHA-256 of the token.
join_tokens = Table(
    "join_tokens",
    metadata,
    _id(),
    Column("site_id", Id, ForeignKey("sites.id", ondelete="CASCADE"), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

# People who sign in. `folded` is the name as it is compared; `password` is its argon2id hash; `sites` as for keys.
users = Table(
    "users",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("folded", Text, nullable=False, unique=True),
    Column("password", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("sites", Json),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
    Column("signed_in_at", UtcDateTime),
)

# Browsers in which somebody is signed in; a row goes when that ends. `sha256` is of the cookie; `idle_at` is when it
# ends unless it is used before, `expires_at` when it ends in any case.
sign_ins = Table(
    "sign_ins",
    metadata,
    _id(),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("sha256", String(64), nullable=False),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime, nullable=False),
    Column("idle_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

# By the SHA-256 of the ticket. Neither of a key nor of a sign-in: made while nobody was asked for one.
tickets = Table(
    "tickets",
    metadata,
    _id(),
    Column("key_id", Id, ForeignKey("keys.id", ondelete="CASCADE")),
    Column("sign_in_id", Id, ForeignKey("sign_ins.id", ondelete="CASCADE")),
    Column("expires_at", UtcDateTime, nullable=False),
)

site_galleries = Table(
    "site_galleries",
    metadata,
    Column("site_id", Id, ForeignKey("sites.id", ondelete="CASCADE"), primary_key=True),
    Column("gallery_id", Id, ForeignKey("galleries.id", ondelete="CASCADE"), primary_key=True),
)

# One row a change; a change that a later one to the same row made void says which (superseded_by). Ids only: what
# a row says stands in the live tables, so that an erased person is nowhere in the log.
gallery_changes = Table(
    "gallery_changes",
    metadata,
    Column("gallery_id", Id, ForeignKey("galleries.id", ondelete="CASCADE"), primary_key=True),
    Column("revision", Big, primary_key=True),
    Column("row_kind", String(16), nullable=False),
    Column("row_id", Id, nullable=False),
    Column("removed", Boolean, nullable=False),
    Column("superseded_by", Big),
    Column("checksum", sa.BigInteger, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Index(None, "gallery_id", "row_kind", "row_id"),
)

# A person who was merged into another (`merged_into`) is kept to be taken apart again, and is in no gallery. What was
# theirs belongs to the other person and says whose it was: `origin_id`; null: its owner's own. `consent_noticed` is the
# end of consent that an operator was told of.
identities = Table(
    "identities",
    metadata,
    _id(),
    Column("name", Text, nullable=False, index=True),
    Column("external_id", Text, unique=True),
    Column("attributes", Json, nullable=False),
    Column("valid_from", UtcDateTime),
    Column("valid_until", UtcDateTime),
    Column("consent_basis", String(64)),
    Column("consent_given_at", UtcDateTime),
    Column("consent_until", UtcDateTime, index=True),
    Column("consent_noticed", UtcDateTime),
    Column("hash", sa.BigInteger, nullable=False),
    Column("merged_into", Id, index=True),
    Column("created_at", UtcDateTime, nullable=False),
)

# Where somebody merged into another person was a member; `added`: the other came into the gallery by that.
merged_members = Table(
    "merged_members",
    metadata,
    Column("identity_id", Id, ForeignKey("identities.id", ondelete="CASCADE"), primary_key=True),
    Column("gallery_id", Id, ForeignKey("galleries.id", ondelete="CASCADE"), primary_key=True),
    Column("added", Boolean, nullable=False),
)

gallery_members = Table(
    "gallery_members",
    metadata,
    Column("gallery_id", Id, ForeignKey("galleries.id", ondelete="CASCADE"), primary_key=True),
    Column("identity_id", Id, ForeignKey("identities.id", ondelete="CASCADE"), primary_key=True, index=True),
)

# `blob` names the photo's file in the blob store.
photos = Table(
    "photos",
    metadata,
    _id(),
    Column("identity_id", Id, ForeignKey("identities.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("origin_id", Id),
    Column("blob", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("quality", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

encodings = Table(
    "encodings",
    metadata,
    _id(),
    Column("identity_id", Id, ForeignKey("identities.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("origin_id", Id),
    Column("photo_id", Id, ForeignKey("photos.id", ondelete="SET NULL"), index=True),
    Column("model", String(64), nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("against", Boolean, nullable=False),
    Column("hash", sa.BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# `skipped` counts the entries passed over, by kind. `blob` names the archive, until the import is finished.
imports = Table(
    "imports",
    metadata,
    _id(),
    Column("gallery_id", Id, ForeignKey("galleries.id", ondelete="CASCADE"), nullable=False),
    Column("blob", Text),
    Column("state", String(16), nullable=False, index=True),
    Column("force", Boolean, nullable=False),
    Column("dry_run", Boolean, nullable=False, server_default=sa.false()),
    Column("skipped", Json),
    Column("error", Json),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    *_lease(),
)

# One photo of an archive, in the archive's order. `place` says where its bytes lie; `encoding` and `quality` are kept
# until it is admitted; `identity_hash` is the person's row as this item made it, null if it made nobody;
# `joined` tells that it brought somebody who was known into the gallery.
import_items = Table(
    "import_items",
    metadata,
    Column("import_id", Id, ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("entry", Text, nullable=False),
    Column("place", Json),
    Column("gallery_id", Id, nullable=False),
    Column("name", Text),
    Column("external_id", Text),
    Column("valid_until", UtcDateTime),
    Column("attributes", Json, nullable=False),
    Column("consent", Json),
    Column("force", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("sha256", String(64)),
    Column("encoding", LargeBinary),
    Column("quality", Json),
    Column("reason", String(32)),
    Column("message", Text),
    Column("remedy", Text),
    Column("detail", Json),
    Column("identity_id", Id, index=True),
    Column("identity_hash", sa.BigInteger),
    Column("joined", Boolean, nullable=False, server_default=sa.false()),
    Column("photo_id", Id, index=True),
    Index(None, "import_id", "state", "seq"),
)

# Photos of an import that are still to be looked at, some at a time; the row goes when they are.
import_chunks = Table(
    "import_chunks",
    metadata,
    Column("import_id", Id, ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    *_lease(),
)

# One photo put forward for one identity: by id, or by name (then a new person if nobody bears it). `kind` says whether
# it shows them, or somebody taken for them (`correction`); of that one only the encoding is kept, `correction_id`.
enrollments = Table(
    "enrollments",
    metadata,
    _id(),
    Column("gallery_id", Id, ForeignKey("galleries.id", ondelete="CASCADE"), nullable=False),
    Column("identity_id", Id, index=True),
    Column("origin_id", Id),
    Column("name", Text),
    Column("import_id", Id, ForeignKey("imports.id", ondelete="CASCADE")),
    Column("entry", Text),
    Column("blob", Text),
    Column("sha256", String(64)),
    Column("force", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32)),
    Column("message", Text),
    Column("remedy", Text),
    Column("detail", Json),
    Column("photo_id", Id),
    Column("kind", String(16), nullable=False, server_default="photo"),
    Column("correction_id", Id),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    *_lease(),
    sa.UniqueConstraint("import_id", "entry"),
    Index(None, "state", "created_at"),
)

# A change to another engine's encodings, made of the kept photos; `from_model` is the one to go back to.
reencodings = Table(
    "reencodings",
    metadata,
    _id(),
    Column("model", String(64), nullable=False),
    Column("from_model", String(64)),
    Column("state", String(16), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("switched_at", UtcDateTime),
)

# Photos that are still to be encoded, some at a time; the row goes when they are.
reencoding_chunks = Table(
    "reencoding_chunks",
    metadata,
    Column("reencoding_id", Id, ForeignKey("reencodings.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("photos", Json, nullable=False),
    *_lease(),
)

# Photos in which the new engine finds nothing that it would enrol.
reencoding_refusals = Table(
    "reencoding_refusals",
    metadata,
    Column("reencoding_id", Id, ForeignKey("reencodings.id", ondelete="CASCADE"), primary_key=True),
    Column("photo_id", Id, ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("reason", String(32), nullable=False),
    Column("message", Text, nullable=False),
)

# Who is on a photo. `faces` holds ids and distances, and goes with the row at `forget_at`; `blob` goes before.
identifications = Table(
    "identifications",
    metadata,
    _id(),
    Column("galleries", Json, nullable=False),
    Column("blob", Text),
    Column("state", String(16), nullable=False, index=True),
    Column("engine", String(64)),
    Column("faces", Json),
    Column("reason", String(32)),
    Column("message", Text),
    Column("remedy", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("forget_at", UtcDateTime, index=True),
    *_lease(),
)

edges = Table(
    "edges",
    metadata,
    _id(),
    Column("site_id", Id, ForeignKey("sites.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("engine", String(64), nullable=False),
    Column("wire", Integer, nullable=False),
    Column("spooled", Integer),
    Column("clock_offset_s", Float),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
)

# `direction`: whether it sees people who come `in` or go `out`; null: both. `fps`, `dropped` and `funnel` as the edge
# told them last.
cameras = Table(
    "cameras",
    metadata,
    Column("edge_id", Id, ForeignKey("edges.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("up", Boolean),
    Column("direction", String(3)),
    Column("fps", Float),
    Column("dropped", Big),
    Column("funnel", Json),
    Column("created_at", UtcDateTime, nullable=False),
)

# What was said of cameras that are gone: days of theirs are reckoned by it, and one that is back bears it.
past_directions = Table(
    "past_directions",
    metadata,
    Column("edge_id", Id, primary_key=True),
    Column("camera", Text, primary_key=True),
    Column("direction", String(3), nullable=False),
)

# What an edge is to do with a camera of its own. `body` may hold the camera's password, and goes when it is done.
camera_orders = Table(
    "camera_orders",
    metadata,
    _id(),
    Column("edge_id", Id, ForeignKey("edges.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("action", String(16), nullable=False),
    Column("camera", Text, nullable=False),
    Column("body", sa.LargeBinary),
    Column("state", String(16), nullable=False, index=True),
    Column("message", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("picture", sa.LargeBinary),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
)

# How far each edge's copy of a gallery has got, by its own report.
edge_positions = Table(
    "edge_positions",
    metadata,
    Column("edge_id", Id, ForeignKey("edges.id", ondelete="CASCADE"), primary_key=True),
    Column("gallery_id", Id, ForeignKey("galleries.id", ondelete="CASCADE"), primary_key=True),
    Column("revision", Big, nullable=False),
    Column("checksum", sa.BigInteger, nullable=False),
    Column("error", Text),
    Column("reported_at", UtcDateTime, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("position", Big, primary_key=True, autoincrement=False),
    Column("id", Id, nullable=False, unique=True),
    Column("body_hash", LargeBinary, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("site_id", Id, nullable=False),
    Column("edge_id", Id, nullable=False),
    Column("camera", Text, nullable=False),
    Column("captured_at", UtcDateTime, nullable=False),
    Column("arrived_at", UtcDateTime, nullable=False),
    Column("clock_offset_s", Float),
    Column("track", Big),
    Column("status", String(16)),
    Column("identity_id", Id),
    Column("name", Text),
    Column("distance", Float),
    Column("runner_up_distance", Float),
    Column("box", Json),
    Column("picture", Json),
    Column("engine", String(64)),
    Column("gallery_id", Id),
    Column("gallery_revision", Big),
    Column("threshold", Float),
    Column("reason", Text),
    Column("dropped", Json),
    # SQLite's indexes hold the position anyway; on Postgres it keeps a filtered page in the log's order.
    Index(None, "site_id", "position"),
    Index(None, "site_id", "captured_at"),
    Index(None, "identity_id", "position"),
    Index(None, "camera", "position"),
    Index(None, "kind", "position"),
)

# A table of their own, so that reading the log never reads pictures, and they can go before their events.
thumbnails = Table(
    "thumbnails",
    metadata,
    Column("position", Big, ForeignKey("events.position", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

# Strangers who are alike. `dismissed_at`: nobody wants to see them, however often they come.
unknowns = Table(
    "unknowns",
    metadata,
    _id(),
    Column("site_id", Id, ForeignKey("sites.id", ondelete="CASCADE"), nullable=False),
    Column("model", String(64), nullable=False),
    Column("dismissed_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "site_id", "id"),
)

# Encodings of strangers, where the site keeps them. `unknown_id` null: not yet grouped.
probes = Table(
    "probes",
    metadata,
    Column("position", Big, ForeignKey("events.position", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("site_id", Id, nullable=False),
    Column("model", String(64), nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("arrived_at", UtcDateTime, nullable=False),
    Column("unknown_id", Id, ForeignKey("unknowns.id", ondelete="CASCADE")),
    Index(None, "site_id", "position"),
    Index(None, "unknown_id", "position"),
)

# Events that are no longer kept: a repeat of one is known, and told to nobody again.
past_events = Table(
    "past_events",
    metadata,
    _id(),
    Column("body_hash", LargeBinary, nullable=False),
)

# `statuses` lists the decisions told; an empty list of `sites`, `cameras` or `galleries` means all of them. Since when
# nothing but failures: `failing_since`. `slow`: it was slow to answer last time, or did not. One run at a time delivers
# to a receiver: whoever holds the lease.
webhooks = Table(
    "webhooks",
    metadata,
    _id(),
    Column("url", Text, nullable=False),
    Column("statuses", Json, nullable=False),
    Column("sites", Json, nullable=False, server_default="[]"),
    Column("cameras", Json, nullable=False, server_default="[]"),
    Column("galleries", Json, nullable=False, server_default="[]"),
    Column("alarms", Boolean, nullable=False, server_default=sa.false()),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_because", String(16)),
    Column("failing_since", UtcDateTime),
    Column("paused_until", UtcDateTime),
    Column("slow", Boolean, nullable=False, server_default=sa.false()),
    Column("lease_owner", Id),
    Column("lease_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
)

# A receiver's secrets: the one without `valid_until` is the newest; another one signs beside it until then.
webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    _id(),
    Column("webhook_id", Id, ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("secret", Text, nullable=False),
    Column("valid_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
)

# Of an event, or of an alarm. `attempts` counts all; `step` is how far the schedule of retries has got.
deliveries = Table(
    "deliveries",
    metadata,
    _id(),
    Column("webhook_id", Id, ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("event_id", Id),
    Column("alarm_id", Id),
    Column("state", String(16), nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("step", Integer, nullable=False, default=0, server_default="0"),
    Column("last_status", Integer),
    Column("last_error", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime, index=True),
    sa.UniqueConstraint("webhook_id", "event_id"),
    Index(None, "webhook_id", "state", "due_at"),
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    _id(),
    Column("delivery_id", Id, ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("status", Integer),
    Column("error", Text),
)

# Who was erased, and at which revision of each gallery: an edge that has reported that revision has forgotten them.
# `scrubbed_at` is when nothing of them was left here.
erasures = Table(
    "erasures",
    metadata,
    Column("identity_id", Id, primary_key=True),
    Column("erased_at", UtcDateTime, nullable=False),
    Column("scrubbed_at", UtcDateTime, index=True),
)

erasure_revisions = Table(
    "erasure_revisions",
    metadata,
    Column("identity_id", Id, ForeignKey("erasures.identity_id", ondelete="CASCADE"), primary_key=True),
    Column("gallery_id", Id, ForeignKey("galleries.id", ondelete="CASCADE"), primary_key=True),
    Column("revision", Big, nullable=False),
)

# Files that no row names any more, until they are deleted (`discards`).
discards = Table(
    "discards",
    metadata,
    Column("blob", Text, primary_key=True),
    Column("discarded_at", UtcDateTime, nullable=False, index=True),
)

# What an operator must know of. The same trouble again while it is open counts up (`count`) instead of adding a row.
alarms = Table(
    "alarms",
    metadata,
    _id(),
    Column("kind", String(32), nullable=False),
    Column("subject", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("site_id", Id),
    Column("edge_id", Id),
    Column("gallery_id", Id),
    Column("event_id", Id),
    Column("count", Integer, nullable=False),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("acknowledged_at", UtcDateTime, index=True),
    Column("acknowledged_by", Text),
    Index(None, "kind", "subject"),
)

# Who did or looked at what. Ids only; `other_id` is a second id that it concerns. Triggers refuse to change or remove.
audit = Table(
    "audit",
    metadata,
    Column("position", Big, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", String(64), nullable=False),
    Column("resource", String(32), nullable=False),
    Column("resource_id", Id),
    Column("other_id", Id),
    Column("site_id", Id),
    Column("address", String(64), nullable=False),
    Column("request_id", Id, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index(None, "resource_id", "position"),
    Index(None, "other_id", "position"),
    Index(None, "actor", "position"),
)

# The one row that says how far the audit log has got: whoever appends holds it.
audit_head = Table(
    "audit_head",
    metadata,
    Column("position", Big, nullable=False),
    Column("hash", String(64), nullable=False),
)
