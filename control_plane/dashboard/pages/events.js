// The feed: all events as they come, by site, camera, person and status, and back to the first one.

import { alarmList } from "../alarmlist.js";
import { askAll } from "../api.js";
import { make } from "../dom.js";
import { openEvent } from "../eventdetail.js";
import { WORDS } from "../eventwords.js";
import { Feed } from "../feed.js";
import { field, select } from "../forms.js";
import { button, card, empty, pageHead } from "../parts.js";
import { pickPerson } from "../personpicker.js";
import { go, here, keep } from "../router.js";

const NAMES = ["site", "edge", "camera", "identity", "person", "status"];

export default async function (root, page) {
  const filters = Object.fromEntries(NAMES.map((name) => [name, page.query.get(name) ?? ""]));
  const holder = make("div", {});
  const sites = await askAll("/v1/sites", { signal: page.signal });
  let leaving = new AbortController();

  function apply() {
    keep(filters);
    leaving.abort();
    leaving = new AbortController();
    const signal = AbortSignal.any([page.signal, leaving.signal]);
    const feed = new Feed({ ...page, signal }, { query: asked(filters), fits: fitting(filters), none: () => none(filters) });
    holder.replaceChildren(feed.element);
  }

  const csv = make("a", { className: "button plain", download: "events.csv" }, "Export as CSV");
  csv.addEventListener("click", () => (csv.href = `/v1/events/export?${new URLSearchParams({ format: "csv", ...asked(filters) })}`));
  csv.href = "/v1/events/export?format=csv";
  root.append(
    pageHead("Events", null, csv),
    alarmList(page),
    card("The log", null, bar(filters, sites, page, apply), holder),
  );
  apply();
  if (page.rest[0]) openEvent(page.rest[0], page, () => here().rest[0] === page.rest[0] && go("events", [], filters));
}

/** The filters as parameters of the API. */
function asked({ site, edge, camera, identity, status }) {
  const kind = status && status === status.toLowerCase() ? "kind" : "status";
  const all = { site, edge, camera, identity, [kind]: status };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value));
}

/** Whether the filters mean an event, as the API would say. */
function fitting({ site, edge, camera, identity, status }) {
  return (event) =>
    (!site || event.site_id === site) &&
    (!edge || event.edge_id === edge) &&
    (!camera || event.camera === camera) &&
    (!identity || event.identity_id === identity) &&
    (!status || event.status === status || event.kind === status);
}

function bar(filters, sites, page, apply) {
  const site = select([["", "All sites"], ...sites.map(({ id, name }) => [id, name])], { value: filters.site });
  const status = select([["", "Everything"], ...Object.entries(WORDS).map(([key, [words]]) => [key, words])], { value: filters.status });
  const camera = select([["", "All cameras"]]);
  const person = make("button", { type: "button", className: "plain" });
  const clear = button("Clear", () => {
    for (const name of NAMES) filters[name] = "";
    site.value = status.value = "";
    changed();
  }, { className: "plain" });

  function cameras() {
    const there = (page.stream.cameras ?? []).filter((one) => !filters.site || one.site_id === filters.site);
    const options = there.map((one) => new Option(`${one.name} · ${one.site}`, JSON.stringify([one.edge_id, one.name])));
    camera.replaceChildren(new Option("All cameras", ""), ...options);
    camera.value = filters.camera ? JSON.stringify([filters.edge, filters.camera]) : "";
    if (camera.selectedIndex < 0) camera.append(new Option(filters.camera, JSON.stringify([filters.edge, filters.camera]), true, true));
  }

  function changed() {
    person.textContent = filters.identity ? filters.person || "One person" : "Anybody";
    clear.hidden = !NAMES.some((name) => filters[name]);
    cameras();
    apply();
  }

  site.addEventListener("change", () => {
    Object.assign(filters, { site: site.value, edge: "", camera: "" });
    changed();
  });
  camera.addEventListener("change", () => {
    [filters.edge, filters.camera] = camera.value ? JSON.parse(camera.value) : ["", ""];
    changed();
  });
  status.addEventListener("change", () => {
    filters.status = status.value;
    changed();
  });
  person.addEventListener("click", async () => {
    const chosen = await pickPerson("Whose events?", page);
    if (!chosen) return;
    Object.assign(filters, { identity: chosen.id, person: chosen.name });
    changed();
  });
  page.stream.addEventListener("cameras", cameras, { signal: page.signal });
  person.textContent = filters.identity ? filters.person || "One person" : "Anybody";
  clear.hidden = !NAMES.some((name) => filters[name]);
  cameras();
  return make(
    "div",
    { className: "filters", role: "group", ariaLabel: "Filters" },
    field("Site", site),
    field("Camera", camera),
    field("What", status),
    make("div", { className: "field" }, make("span", { id: "person-label" }, "Person"), labelled(person)),
    clear,
  );
}

function labelled(person) {
  person.id = "person-filter";
  person.setAttribute("aria-labelledby", "person-label person-filter");
  return person;
}

const none = (filters) =>
  NAMES.some((name) => filters[name])
    ? empty("No event fits these filters", "What fits is shown here as it comes.")
    : empty("Nothing has happened yet", "Whoever passes a camera is shown here at once.");
