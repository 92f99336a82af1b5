// The open alarms. They are asked for when an event comes, and every so often.

import { ask, askAll, path } from "./api.js";

const EVERY_MS = 15_000;
const SOON_MS = 400;

export class Alarms extends EventTarget {
  /** Tells `change` of itself whenever `open`, the list of open alarms (newest first), is another one. */
  constructor(stream) {
    super();
    this.open = [];
    this.timer = null;
    stream.addEventListener("event", () => this.soon());
    stream.addEventListener("state", () => this.soon());
    setInterval(() => document.hidden || this.refresh(), EVERY_MS);
    document.addEventListener("visibilitychange", () => document.hidden || this.soon());
  }

  soon() {
    this.timer ??= setTimeout(() => this.refresh(), SOON_MS);
  }

  async refresh() {
    clearTimeout(this.timer);
    this.timer = null;
    try {
      const found = await askAll("/v1/alarms?state=open");
      const open = found.toReversed();
      if (JSON.stringify(open) === JSON.stringify(this.open)) return;
      this.open = open;
      this.dispatchEvent(new Event("change"));
    } catch {
      // The connection's pill says it already; the next turn asks again.
    }
  }

  /** Say that whoever is signed in has seen it; raises Problem. */
  async acknowledge(alarm, { name }) {
    const by = name || "dashboard";
    await ask(path("v1", "alarms", alarm.id, "acknowledge"), { method: "POST", json: { by } });
    await this.refresh();
  }
}
