// Attendance: who came and went on a day at a site, as a chart and as a table.

import { ask, askAll } from "../api.js";
import { make, nameText } from "../dom.js";
import { field, input, select } from "../forms.js";
import { card, empty, failure, loading, pageHead, scroll } from "../parts.js";
import { hrefTo, keep } from "../router.js";

const HOUR = 3600;
const DAY = 24 * HOUR;

export default async function (root, page) {
  const sites = await askAll("/v1/sites", page);
  const usual = (sites.find(({ id }) => id === "default") ?? sites[0])?.id;
  const day = input({ type: "date", value: page.query.get("day") ?? today(), required: true, max: "9998-12-31" });
  const site = select(sites.map(({ id, name }) => [id, name]), { value: page.query.get("site") ?? usual });
  const csv = make("a", { className: "button plain", download: "" }, "Download as CSV");
  const result = make("div", {});
  root.append(
    pageHead("Attendance", "First in, last out, and the time between, for everybody who passed a camera of the site.", csv),
    make("div", { className: "filters" }, field("Day", day), field("Site", site)),
    result,
  );

  async function show() {
    if (!day.value) return;
    const query = new URLSearchParams({ day: day.value, site: site.value });
    keep({ day: day.value, site: site.value });
    csv.href = `/v1/attendance?${query}&format=csv`;
    result.replaceChildren(loading());
    try {
      const found = await ask(`/v1/attendance?${query}`, page);
      result.replaceChildren(...shown(found));
    } catch (error) {
      if (error.name !== "AbortError") result.replaceChildren(failure(error, show));
    }
  }

  for (const control of [day, site]) control.addEventListener("change", show);
  await show();
}

/** Today, as the browser's clock has it. */
function today() {
  const now = new Date();
  return new Date(now - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
}

function shown(found) {
  if (!found.people.length) {
    return [card(found.site, null, empty("Nobody passed on that day", `A day begins at midnight in ${found.time_zone}.`))];
  }
  const number = found.people.length === 1 ? "1 person" : `${found.people.length} people`;
  return [
    card(number, make("span", { className: "note" }, `Times in ${found.time_zone}`), chart(found)),
    card("By person", null, scroll("By person", table(found))),
  ];
}

/** The seconds since midnight at the site: times bear the site's offset, and so they are read as they are written. */
function seconds(moment) {
  const [hours, minutes, rest] = moment.slice(11, 19).split(":").map(Number);
  return hours * HOUR + minutes * 60 + rest;
}

const time = (moment) => (moment ? moment.slice(11, 16) : "");

function hours(duration) {
  if (duration === null) return "";
  return `${Math.floor(duration / HOUR)}:${String(Math.floor(duration / 60) % 60).padStart(2, "0")}`;
}

/** A line a person, from the first in to the last out; the table says the same in words. */
function chart(found) {
  const marks = make("div", { className: "day-marks" });
  for (let hour = 0; hour <= 24; hour += 3) {
    const mark = make("span", {}, `${hour}`);
    mark.style.left = `${(100 * hour) / 24}%`;
    marks.append(mark);
  }
  const lines = found.people.map((person) => {
    const from = person.first_in ?? person.last_out;
    const to = person.last_out ?? person.first_in;
    const bar = make("span", { className: person.first_in && person.last_out ? "stay" : "stay open" });
    if (from) {
      bar.style.left = `${(100 * seconds(from)) / DAY}%`;
      bar.style.width = `${(100 * Math.max(0, seconds(to) - seconds(from))) / DAY}%`;
    }
    return make("li", {}, make("span", { className: "day-name" }, nameText(named(person))), make("span", { className: "day-line" }, bar));
  });
  return make("div", { className: "day-chart", aria: { hidden: "true" } }, marks, make("ul", {}, ...lines));
}

const named = (person) => person.name ?? "Somebody erased";

function table(found) {
  const head = ["Name", "First in", "Last out", "Time between", "Passes"].map((text, index) =>
    make("th", { scope: "col", className: index > 0 ? "number" : "" }, text),
  );
  const rows = found.people.map((person) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, who(person)),
      ...[time(person.first_in), time(person.last_out), hours(person.duration_s), String(person.passes)].map((text) =>
        make("td", { className: "number" }, text),
      ),
    ),
  );
  return make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

function who(person) {
  if (person.name === null) return nameText(named(person));
  return make("a", { href: hrefTo("people", [person.identity_id]) }, nameText(person.name));
}
