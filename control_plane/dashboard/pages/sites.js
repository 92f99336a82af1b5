// Sites and edges: how they fare, what they follow, their cameras, and joining a new one.

import { ask, askAll, path } from "../api.js";
import { copyable } from "../copyable.js";
import { confirmed, dialog } from "../dialogs.js";
import { make, nameText } from "../dom.js";
import { field, form, input, select } from "../forms.js";
import { ago, whole } from "../moments.js";
import { button, card, empty, facts, pageHead, pill, scroll } from "../parts.js";
import { attempt, toast } from "../toasts.js";

const EVERY_MS = 10_000;
const QUIET_MS = 90_000;
const DIRECTIONS = [["", "Both ways"], ["in", "In"], ["out", "Out"]];
const LOSSES = {
  too_small: "faces too small: bring it nearer, or zoom in",
  too_blurred: "blurred: clean and focus the lens, give more light",
  turned: "turned away: hang it at eye level",
  not_clear: "no clear look at the face",
  too_brief: "in sight too briefly: widen the view",
  no_candidate: "strangers",
  not_near: "not near enough: enrol more photos, taken by this camera",
  margin: "two people alike: enrol more photos of both",
  lease_expired: "no sync for too long",
};

export default async function (root, page) {
  const writes = page.may("sites:write");
  const everywhere = writes && page.session.sites === null;
  const body = make("div", {});
  const add = everywhere && button("New site", () => siteDialog(null, galleries, show), { symbol: "plus" });
  root.append(pageHead("Sites", "Places, the edges that stand there, and their cameras.", ...(add ? [add] : [])), body);
  let galleries = [];

  async function show() {
    const [sites, edges, found] = await Promise.all([
      askAll("/v1/sites", page),
      askAll("/v1/edges", page),
      askAll("/v1/galleries", page),
    ]);
    galleries = found;
    const held = document.activeElement?.dataset.key;
    body.replaceChildren(...sites.map((site) => siteCard(site, edges.filter((edge) => edge.site_id === site.id))));
    if (held) body.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus();
  }

  function siteCard(site, edges) {
    const names = site.galleries.map((id) => galleries.find((gallery) => gallery.id === id)?.name ?? id);
    const actions = make(
      "div",
      { className: "actions" },
      everywhere ? button("Change", () => siteDialog(site, galleries, show), { className: "plain small", dataset: { key: `change ${site.id}` } }) : null,
      writes ? button("Join an edge", () => attempt(() => joining(site)), { className: "small", dataset: { key: `join ${site.id}` } }) : null,
    );
    const none = empty("No edge stands here yet", "An edge watches the cameras of a site. Join one with the command that you are shown.");
    return card(
      site.name,
      actions,
      facts([
        ["Galleries", names.length ? names.join(", ") : "none: nobody passes"],
        ["Time zone", site.time_zone],
        ["Events are kept", days(site.event_days)],
        ["Thumbnails are kept", days(site.thumbnail_days)],
        ["Encodings of strangers are kept", site.probe_days ? days(site.probe_days) : "not at all"],
        ["Admits offline for", site.lease_days === null ? null : days(site.lease_days)],
      ]),
      ...(edges.length ? edges.map((edge) => edgePart(edge, { writes, galleries, changed: show })) : [none]),
    );
  }

  const timer = setInterval(() => {
    if (!document.hidden && !document.querySelector("dialog[open]")) attempt(show);
  }, EVERY_MS);
  page.signal.addEventListener("abort", () => clearInterval(timer));
  await show();
}

const days = (number) => (number === null ? null : number === 0 ? "for ever" : number === 1 ? "1 day" : `${number} days`);

/** Make a site, or change one. */
function siteDialog(site, galleries, changed) {
  const name = input({ value: site?.name ?? "", required: true, maxLength: 200 });
  const zone = input({ value: site?.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone, required: true });
  const follows = galleries.map((gallery) => {
    const control = input({ type: "checkbox", value: gallery.id });
    control.checked = site ? site.galleries.includes(gallery.id) : gallery.id === "default";
    return [control, make("label", { className: "check" }, control, nameText(gallery.name), pill(gallery.kind, "quiet"))];
  });
  const kept = {
    event_days: input({ type: "number", min: 0, max: 36500, value: site?.event_days ?? "" }),
    thumbnail_days: input({ type: "number", min: 0, max: 36500, value: site?.thumbnail_days ?? "" }),
    probe_days: input({ type: "number", min: 0, max: 36500, value: site?.probe_days ?? 0 }),
    lease_days: input({ type: "number", min: 0, max: 3650, step: "any", value: site?.lease_days ?? "" }),
  };
  const box = dialog(site ? `Change ${site.name}` : "New site", [
    form(
      [
        field("Name", name),
        field("Time zone", zone, "As Europe/Berlin. It says when a day of attendance begins."),
        make("fieldset", {}, make("legend", {}, "Galleries that its edges follow"), ...follows.map(([, label]) => label)),
        field("Days that events are kept", kept.event_days, "Empty: as the worker is set up. 0: for ever."),
        field("Days that thumbnails are kept", kept.thumbnail_days),
        field("Days that encodings of strangers are kept", kept.probe_days, "0: not at all. They make Unknowns; ask before whether you may keep them."),
        field("Days that edges admit people without the line", kept.lease_days),
      ],
      {
        async send() {
          const json = {
            name: name.value,
            time_zone: zone.value,
            galleries: follows.filter(([control]) => control.checked).map(([control]) => control.value),
            ...Object.fromEntries(Object.entries(kept).map(([key, { value }]) => [key, value === "" ? (key === "probe_days" ? 0 : null) : Number(value)])),
          };
          await (site ? ask(path("v1", "sites", site.id), { method: "PATCH", json }) : ask("/v1/sites", { method: "POST", json }));
          box.close();
          await changed();
        },
      },
    ),
  ]);
}

