// The audit log: who did what, and who looked at what, the newest first.

import { ask } from "../api.js";
import { make } from "../dom.js";
import { field, input } from "../forms.js";
import { clock, whole } from "../moments.js";
import { button, card, empty, failure, loading, pageHead, pill, scroll } from "../parts.js";
import { keep } from "../router.js";

const PAGE = 100;
const COLUMNS = ["When", "Who", "What", "Of", "From", ""];

export default async function (root, page) {
  const filters = Object.fromEntries(
    ["actor", "action", "concerning"].map((name) => [name, input({ value: page.query.get(name) ?? "", maxLength: 64 })]),
  );
  const labels = { actor: "Who", action: "What", concerning: "Of (an id)" };
  const csv = make("a", { className: "button plain", download: "" }, "Download as CSV");
  const body = make("tbody", {});
  const head = COLUMNS.map((text) => make("th", { scope: "col" }, text || make("span", { className: "hidden" }, "Outcome")));
  const note = make("div", {});
  const more = button("Show more", () => next(false), { className: "plain wide", hidden: true });
  let before = null;
  let turn = 0;

  root.append(
    pageHead("Audit log", "Who did what, and who looked at what: ids only. rollcall audit verify proves that no row was altered.", csv),
    make("div", { className: "filters" }, ...Object.entries(filters).map(([name, control]) => field(labels[name], control))),
    card("Log", null, scroll("Log", make("table", {}, make("thead", {}, make("tr", {}, ...head)), body)), note, more),
  );

  const asked = () => Object.fromEntries(Object.entries(filters).map(([name, { value }]) => [name, value.trim()]).filter(([, value]) => value));

  async function next(fresh) {
    const mine = ++turn;
    if (fresh) before = null;
    const query = new URLSearchParams({ ...asked(), order: "newest", limit: PAGE, ...(before && { before }) });
    more.hidden = true;
    if (fresh) note.replaceChildren(loading());
    try {
      const found = await ask(`/v1/audit?${query}`, page);
      if (mine !== turn) return;
      const rows = found.items.map(row);
      if (fresh) body.replaceChildren(...rows);
      else body.append(...rows);
      before = found.next;
      more.hidden = before === null;
      note.replaceChildren(...(body.children.length ? [] : [empty("Nothing of that kind")]));
    } catch (error) {
      if (mine === turn && error.name !== "AbortError") note.replaceChildren(failure(error, () => next(fresh)));
    }
  }

  function filtered() {
    keep(asked());
    csv.href = `/v1/audit/export?${new URLSearchParams({ ...asked(), format: "csv" })}`;
    return next(true);
  }

  for (const control of Object.values(filters)) control.addEventListener("change", filtered);
  await filtered();
}

function row(entry) {
  const at = new Date(entry.at);
  const of = [entry.resource_id, entry.other_id].filter(Boolean).join(", ");
  return make(
    "tr",
    {},
    make("td", {}, make("time", { dateTime: entry.at, title: whole(at) }, clock(at))),
    make("td", {}, make("code", {}, entry.actor)),
    make("td", {}, entry.action.replaceAll("_", " ").replace(".", ": ")),
    make("td", {}, make("code", {}, of)),
    make("td", {}, entry.address),
    make("td", {}, entry.outcome === "done" ? "" : pill(entry.outcome.replaceAll("_", " "), "reject")),
  );
}
