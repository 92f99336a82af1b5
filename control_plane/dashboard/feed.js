// The event log as a list, newest on top: as events come, and back to the first one. Each is shown once.
//
// Only so many rows are kept. Scrolling back lets go of the newest, and then they are asked for again on the way up.

import { ask } from "./api.js";
import { make } from "./dom.js";
import { eventRow } from "./eventrow.js";
import { button, empty, failure, loading } from "./parts.js";

const PAGE = 40;
const MOST = 400;

export class Feed {
  /**
   * `query` holds parameters of `GET /v1/events`; `fits(event)` says of a new event whether it is meant by them; `none`
   * gives what stands where there is none. `page` is what the page got (pages.js).
   */
  constructor(page, { query = {}, fits = () => true, none = nothing, label = "Events" } = {}) {
    Object.assign(this, { page, query, fits, none });
    this.newest = 0;
    this.complete = false;
    this.atHead = false;
    this.waiting = [];
    this.busy = false;
    this.failed = null;
    this.list = make("ol", { className: "rows events", tabIndex: 0, ariaLabel: label });
    this.up = button("Newer events", () => this.newer(), { className: "plain wide", symbol: "up", hidden: true });
    this.down = button("Older events", () => this.older(), { className: "plain wide", hidden: true });
    this.note = make("div", {}, loading());
    this.element = make("div", { className: "feed" }, this.up, this.list, this.note, this.down);
    page.stream.addEventListener("event", ({ detail }) => this.add(detail), { signal: page.signal });
    page.stream.addEventListener("state", () => page.stream.state === "live" && this.failed?.(), { signal: page.signal });
    page.alarms.addEventListener("change", () => this.mark(), { signal: page.signal });
    this.watcher = new IntersectionObserver((entries) => this.reached(entries), { rootMargin: "200px" });
    page.signal.addEventListener("abort", () => this.watcher.disconnect());
    this.begin();
  }

  /** Show the newest page. */
  async begin() {
    this.atHead = false;
    this.waiting = [];
    await this.turn(async () => {
      const found = await this.ask({ order: "newest" });
      this.list.replaceChildren(...found.items.map((event) => this.row(event)));
      this.complete = found.next === null;
      this.newest = found.items[0]?.position ?? 0;
      this.arrive();
    }, () => this.begin());
  }

  /** An event as it comes: on top, unless the top is not what is shown. */
  add(event) {
    if (!this.fits(event) || event.position <= this.newest) return;
    if (!this.atHead) {
      this.waiting.push(event);
      this.waiting.splice(0, this.waiting.length - MOST);
      return;
    }
    this.newest = event.position;
    const row = this.row(event);
    row.classList.add("fresh");
    this.list.prepend(row);
    while (this.list.children.length > MOST) {
      this.list.lastElementChild.remove();
      this.complete = false;
    }
    this.draw();
  }

  /** The log's end is shown: what came meanwhile goes on top of it, and then whatever comes. */
  arrive() {
    this.atHead = true;
    const waiting = this.waiting;
    this.waiting = [];
    for (const event of waiting) this.add(event);
  }

  older() {
    return this.turn(async () => {
      const before = this.list.lastElementChild.dataset.position;
      const found = await this.ask({ order: "newest", before });
      this.list.append(...found.items.map((event) => this.row(event)));
      this.complete = found.next === null;
      while (this.list.children.length > MOST) {
        this.list.firstElementChild.remove();
        this.atHead = false;
      }
    }, () => this.older());
  }

  newer() {
    return this.turn(async () => {
      const after = this.list.firstElementChild.dataset.position;
      this.waiting = [];
      const found = await this.ask({ after });
      this.list.prepend(...found.items.toReversed().map((event) => this.row(event)));
      while (this.list.children.length > MOST) {
        this.list.lastElementChild.remove();
        this.complete = false;
      }
      this.newest = Number(this.list.firstElementChild.dataset.position);
      if (found.next === null) this.arrive();
    }, () => this.newer());
  }

  ask(more) {
    return ask(`/v1/events?${new URLSearchParams({ limit: PAGE, ...this.query, ...more })}`, { signal: this.page.signal });
  }

  /** Do one thing at a time, and show what was wrong with it; it is done `again` when the connection is back. */
  async turn(work, again) {
    if (this.busy) return;
    this.busy = true;
    this.failed = null;
    try {
      await work();
      this.note.replaceChildren();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.failed = again;
      this.note.replaceChildren(failure(error, again));
      return;
    } finally {
      this.busy = false;
    }
    this.draw();
  }

  draw() {
    const some = this.list.children.length > 0;
    this.up.hidden = this.atHead || !some;
    this.down.hidden = this.complete || !some;
    if (some || !this.atHead) this.note.querySelector(".empty:not(.failure)")?.remove();
    else if (!this.note.children.length) this.note.replaceChildren(this.none());
    // Observed anew, they are told of even where they never left the screen.
    for (const end of [this.up, this.down]) {
      this.watcher.unobserve(end);
      this.watcher.observe(end);
    }
  }

  reached(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting || target.hidden) continue;
      if (target === this.down) this.older();
      else this.newer();
    }
  }

  row(event) {
    const row = eventRow(event, this.page);
    this.stress(row);
    return row;
  }

  /** Have the events stand out of which an alarm is open. */
  mark() {
    for (const row of this.list.children) this.stress(row);
  }

  stress(row) {
    row.classList.toggle("alarming", this.page.alarms.open.some((alarm) => alarm.event_id === row.dataset.id));
  }
}

const nothing = () => empty("Nothing has happened yet", "Whoever passes a camera is shown here at once.");
