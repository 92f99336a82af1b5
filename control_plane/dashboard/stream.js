// The WebSocket: events by cursor, cameras, and frames of what is watched. It reconnects and resumes where it was.
//
// An EventTarget: `state` ("live" or "waiting", in `stream.state`), `cameras` (in `stream.cameras`; null: not yet told),
// `event` and any other type of message (in the event's `detail`). Every event of the log behind the cursor is told once.
// Frames come to whoever watches:
//
//   const stop = stream.watch({ edge, camera }, (header, jpeg) => ...);

import { ask } from "./api.js";

const LONGEST_WAIT_MS = 8000;

export class Stream extends EventTarget {
  constructor() {
    super();
    this.state = "waiting";
    this.cameras = null;
    this.cursor = null;
    this.lenses = new Map();
    this.follows = new Set();
    this.wait = 250;
    document.addEventListener("visibilitychange", () => this.sayLenses());
  }

  /** Connect; events behind position `cursor` are told. */
  start(cursor) {
    this.cursor = cursor;
    this.connect();
  }

  /** Have `told(header, jpeg)` called with this camera's frames, while the page is visible; returns what ends that. */
  watch(lens, told) {
    const key = keyOf(lens.edge, lens.camera);
    const watched = this.lenses.get(key) ?? { lens, watchers: new Set() };
    const first = watched.watchers.size === 0;
    watched.watchers.add(told);
    this.lenses.set(key, watched);
    if (first && !document.hidden) this.say({ type: "watch", ...lens });
    return () => {
      watched.watchers.delete(told);
      if (watched.watchers.size || this.lenses.get(key) !== watched) return;
      this.lenses.delete(key);
      this.sayLenses();
    };
  }

  /** Have messages of another type told as well: `imports`. */
  follow(type) {
    this.follows.add(type);
    this.say({ type });
  }

  /** A WebSocket sends no key of its own: a ticket opens it. */
  async connect() {
    const ticket = await ask("/v1/tickets", { method: "POST" }).catch(() => null);
    if (!ticket) return this.closed();
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const protocols = ["rollcall.v1", ticket.subprotocol];
    this.socket = new WebSocket(`${scheme}://${location.host}/ws/face-stream`, protocols);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.opened();
    this.socket.onclose = () => this.closed();
    this.socket.onmessage = ({ data }) => (typeof data === "string" ? this.text(JSON.parse(data)) : this.binary(data));
  }

  opened() {
    this.wait = 250;
    this.say({ type: "events", after: this.cursor });
    for (const type of this.follows) this.say({ type });
    if (this.lenses.size) this.sayLenses();
    this.become("live");
  }

  closed() {
    this.become("waiting");
    setTimeout(() => this.connect(), this.wait * (0.75 + Math.random() / 2));
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
  }

  become(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  text(message) {
    if (message.type === "cameras") {
      this.cameras = message.cameras;
    } else if (message.type === "event") {
      if (message.position <= this.cursor) return;
      this.cursor = message.position;
    }
    this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
  }

  /** A frame: 4-byte length, JSON header, JPEG. */
  binary(data) {
    const length = new DataView(data).getUint32(0);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    const watched = this.lenses.get(keyOf(header.edge, header.camera));
    const jpeg = new Uint8Array(data, 4 + length);
    for (const told of watched?.watchers ?? []) told(header, jpeg);
  }

  say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** What is watched, from nothing: none while nobody sees the page. */
  sayLenses() {
    this.say({ type: "unwatch" });
    if (document.hidden) return;
    for (const { lens } of this.lenses.values()) this.say({ type: "watch", ...lens });
  }
}

const keyOf = (edge, camera) => JSON.stringify([edge, camera]);
