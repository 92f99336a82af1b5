// An event above the page: all that decided, and "this was not her".

import { ask, path } from "./api.js";
import { make, nameText } from "./dom.js";
import { dialog } from "./dialogs.js";
import { face, ofSomebody, status, title } from "./eventwords.js";
import { whole } from "./moments.js";
import { button, facts, failure, loading, scroll } from "./parts.js";
import { hrefTo } from "./router.js";
import { attempt, toast } from "./toasts.js";

const DECIDE_S = 20;

/** Why somebody who was recognised did not pass. */
const REASONS = {
  deny: "The person is on a deny list.",
  watch: "The person is on a watch list.",
  lease_expired: "The edge has had no sync for so long that it admits nobody.",
  margin: "Somebody else is about as near.",
};

/** Open an event; `closed` is called when it is closed. `page` is what the page got (pages.js). */
export async function openEvent(id, page, closed = () => {}) {
  const content = make("div", { className: "stack" }, loading());
  const element = dialog("Event", content, { closed });
  const leave = () => element.close();
  page.signal.addEventListener("abort", leave, { once: true });
  try {
    const event = await ask(path("v1", "events", id), { signal: page.signal });
    content.replaceChildren(...(await shown(event, page, element)));
  } catch (error) {
    if (error.name !== "AbortError") content.replaceChildren(failure(error));
  }
}

async function shown(event, page, element) {
  const alarm = page.alarms.open.find((open) => open.event_id === event.id);
  const actions = [
    alarm && page.may("events:write") && button("Acknowledge the alarm", () => acknowledged(alarm, page, element), { className: "danger" }),
    event.identity_id && event.name && make("a", { className: "button plain", href: hrefTo("people", [event.identity_id]), onclick: () => element.close() }, "See the person"),
    correctable(event, page) && correction(event, element),
  ];
  return [
    make("div", { className: "event-picture" }, face(event), make("div", {}, make("h3", {}, title(event)), status(event))),
    why(event) && make("p", { className: "event-why" }, ...why(event)),
    event.candidates.length ? candidates(event) : null,
    facts([
      ["Camera", nameText(event.camera)],
      ["Site", nameText(event.site)],
      ["Edge", nameText(event.edge || event.edge_id)],
      ["Captured", whole(new Date(event.captured_at))],
      ["Arrived", whole(new Date(event.arrived_at))],
      ["Gallery", event.gallery && `${event.gallery}, revision ${event.gallery_revision}`],
      ["Engine", event.engine],
      ["Lost with them", event.dropped && Object.entries(event.dropped).map(([word, n]) => `${n} ${word}`).join(", ")],
    ]),
    make("div", { className: "actions" }, ...actions.filter(Boolean)),
  ].filter(Boolean);
}

/** In a sentence, what decided. */
function why(event) {
  if (event.kind !== "decision" || event.distance === null || event.threshold === null) return null;
  const limit = event.threshold.toFixed(2);
  const distance = event.distance.toFixed(2);
  const reason = event.reason ? [" ", REASONS[event.reason] ?? `Reason: ${event.reason}.`] : [];
  const near = event.distance <= event.threshold;
  const verdict = near ? `which is near enough: at most ${limit} passes.` : `which is too far: at most ${limit} passes.`;
  return ["The nearest is ", event.name ? nameText(event.name) : "somebody", ` at a distance of ${distance}, ${verdict}`, ...reason];
}

function candidates(event) {
  const rows = event.candidates.map(({ name, identity_id, distance }) =>
    make(
      "tr",
      {},
      make("td", {}, name ? nameText(name) : identity_id ? "Somebody erased since" : "Somebody else"),
      make("td", { className: "number" }, distance.toFixed(3)),
      make("td", {}, event.threshold === null ? "" : distance <= event.threshold ? "near enough" : "too far"),
    ),
  );
  const head = make("tr", {}, ...["Compared with", "Distance", ""].map((word, i) => make(word ? "th" : "td", i === 1 ? { className: "number", scope: "col" } : { scope: "col" }, word)));
  return scroll("Compared with", make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

const correctable = (event, page) =>
  ofSomebody(event) && event.identity_id && event.name && event.thumbnail && page.may("people:write");

/** "This was not her": from now on, such a face is not taken for the person. It can be undone. */
function correction(event, element) {
  const press = button(`This was not ${event.name}`, async () => {
    press.disabled = true;
    const found = await attempt(() => correct(event.identity_id, event.id));
    press.disabled = false;
    if (!found) return;
    element.close();
    if (found.state === "pending") return toast("The correction is being looked at.");
    const undo = () => ask(path("v1", "identities", found.identity_id, "corrections", found.correction_id), { method: "DELETE" });
    toast(`Noted: this was not ${event.name}. Every edge learns it.`, {
      undo: async () => {
        await undo();
        toast("The correction was taken back.");
      },
    });
  }, { className: "plain danger" });
  return press;
}

/** Tell the API; somebody who was merged since is corrected as whom they are now. */
async function correct(identityId, eventId) {
  const send = (id) => ask(path("v1", "identities", id, "corrections"), { method: "POST", json: { event_id: eventId }, wait: DECIDE_S });
  try {
    return await send(identityId);
  } catch (error) {
    if (error.code !== "merged") throw error;
    return send(error.told.survivor);
  }
}

async function acknowledged(alarm, page, element) {
  await attempt(() => page.alarms.acknowledge(alarm, page.session));
  element.close();
}
