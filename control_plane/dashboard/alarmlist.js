// The open alarms as a list, each with a button that says it was seen.

import { icon, make, nameText } from "./dom.js";
import { openEvent } from "./eventdetail.js";
import { ago } from "./moments.js";
import { button } from "./parts.js";
import { attempt } from "./toasts.js";

/** What is said of a kind of alarm. */
const WORDS = {
  denied_person: "Somebody on a deny list",
  event_id_reused: "Two events with one id",
  edge_ahead: "An edge is ahead of its gallery",
  edge_diverged: "An edge had to start over",
  threshold_of_other_engine: "A threshold of another engine",
  webhook_disabled: "A webhook was switched off",
  consent_ends: "Consent ends",
};

const MOST = 5;

/** The open alarms, kept up to date; empty where there are none. */
export function alarmList(page) {
  const { alarms, signal } = page;
  const element = make("div", { className: "alarms", aria: { live: "polite" } });
  const draw = () => {
    const rest = alarms.open.length - MOST;
    element.replaceChildren(
      ...alarms.open.slice(0, MOST).map((alarm) => row(alarm, page)),
      ...(rest > 0 ? [make("p", { className: "note" }, `and ${rest} more, shown when these are acknowledged`)] : []),
    );
  };
  alarms.addEventListener("change", draw, { signal });
  draw();
  return element;
}

function row(alarm, page) {
  const seen = button("Acknowledge", () => attempt(() => page.alarms.acknowledge(alarm, page.session)), { className: "plain small" });
  const event = alarm.event_id && button("Show", () => openEvent(alarm.event_id, page), { className: "plain small" });
  const often = alarm.count > 1 ? ` · ${alarm.count} times` : "";
  return make(
    "article",
    { className: "alarm" },
    icon("alarm"),
    make(
      "div",
      {},
      make("p", { className: "alarm-title" }, WORDS[alarm.kind] ?? alarm.kind),
      make("p", { className: "where" }, nameText(alarm.message), ` · ${ago(new Date(alarm.last_at))}${often}`),
    ),
    make("div", { className: "actions" }, event, page.may("events:write") ? seen : null),
  );
}
