// A camera on the wall: how it is, what happened before it last, and, opened, its live picture.

import { freshId, icon, make, nameText } from "./dom.js";
import { face, status, title } from "./eventwords.js";
import { openEvent } from "./eventdetail.js";
import { ago } from "./moments.js";
import { pill } from "./parts.js";
import { Picture } from "./picture.js";

const EVERY_MS = 10_000;

/** What a camera is known by: names of cameras are an edge's own. */
export const keyOf = (camera) => `${camera.edge_id}/${camera.name}`;

export class Tile {
  /** `toggled(open)` is called when somebody opens or closes it. */
  constructor(page, camera, toggled) {
    this.page = page;
    this.camera = camera;
    this.picture = null;
    this.stop = null;
    this.event = null;
    const id = freshId("tile");
    this.press = make(
      "button",
      { type: "button", className: "tile-open", aria: { expanded: "false", controls: id } },
      icon("expand"),
      nameText(camera.name),
    );
    this.press.addEventListener("click", () => {
      this.toggle(!this.picture);
      toggled(this.picture !== null);
    });
    this.state = make("span", {});
    this.place = make("p", { className: "where" });
    this.speed = make("span", { className: "figure quiet" });
    this.screen = make("div", { id, className: "screen" });
    this.latest = make("div", { className: "latest" });
    this.element = make(
      "li",
      { className: "tile" },
      make("div", { className: "tile-head" }, make("h2", {}, this.press), this.state),
      make("div", { className: "tile-line" }, this.place, this.speed),
      this.screen,
      this.latest,
    );
    this.timer = setInterval(() => this.draw(), EVERY_MS);
    this.draw();
  }

  /** How the camera is now. */
  update(camera) {
    this.camera = camera;
    this.element.dataset.state = camera.up === null ? "unknown" : camera.up ? "up" : "lost";
    const [words, state] = { up: ["Up", "pass"], lost: ["Lost", "reject"], unknown: ["Not heard of", "quiet"] }[this.element.dataset.state];
    this.state.replaceChildren(pill(words, state));
    const edge = camera.edge && camera.edge !== camera.site ? [" · ", nameText(camera.edge)] : [];
    this.place.replaceChildren(nameText(camera.site), ...edge);
    if (!camera.up) this.rate(null);
  }

  rate(fps) {
    this.speed.textContent = fps === null || !this.camera.up ? "" : `${fps.toFixed(1)} frames/s`;
  }

  happened(event) {
    this.event = event;
    this.draw();
  }

  /** What happened last; how long ago that was goes on. */
  draw() {
    if (!this.event) return this.latest.replaceChildren(make("p", { className: "note" }, "Nothing has happened here yet."));
    const { id, captured_at } = this.event;
    const open = make("button", { type: "button", className: "latest-open", onclick: () => openEvent(id, this.page) }, title(this.event));
    this.latest.replaceChildren(
      face(this.event),
      make("div", {}, open, make("p", { className: "where" }, ago(new Date(captured_at)))),
      status(this.event),
    );
  }

  /** Show the live picture, or let go of it. */
  toggle(open) {
    this.close(false);
    this.press.setAttribute("aria-expanded", String(open));
    this.element.classList.toggle("open", open);
    if (!open) return;
    const { edge_id: edge, name: camera } = this.camera;
    this.picture = new Picture(camera);
    this.screen.replaceChildren(this.picture.element);
    this.stop = this.page.stream.watch({ edge, camera }, (header, jpeg) => this.picture?.frame(header, jpeg));
  }

  /** Ask for no more frames. */
  close(whole = true) {
    this.stop?.();
    this.picture?.close();
    this.stop = this.picture = null;
    this.screen.replaceChildren();
    if (whole) clearInterval(this.timer);
  }
}
