// The wall: a tile a camera. Opening one shows its live picture, and only then are its frames asked for.

import { alarmList } from "../alarmlist.js";
import { ask, askAll } from "../api.js";
import { make } from "../dom.js";
import { Feed } from "../feed.js";
import { card, empty, loading, pageHead } from "../parts.js";
import { keep } from "../router.js";
import { Tile, keyOf } from "../tile.js";

const EVERY_MS = 5000;
const EVENTS = 200;

export default function (root, page) {
  const wall = new Wall(page);
  const feed = new Feed(page);
  const beside = make("div", { className: "beside" }, alarmList(page), card("As it happens", null, feed.element));
  root.append(wall.head, make("div", { className: "live-grid" }, wall.element, beside));
  return () => wall.close();
}

class Wall {
  constructor(page) {
    this.page = page;
    this.tiles = new Map();
    this.last = new Map();
    this.rates = new Map();
    this.open = new Set(page.query.getAll("open"));
    this.head = pageHead("Live");
    this.summary = make("p", { className: "lead" });
    this.head.firstElementChild.append(this.summary);
    this.list = make("ul", { className: "wall", ariaLabel: "Cameras" });
    this.note = make("div", {}, loading());
    const liveness = make("p", { className: "note" }, "Liveness is not detected: a photo held up to a camera can pass for the person.");
    this.element = make("div", {}, this.note, this.list, liveness);
    const { stream, signal } = page;
    stream.addEventListener("cameras", () => this.draw(), { signal });
    stream.addEventListener("event", ({ detail }) => this.happened(detail), { signal });
    this.timer = setInterval(() => document.hidden || this.measure(), EVERY_MS);
    this.measure();
    this.remember();
    if (stream.cameras) this.draw();
  }

  /** A tile for every camera there is now, by site and name. */
  draw() {
    const cameras = this.page.stream.cameras.toSorted(
      (a, b) => a.site.localeCompare(b.site) || a.name.localeCompare(b.name) || a.edge_id.localeCompare(b.edge_id),
    );
    if (cameras.length === 1 && this.tiles.size === 0) this.open.add(keyOf(cameras[0]));
    const keys = new Set(cameras.map(keyOf));
    for (const [key, tile] of this.tiles) {
      if (keys.has(key)) continue;
      tile.close();
      tile.element.remove();
      this.tiles.delete(key);
    }
    cameras.forEach((camera, index) => this.place(camera, index));
    this.note.replaceChildren(...(cameras.length ? [] : [empty("No camera yet", "An edge brings its cameras with it when it joins.")]));
    const up = cameras.filter((camera) => camera.up).length;
    this.summary.textContent = cameras.length ? `${up} of ${cameras.length} cameras up` : "";
  }

  /** A camera's tile at its place; one that stays is not moved, so that its picture goes on. */
  place(camera, index) {
    const key = keyOf(camera);
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = new Tile(this.page, camera, (open) => this.remembered(key, open));
      this.tiles.set(key, tile);
      if (this.last.has(key)) tile.happened(this.last.get(key));
      tile.rate(this.rates.get(key) ?? null);
      if (this.open.has(key)) tile.toggle(true);
    }
    tile.update(camera);
    if (this.list.children[index] !== tile.element) this.list.insertBefore(tile.element, this.list.children[index] ?? null);
  }

  /** Which tiles are open stays in the address. */
  remembered(key, open) {
    if (open) this.open.add(key);
    else this.open.delete(key);
    keep([...this.open].map((one) => ["open", one]));
  }

  happened(event) {
    const key = keyOf({ edge_id: event.edge_id, name: event.camera });
    this.last.set(key, event);
    this.tiles.get(key)?.happened(event);
  }

  /** What happened last before each camera, as far as the newest events say. */
  async remember() {
    const { items } = await ask(`/v1/events?order=newest&limit=${EVENTS}`, { signal: this.page.signal }).catch(() => ({ items: [] }));
    for (const event of items.toReversed()) {
      const known = this.last.get(keyOf({ edge_id: event.edge_id, name: event.camera }));
      if (!known || known.position < event.position) this.happened(event);
    }
  }

  /** Frames a second, as the edges say. */
  async measure() {
    const edges = await askAll("/v1/edges", { signal: this.page.signal }).catch(() => []);
    for (const camera of edges.flatMap((edge) => edge.cameras)) {
      this.rates.set(keyOf(camera), camera.fps);
      this.tiles.get(keyOf(camera))?.rate(camera.fps);
    }
  }

  close() {
    clearInterval(this.timer);
    for (const tile of this.tiles.values()) tile.close();
  }
}
