// An event as a row: who, where, what became of it, and when.

import { make, nameText } from "./dom.js";
import { openEvent } from "./eventdetail.js";
import { face, ofSomebody, status, title } from "./eventwords.js";
import { clock, whole } from "./moments.js";
import { hrefTo } from "./router.js";

/** A row of a list of events; a click opens the event above the page. `page` is what the page got (pages.js). */
export function eventRow(event, page) {
  const moment = new Date(event.captured_at);
  const link = make("a", { href: hrefTo("events", [event.id]), className: "who" }, title(event));
  link.addEventListener("click", (click) => {
    if (click.ctrlKey || click.metaKey || click.shiftKey) return;
    click.preventDefault();
    openEvent(event.id, page);
  });
  return make(
    "li",
    { className: "event", dataset: { position: event.position, id: event.id } },
    face(event),
    make("div", { className: "event-words" }, link, make("div", { className: "where" }, details(event))),
    make(
      "div",
      { className: "event-side" },
      status(event),
      make("time", { dateTime: event.captured_at, title: whole(moment) }, clock(moment)),
    ),
  );
}

function details(event) {
  const place = ofSomebody(event) ? [nameText(event.camera), nameText(event.site)] : [nameText(event.site)];
  const distance = event.distance === null ? [] : [make("span", { className: "together" }, `distance ${event.distance.toFixed(2)}`)];
  const dropped = Object.entries(event.dropped ?? {}).map(([word, count]) => `${count} ${word}`);
  return [...place, ...distance, ...dropped].flatMap((part, index) => (index ? [" · ", part] : [part]));
}
