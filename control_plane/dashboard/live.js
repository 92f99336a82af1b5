// The live picture, and over it the boxes and names, drawn here and not burnt in.

import { byId } from "./dom.js";

const OLD_AFTER_MS = 3000;
const COLOURS = { PASS: "#3ddc84", REJECT: "#ff6b7d" };

export class Live {
  /** `chosen` is called with { edge, camera } when another camera is to be watched. */
  constructor(chosen) {
    this.chosen = chosen;
    this.picture = byId("picture");
    this.overlay = byId("overlay");
    this.stage = byId("stage");
    this.select = byId("camera");
    this.lens = null;
    this.next = null;
    this.busy = false;
    this.header = null;
    this.select.addEventListener("change", () => this.choose(JSON.parse(this.select.value)));
    new ResizeObserver(() => this.drawFaces()).observe(this.stage);
  }

  /** The cameras there are; the one watched stays, else the first is. */
  cameras(list) {
    const labelled = new Set(list.map((c) => c.site)).size > 1;
    const options = list.map((c) => {
      const lost = c.up === false ? " (lost)" : "";
      const label = `${labelled ? `${c.site} · ` : ""}${c.name}${lost}`;
      return new Option(label, JSON.stringify({ edge: c.edge_id, camera: c.name }));
    });
    const before = this.select.value;
    this.select.replaceChildren(...options);
    this.select.disabled = options.length === 0;
    if (options.length === 0) {
      this.select.append(new Option("no camera"));
    } else if (options.some((o) => o.value === before)) {
      this.select.value = before;
    } else {
      this.choose(JSON.parse(options[0].value));
    }
  }

  choose(lens) {
    this.lens = lens;
    this.next = null;
    clearTimeout(this.timer);
    // Another camera's picture must not stay: setting a canvas's size empties it.
    this.picture.width = this.picture.width;
    this.old("Waiting for a picture.");
    this.chosen(lens);
  }

  /** Show a frame; while one is being decoded only the newest of the others waits. */
  async frame(header, jpeg) {
    if (header.edge !== this.lens?.edge || header.camera !== this.lens?.camera) return;
    this.next = { header, jpeg };
    if (this.busy) return;
    this.busy = true;
    while (this.next) {
      const { header, jpeg } = this.next;
      this.next = null;
      await this.show(header, jpeg);
    }
    this.busy = false;
  }

  async show(header, jpeg) {
    let image;
    try {
      image = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    } catch {
      return;
    }
    if (header.edge !== this.lens.edge || header.camera !== this.lens.camera) return;
    if (this.picture.width !== image.width || this.picture.height !== image.height) {
      this.picture.width = image.width;
      this.picture.height = image.height;
    }
    this.stage.style.aspectRatio = `${image.width} / ${image.height}`;
    this.picture.getContext("2d").drawImage(image, 0, 0);
    image.close();
    this.header = header;
    this.fresh();
    this.drawFaces();
  }

  fresh() {
    this.stage.classList.remove("old");
    byId("notice").hidden = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.old("No picture just now."), OLD_AFTER_MS);
  }

  old(words) {
    this.header = null;
    this.stage.classList.add("old");
    byId("notice").hidden = false;
    byId("notice").textContent = words;
    this.drawFaces();
  }

  /** Boxes and labels in the screen's own pixels, so that they are sharp at any size. */
  drawFaces() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    const ratio = window.devicePixelRatio || 1;
    this.overlay.width = Math.round(width * ratio);
    this.overlay.height = Math.round(height * ratio);
    if (!this.header) return;
    const context = this.overlay.getContext("2d");
    context.scale(ratio, ratio);
    const scale = width / this.header.width;
    for (const face of this.header.faces.toReversed()) drawFace(context, face, scale, width);
  }
}

function drawFace(context, face, scale, width) {
  const [x1, y1, x2, y2] = face.box.map((v) => v * scale);
  const colour = COLOURS[face.status] ?? "#ffffff";
  context.strokeStyle = colour;
  context.lineWidth = 2.5;
  context.lineJoin = "round";
  context.beginPath();
  context.roundRect(x1, y1, x2 - x1, y2 - y1, 6);
  context.stroke();
  const words = face.distance == null ? face.name ?? "unknown" : `${face.name ?? "unknown"}  ${face.distance.toFixed(2)}`;
  context.font = "600 13px system-ui, sans-serif";
  const long = Math.min(context.measureText(words).width + 14, width);
  const left = Math.max(0, Math.min(x1, width - long));
  const top = y1 > 26 ? y1 - 26 : y2 + 4;
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(left, top, long, 22, 6);
  context.fill();
  context.fillStyle = "#0b1013";
  context.fillText(words, left + 7, top + 15.5, long - 14);
}