async function joining(site) {
  const { token } = await ask(path("v1", "sites", site.id, "join-tokens"), { method: "POST" });
  const text = make("p", {}, "On the edge's machine, where Rollcall is installed, within 15 minutes. The token is good for one edge.");
  dialog(`Join an edge to ${site.name}`, [
    text,
    copyable(`.venv/bin/python -m rollcall edge join ${location.origin} <<< ${token}`, "Copy the command"),
    copyable(".venv/bin/python -m edge", "Copy the command that starts it"),
  ]);
}

function edgePart(edge, { writes, galleries, changed }) {
  const quiet = Date.now() - new Date(edge.last_seen_at) > QUIET_MS;
  const seen = new Date(edge.last_seen_at);
  const lag = edge.galleries.filter((held) => held.lag > 0 || held.error);
  const named = (id) => galleries.find((gallery) => gallery.id === id)?.name ?? id;
  const actions = writes && [
    button("Add a camera", () => cameraDialog(edge, null, changed), { className: "plain small", dataset: { key: `add ${edge.id}` } }),
    button("Renew credential", () => attempt(() => renew(edge)), { className: "plain small", dataset: { key: `renew ${edge.id}` } }),
    button("Revoke", () => attempt(() => revoke(edge, changed)), { className: "plain small danger", dataset: { key: `revoke ${edge.id}` } }),
    button("Remove", () => attempt(() => removeEdge(edge, changed)), { className: "plain small danger", dataset: { key: `remove ${edge.id}` } }),
  ];
  return make(
    "section",
    { className: "edge", ariaLabel: `Edge ${edge.name}` },
    make(
      "div",
      { className: "card-head" },
      make("h3", {}, nameText(edge.name), " ", quiet ? pill("Not heard of", "reject") : pill("Up", "pass")),
      actions ? make("div", { className: "actions" }, ...actions) : null,
    ),
    facts([
      ["Last seen", make("time", { dateTime: edge.last_seen_at, title: whole(seen) }, ago(seen))],
      ["Version, engine", `${edge.version}, ${edge.engine}`],
      ["Events that wait", edge.spooled ? String(edge.spooled) : null],
      ["Clock", Math.abs(edge.clock_offset_s ?? 0) > 2 ? `${Math.round(edge.clock_offset_s)} s ahead: set it right` : null],
      ["Galleries", lag.length ? lag.map((held) => lagging(named(held.gallery_id), held)).join("; ") : "up to date"],
    ]),
    edge.cameras.length
      ? scroll("Cameras", cameraTable(edge, writes, changed))
      : make("p", { className: "note" }, "It watches no camera yet."),
  );
}

function lagging(name, held) {
  return held.error ? `${name}: ${held.error}` : `${name} is ${held.lag} changes behind (${Math.round(held.lag_s)} s)`;
}

function cameraTable(edge, writes, changed) {
  const columns = ["Camera", "State", "Frames a second", "Recognised", "Way", ""];
  const head = columns.map((text) => make("th", { scope: "col" }, text || make("span", { className: "hidden" }, "What can be done")));
  const rows = edge.cameras.map((camera) => cameraRow(edge, camera, writes, changed));
  return make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

function cameraRow(edge, camera, writes, changed) {
  const key = (what) => ({ key: `${what} ${edge.id} ${camera.name}` });
  const funnel = Object.entries(camera.funnel ?? {});
  const followed = funnel.reduce((sum, [, count]) => sum + count, 0);
  const lost = funnel.filter(([reason]) => reason !== "recognised").sort(([, a], [, b]) => b - a)[0];
  const way = select(DIRECTIONS, { value: camera.direction ?? "", ariaLabel: `Which way people go before ${camera.name}`, dataset: key("way") });
  Object.assign(way.dataset, key("way"));
  way.addEventListener("change", () =>
    attempt(async () => {
      await ask(path("v1", "edges", edge.id), { method: "PATCH", json: { cameras: { [camera.name]: way.value || null } } });
      await changed();
    }),
  );
  const actions = [
    button("Look", () => attempt(() => looking(edge, camera.name, {})), { className: "plain small", dataset: key("look") }),
    button("Change", () => cameraDialog(edge, camera.name, changed), { className: "plain small", dataset: key("change") }),
    button("Remove", () => attempt(() => removing(edge, camera.name, changed)), { className: "plain small danger", dataset: key("remove") }),
  ];
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, nameText(camera.name)),
    make("td", {}, camera.up === null ? pill("Not known", "quiet") : camera.up ? pill("Up", "pass") : pill("Lost", "reject")),
    make("td", {}, camera.fps === null ? "" : camera.fps.toFixed(1)),
    make(
      "td",
      { className: "funnel" },
      followed ? `${camera.funnel.recognised} of ${followed}` : "",
      lost?.[1] ? make("p", { className: "note" }, `${lost[1]} lost, ${LOSSES[lost[0]] ?? lost[0]}`) : null,
    ),
    make("td", {}, writes ? way : (DIRECTIONS.find(([value]) => value === (camera.direction ?? ""))?.[1] ?? "")),
    make("td", {}, writes ? make("div", { className: "actions" }, ...actions) : null),
  );
}

