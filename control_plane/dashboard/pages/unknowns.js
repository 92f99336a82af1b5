// Unknowns: strangers who came again, grouped by likeness; each group can become a person in one step.

import { ask, askAll, path, Problem } from "../api.js";
import { confirmed, dialog } from "../dialogs.js";
import { make, nameText } from "../dom.js";
import { field, form, input, select } from "../forms.js";
import { pagedList } from "../lists.js";
import { clock } from "../moments.js";
import { button, empty, pageHead } from "../parts.js";
import { go, keep } from "../router.js";
import { attempt, toast } from "../toasts.js";

const thumbnail = (eventId) => path("v1", "events", eventId, "thumbnail");

export default async function (root, page) {
  const [sites, galleries] = await Promise.all([askAll("/v1/sites", page), askAll("/v1/galleries", page)]);
  const site = select([["", "All sites"], ...sites.map(({ id, name }) => [id, name])], { value: page.query.get("site") ?? "" });
  const least = input({ type: "number", min: 1, max: 1000, value: page.query.get("least") ?? 2 });
  const asked = () => ({ site: site.value, least: least.value || 2 });
  const keeping = sites.some((one) => one.probe_days > 0);

  const list = pagedList({
    from: () => `/v1/unknowns?${new URLSearchParams(Object.entries(asked()).filter(([, value]) => value !== ""))}`,
    row: (unknown) => tile(unknown, { sites, galleries, page, changed: () => list.reload() }),
    none: () =>
      keeping
        ? empty("No stranger came again", "Whoever is seen twice by a site that keeps their encodings is shown here.")
        : empty("No site keeps the encodings of strangers", "It is off at first. A site's settings say for how many days they are kept; ask before you switch it on whether you may."),
    signal: page.signal,
    className: "unknowns",
  });

  for (const control of [site, least]) {
    control.addEventListener("change", () => {
      keep(asked());
      list.reload();
    });
  }
  root.append(
    pageHead("Unknowns", "Strangers who came again, grouped by likeness. A group may be one person, or people much alike."),
    make("div", { className: "filters" }, field("Site", site), field("Seen at least", least)),
    list.element,
  );
}

function tile(unknown, { sites, galleries, page, changed }) {
  const where = sites.find(({ id }) => id === unknown.site_id)?.name ?? unknown.site_id;
  const cameras = [...new Set(unknown.cameras.map(({ camera }) => camera))].join(", ");
  const seen = `Seen ${unknown.size} times`;
  const picture = unknown.event_id
    ? make("img", { src: thumbnail(unknown.event_id), alt: "The stranger, seen last", loading: "lazy" })
    : make("span", { className: "no-picture" }, "No picture is kept");
  const actions = [
    button("Look", () => attempt(() => looking(unknown)), { className: "plain small" }),
    page.may("people:write") && unknown.event_id ? button("Enrol", () => enrolling(unknown, galleries), { className: "small" }) : null,
    page.may("events:write") ? button("Dismiss", () => attempt(() => dismissing(unknown, changed)), { className: "plain small" }) : null,
  ];
  return make(
    "li",
    { className: "card unknown" },
    picture,
    make(
      "div",
      {},
      make("h2", {}, seen),
      make("p", { className: "note" }, nameText(where), ": ", nameText(cameras)),
      make("p", { className: "note" }, `${clock(new Date(unknown.first_seen_at))} to ${clock(new Date(unknown.last_seen_at))}`),
      make("div", { className: "actions" }, ...actions),
    ),
  );
}

async function looking(unknown) {
  const { events } = await ask(path("v1", "unknowns", unknown.id));
  const pictures = events.map((event) =>
    make(
      "figure",
      {},
      event.thumbnail
        ? make("img", { src: thumbnail(event.id), alt: "", loading: "lazy" })
        : make("span", { className: "no-picture" }, "No picture"),
      make("figcaption", { className: "note" }, clock(new Date(event.captured_at)), ", ", nameText(event.camera)),
    ),
  );
  dialog(`Seen ${unknown.size} times`, make("div", { className: "unknown-looks" }, ...pictures));
}

function enrolling(unknown, galleries) {
  const name = input({ required: true, maxLength: 200 });
  const gallery = select(galleries.map(({ id, name: words }) => [id, words]), { value: "default" });
  const force = input({ type: "checkbox" });
  const again = make("label", { className: "check", hidden: true }, force, "Enrol all the same");
  const box = dialog("Who is it?", [
    make("p", { className: "note" }, "Up to three pictures of the group become photos of the person. Better ones can be added later."),
    form([field("Name", name), field("Gallery", gallery), again], {
      submit: "Enrol",
      async send() {
        const json = { name: name.value, galleries: [gallery.value], force: force.checked };
        try {
          const made = await ask(`${path("v1", "unknowns", unknown.id)}/enroll`, { method: "POST", json, wait: 25 });
          box.close();
          const refused = made.enrollments.filter(({ state }) => state === "refused").length;
          toast(refused ? `Enrolled; ${refused} of the pictures would not do.` : "Enrolled.");
          go("people", [made.identity.id]);
        } catch (error) {
          if (error instanceof Problem && ["look_alike", "not_same_person"].includes(error.told.reason)) again.hidden = false;
          throw error;
        }
      },
    }),
  ]);
}

async function dismissing(unknown, changed) {
  if (!(await confirmed("Dismiss this group?", "It is shown no more, also when whoever it is comes again.", { yes: "Dismiss" }))) return;
  await ask(path("v1", "unknowns", unknown.id), { method: "DELETE" });
  await changed();
}
