// Events, newest on top. Each is shown once, whatever is told twice.

import { ask, byId, make, nameText } from "./dom.js";

const MOST_SHOWN = 300;
const PAGE = 40;
const WORDS = {
  PASS: ["Passed", "pass"],
  REJECT: ["Rejected", "reject"],
  sighting: ["Seen, watched", "reject"],
  camera_lost: ["Camera lost", "other"],
  camera_back: ["Camera back", "other"],
  camera_dark: ["Camera dark", "other"],
  camera_frozen: ["Camera frozen", "other"],
  camera_clear: ["Camera clear", "other"],
  events_dropped: ["Events dropped", "other"],
};

export class Events {
  constructor() {
    this.list = byId("events");
    this.newest = 0;
    this.oldest = null;
    byId("older").addEventListener("click", () => this.older());
  }

  /** Show the newest events there are; returns the position to go on from. */
  async start() {
    await this.older();
    return this.newest;
  }

  /** An event as it comes. */
  add(event) {
    if (event.position <= this.newest) return;
    this.newest = event.position;
    const item = row(event);
    item.classList.add("fresh");
    this.list.prepend(item);
    while (this.list.children.length > MOST_SHOWN) this.drop();
    this.count();
  }

  async older() {
    const before = this.oldest === null ? "" : `&before=${this.oldest}`;
    const page = await ask(`/v1/events?order=newest&limit=${PAGE}${before}`);
    for (const event of page.items) {
      this.newest = Math.max(this.newest, event.position);
      this.oldest = event.position;
      this.list.append(row(event));
    }
    byId("older").hidden = page.next === null;
    this.count();
  }

  /** Forget the oldest event shown; it can be asked for again. */
  drop() {
    this.list.lastElementChild.remove();
    this.oldest = Number(this.list.lastElementChild.dataset.position);
    byId("older").hidden = false;
  }

  count() {
    byId("events-empty").hidden = this.list.children.length > 0;
    byId("events-count").textContent = this.newest ? `${this.newest} so far` : "";
  }
}

function row(event) {
  const [words, state] = WORDS[event.status ?? event.kind] ?? [event.kind, "other"];
  const moment = new Date(event.captured_at);
  return make(
    "li",
    { dataset: { position: event.position } },
    picture(event),
    make(
      "div",
      {},
      make("div", { className: "who" }, title(event)),
      make("div", { className: "where" }, details(event)),
    ),
    make(
      "div",
      { className: "side" },
      make("span", { className: "pill", dataset: { state } }, words),
      make("time", { dateTime: event.captured_at, title: moment.toLocaleString() }, clock(moment)),
    ),
  );
}

/** Whether it is of a face, and not of a camera. */
function ofSomebody(event) {
  return event.kind === "decision" || event.kind === "sighting";
}

function title(event) {
  if (event.name) return nameText(event.name);
  if (!ofSomebody(event)) return nameText(event.camera);
  return event.identity_id ? "Somebody erased since" : "Somebody unknown";
}

function details(event) {
  const distance = event.distance == null ? null : `distance ${event.distance.toFixed(2)}`;
  const place = ofSomebody(event) ? event.camera : event.site;
  const dropped = Object.entries(event.dropped ?? {}).map(([word, count]) => `${count} ${word}`);
  return [place, distance, event.reason, ...dropped].filter(Boolean).join(" · ");
}

function picture(event) {
  if (!event.thumbnail) return make("span", { className: "face", ariaHidden: "true" }, ofSomebody(event) ? "?" : "!");
  const image = make("img", { className: "face", alt: "", width: 46, height: 46, loading: "lazy" });
  image.src = `/v1/events/${encodeURIComponent(event.id)}/thumbnail`;
  return image;
}

/** The time of day, with the date in front unless it is today's. */
function clock(moment) {
  const time = moment.toLocaleTimeString();
  return moment.toDateString() === new Date().toDateString() ? time : `${moment.toLocaleDateString()} ${time}`;
}