/** Have the edge do something with a camera, and wait for how it went; raises what it says. */
async function ordered(edge, order) {
  const place = path("v1", "edges", edge.id, "orders");
  const made = await ask(place, { method: "POST", json: order, wait: 20 });
  if (made.state === "pending") throw new Error("The edge has not answered yet. It will do it when it is back.");
  if (made.state === "failed") throw new Error([made.message, made.remedy].filter(Boolean).join(". "));
  return { ...made, place: `${place}/${encodeURIComponent(made.id)}` };
}

async function looking(edge, camera, more) {
  const seen = await ordered(edge, { action: "look", camera, ...more });
  const picture = make("img", { src: `${seen.place}/picture`, alt: `What the camera ${camera} shows` });
  dialog(camera, [picture, make("p", { className: "note" }, seen.message)]);
}

function cameraDialog(edge, known, changed) {
  const name = input({ value: known ?? "", required: true, maxLength: 64, readOnly: known !== null });
  const source = input({ required: true, placeholder: "rtsp://user:password@10.0.0.7/stream", maxLength: 2000, spellcheck: false });
  const fps = input({ type: "number", min: 1, max: 1000, placeholder: "30" });
  const picture = make("div", { className: "picture" });
  const order = (action) => ({
    action,
    camera: name.value.trim(),
    source: source.value.trim(),
    ...(fps.value && { max_fps: Number(fps.value) }),
  });

  async function test() {
    picture.replaceChildren(make("p", { className: "note", role: "status" }, "The edge opens the camera"));
    try {
      const { camera, source: from } = order("look");
      const seen = await ordered(edge, { action: "look", camera: camera || "new", source: from });
      picture.replaceChildren(make("img", { src: `${seen.place}/picture`, alt: "What the camera shows" }), make("p", { className: "note" }, seen.message));
    } catch (error) {
      picture.replaceChildren(make("p", { className: "outcome", dataset: { state: "reject" }, role: "alert" }, error.message));
    }
  }

  const box = dialog(known === null ? `Add a camera to ${edge.name}` : `Change ${known}`, [
    form(
      [
        field("Name", name),
        field("Where its picture comes from", source, "rtsp:// or http:// URL, or the number of a USB camera. It goes to the edge alone, and is not shown again."),
        field("Frames a second, at most", fps),
        button("Test a picture", test, { className: "plain" }),
        picture,
      ],
      {
        submit: known === null ? "Add it" : "Change it",
        async send() {
          await ordered(edge, order("put"));
          box.close();
          toast(known === null ? "The edge watches it now." : "The edge watches it so from now on.");
          await changed();
        },
      },
    ),
  ]);
}

async function removing(edge, camera, changed) {
  if (!(await confirmed(`Watch ${camera} no more?`, "Its events stay.", { yes: "Remove", danger: true }))) return;
  await ordered(edge, { action: "remove", camera });
  await changed();
}

async function renew(edge) {
  await ask(path("v1", "edges", edge.id, "credential"), { method: "POST" });
  toast("The edge takes another credential within ten minutes.");
}

async function revoke(edge, changed) {
  const text = "It is shut out within a second, goes on by what it holds, and has to join again to come back.";
  if (!(await confirmed(`Revoke the credentials of ${edge.name}?`, text, { yes: "Revoke", danger: true }))) return;
  await ask(path("v1", "edges", edge.id, "credential"), { method: "DELETE" });
  await changed();
}

async function removeEdge(edge, changed) {
  const text =
    "It is shut out within a second and listed no more; its events stay. If its machine still runs, it goes on by the people " +
    "that it holds until its lease ends (LEASE_DAYS): wipe it, as erasures no longer wait for it.";
  if (!(await confirmed(`Remove ${edge.name} for good?`, text, { yes: "Remove", danger: true }))) return;
  await ask(path("v1", "edges", edge.id), { method: "DELETE" });
  await changed();
}
