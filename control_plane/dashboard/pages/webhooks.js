// Webhooks: who else is told, what became of each message, and telling it once more.

import { ask, askAll, path } from "../api.js";
import { confirmed, dialog } from "../dialogs.js";
import { make } from "../dom.js";
import { field, form, input, select } from "../forms.js";
import { pagedList } from "../lists.js";
import { clock } from "../moments.js";
import { button, card, empty, facts, pageHead, pill } from "../parts.js";
import { go, hrefTo } from "../router.js";
import { attempt, toast } from "../toasts.js";
import { copyable } from "../copyable.js";

const DELIVERIES = { pending: ["Waiting", "other"], delivered: ["Delivered", "pass"], failed: ["Given up", "reject"] };
const BECAUSE = { gone: "The receiver said that it is gone (410).", failing: "Five days of nothing but failure." };

export default function (root, page) {
  return page.rest.length ? one(root, page, page.rest[0]) : all(root, page);
}

async function all(root, page) {
  const [hooks, sites] = await Promise.all([askAll("/v1/webhooks", page), askAll("/v1/sites", page)]);
  const add = page.may("webhooks:write") && button("New webhook", () => adding(sites), { symbol: "plus" });
  const list = make("ul", { className: "rows" }, ...hooks.map(row));
  const none = empty("Nobody is told yet", "A gate, an attendance system or a chat learns by webhook who passes.");
  root.append(
    pageHead("Webhooks", "Decisions and alarms, posted to other systems as JSON and signed.", ...(add ? [add] : [])),
    card("Receivers", null, hooks.length ? list : none),
  );
}

function row(hook) {
  return make(
    "li",
    { className: "webhook-row" },
    make("a", { href: hrefTo("webhooks", [hook.id]) }, hook.url),
    make("span", { className: "note" }, told(hook)),
    standing(hook),
  );
}

function standing(hook) {
  if (!hook.enabled) return pill("Switched off", "quiet");
  return hook.failing_since ? pill("Failing", "reject") : pill("On", "pass");
}

/** What a receiver is told, in words. */
function told(hook) {
  const statuses = hook.statuses.length ? hook.statuses.join(" and ") : "no decisions";
  return hook.alarms ? `${statuses}, and alarms` : statuses;
}

function adding(sites) {
  const url = input({ type: "url", required: true, placeholder: "https://gate.example/hook", maxLength: 2000 });
  const wanted = Object.fromEntries(["PASS", "REJECT", "alarms"].map((name) => [name, input({ type: "checkbox", checked: name === "PASS" })]));
  const cameras = input({ placeholder: "all" });
  const site = select([["", "All sites"], ...sites.map(({ id, name }) => [id, name])]);
  const labels = { PASS: "Who passed", REJECT: "Who was turned away, and who was seen on a watch list", alarms: "Alarms" };
  const box = dialog("New webhook", [
    form(
      [
        field("URL", url, "It is posted to; it has 15 s to answer with 2xx."),
        ...Object.entries(wanted).map(([name, control]) => make("label", { className: "check" }, control, labels[name])),
        field("Site", site),
        field("Cameras", cameras, "Names with commas between them."),
      ],
      {
        submit: "Make it",
        async send() {
          const made = await ask("/v1/webhooks", {
            method: "POST",
            json: {
              url: url.value,
              statuses: ["PASS", "REJECT"].filter((status) => wanted[status].checked),
              alarms: wanted.alarms.checked,
              sites: site.value ? [site.value] : [],
              cameras: cameras.value.split(",").map((name) => name.trim()).filter(Boolean),
            },
          });
          box.close();
          secretShown(made.secret, () => go("webhooks", [made.id]));
        },
      },
    ),
  ]);
}

function secretShown(secret, closed) {
  dialog(
    "The secret",
    [make("p", {}, "Messages are signed with it. It is shown this once: give it to the receiver now."), copyable(secret, "Copy the secret")],
    { closed },
  );
}

