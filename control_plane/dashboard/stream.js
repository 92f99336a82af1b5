// The WebSocket: frames of one camera, and events by cursor. It reconnects and resumes where it was.

import { ask } from "./dom.js";

const LONGEST_WAIT_MS = 8000;

export class Stream {
  /** `on` holds what is called: state(text), cameras(list), event(event), frame(header, jpeg). */
  constructor(on) {
    this.on = on;
    this.cursor = null;
    this.lens = null;
    this.wait = 250;
  }

  /** Connect; events behind position `cursor` are told, each once. */
  start(cursor) {
    this.cursor = cursor;
    this.connect();
  }

  watch(lens) {
    this.lens = lens;
    this.say({ type: "unwatch" });
    this.sayLens();
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
    this.on.state("live");
    this.say({ type: "events", after: this.cursor });
    this.sayLens();
  }

  closed() {
    this.on.state("waiting");
    setTimeout(() => this.connect(), this.wait * (0.75 + Math.random() / 2));
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
  }

  text(message) {
    if (message.type === "cameras") {
      this.on.cameras(message.cameras);
    } else if (message.type === "event") {
      this.cursor = message.position;
      this.on.event(message);
    }
  }

  /** A frame: 4-byte length, JSON header, JPEG. */
  binary(data) {
    const length = new DataView(data).getUint32(0);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    this.on.frame(header, new Uint8Array(data, 4 + length));
  }

  say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  sayLens() {
    if (this.lens) this.say({ type: "watch", ...this.lens });
  }
}