/** One receiver: what it is told, and its deliveries. */
async function one(root, page, id) {
  const place = path("v1", "webhooks", id);
  const hook = await ask(place, page);
  const writes = page.may("webhooks:write");
  const choice = select([["", "All"], ["pending", "Waiting"], ["delivered", "Delivered"], ["failed", "Given up"]], { ariaLabel: "Which deliveries" });
  const deliveries = pagedList({
    from: () => `${place}/deliveries${choice.value ? `?state=${choice.value}` : ""}`,
    row: (delivery) => deliveryRow(place, delivery, writes ? again : null),
    none: () => empty("There are no such deliveries"),
    signal: page.signal,
  });
  choice.addEventListener("change", deliveries.reload);

  const change = (json) => attempt(async () => (await ask(place, { method: "PATCH", json }), go("webhooks", [id], { at: Date.now() })));

  async function again(asked) {
    const { queued } = await ask(`${place}/replay`, { method: "POST", json: asked });
    toast(queued === 1 ? "It is delivered once more." : `${queued} are delivered once more.`);
    deliveries.reload();
  }

  async function rotate() {
    const made = await ask(`${place}/rotate`, { method: "POST", json: {} });
    secretShown(made.secret);
  }

  async function remove() {
    if (!(await confirmed("Remove this webhook?", "Its deliveries go with it.", { yes: "Remove", danger: true }))) return;
    await ask(place, { method: "DELETE" });
    go("webhooks");
  }

  const actions = [
    button(hook.enabled ? "Switch off" : "Switch on", () => change({ enabled: !hook.enabled }), { className: "plain" }),
    button("New secret", () => attempt(rotate), { className: "plain" }),
    button("Replay", () => replaying(again), { className: "plain" }),
    button("Remove", () => attempt(remove), { className: "plain danger" }),
  ];
  root.append(
    pageHead(hook.url, null, standing(hook), ...(writes ? actions : [])),
    card("What it is told", null, facts([
      ["Decisions", told(hook)],
      ["Sites", hook.sites.length ? hook.sites.join(", ") : "all"],
      ["Cameras", hook.cameras.length ? hook.cameras.join(", ") : "all"],
      ["Galleries", hook.galleries.length ? hook.galleries.join(", ") : "all"],
      ["Switched off", hook.disabled_because && (BECAUSE[hook.disabled_because] ?? "By hand.")],
      ["Failing since", hook.failing_since && clock(new Date(hook.failing_since))],
      ["Made", clock(new Date(hook.created_at))],
    ])),
    card("Deliveries", choice, deliveries.element),
  );
}

function replaying(again) {
  const since = input({ type: "datetime-local", required: true });
  const box = dialog("Deliver once more", [
    make("p", {}, "All that this receiver wants from that moment on. It knows what it has already by the message's id."),
    form([field("Since", since)], {
      submit: "Deliver",
      async send() {
        await again({ since: new Date(since.value).toISOString() });
        box.close();
      },
    }),
  ]);
}

function deliveryRow(place, delivery, again) {
  const what = delivery.event_id ? make("a", { href: hrefTo("events", [delivery.event_id]) }, "Event") : make("span", {}, "Alarm");
  const last = delivery.last_error ?? (delivery.last_status ? `answered ${delivery.last_status}` : "");
  const tries = delivery.attempts === 1 ? "1 attempt" : `${delivery.attempts} attempts`;
  return make(
    "li",
    { className: "delivery-row" },
    make("span", {}, what, " of ", clock(new Date(delivery.created_at))),
    make("span", { className: "note" }, `${tries}${last ? `, ${last}` : ""}`),
    make(
      "span",
      { className: "actions" },
      pill(...DELIVERIES[delivery.state]),
      button("Attempts", () => attempt(() => attemptsShown(place, delivery)), { className: "plain small" }),
      again && delivery.state !== "pending" ? button("Again", () => attempt(() => again({ ids: [delivery.id] })), { className: "plain small" }) : null,
    ),
  );
}

async function attemptsShown(place, delivery) {
  const { items } = await ask(`${place}/deliveries/${encodeURIComponent(delivery.id)}/attempts`);
  const rows = items.map((one) =>
    make("li", { className: "attempt" }, clock(new Date(one.at)), ` · ${one.duration_ms} ms · `, one.error ?? `answered ${one.status}`),
  );
  dialog("Attempts", items.length ? make("ul", { className: "rows" }, ...rows) : empty("None yet"));
}
