// A camera's live picture, and over it the boxes, names and distances, drawn here and not burnt in.

import { make } from "./dom.js";

const OLD_AFTER_MS = 3000;
const COLOURS = { PASS: "#3ddc84", REJECT: "#ff6b7d" };
const INK = "#0b1013";

export class Picture {
  /** Of a camera `{ edge, camera }`, named for those who cannot see it. It asks for nothing: `frame` is called. */
  constructor(name) {
    this.picture = make("canvas", { className: "picture", role: "img", ariaLabel: `Live picture of ${name}` });
    this.overlay = make("canvas", { className: "overlay", ariaHidden: "true" });
    this.notice = make("p", { className: "notice" }, "Waiting for a picture.");
    this.element = make("div", { className: "stage" }, this.picture, this.overlay, this.notice);
    this.next = null;
    this.busy = false;
    this.header = null;
    this.sizes = new ResizeObserver(() => this.drawFaces());
    this.sizes.observe(this.element);
    this.timer = null;
  }

  /** Show a frame; while one is being decoded only the newest of the others waits. */
  async frame(header, jpeg) {
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
    if (this.picture.width !== image.width || this.picture.height !== image.height) {
      this.picture.width = image.width;
      this.picture.height = image.height;
      this.element.style.aspectRatio = `${image.width} / ${image.height}`;
    }
    this.picture.getContext("2d").drawImage(image, 0, 0);
    image.close();
    this.header = header;
    this.element.classList.remove("old");
    this.notice.hidden = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.old(), OLD_AFTER_MS);
    this.drawFaces();
  }

  /** A picture that is not of now must not pass for one. */
  old() {
    this.header = null;
    this.element.classList.add("old");
    this.notice.hidden = false;
    this.notice.textContent = "No picture just now.";
    this.drawFaces();
  }

  /** Boxes and labels in the screen's own pixels, so that they are sharp at any size. */
  drawFaces() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const ratio = window.devicePixelRatio || 1;
    this.overlay.width = Math.round(width * ratio);
    this.overlay.height = Math.round(height * ratio);
    if (!this.header) return;
    const context = this.overlay.getContext("2d");
    context.scale(ratio, ratio);
    const scale = width / this.header.width;
    for (const face of this.header.faces.toReversed()) drawFace(context, face, scale, width);
  }

  close() {
    clearTimeout(this.timer);
    this.sizes.disconnect();
  }
}

function drawFace(context, face, scale, width) {
  const [x1, y1, x2, y2] = face.box.map((value) => value * scale);
  const colour = COLOURS[face.status] ?? "#ffffff";
  context.strokeStyle = colour;
  context.lineWidth = 2.5;
  context.lineJoin = "round";
  context.beginPath();
  context.roundRect(x1, y1, x2 - x1, y2 - y1, 6);
  context.stroke();
  const name = face.name ?? "unknown";
  const words = face.distance == null ? name : `${name}  ${face.distance.toFixed(2)}`;
  context.font = "600 13px system-ui, sans-serif";
  const long = Math.min(context.measureText(words).width + 14, width);
  const left = Math.max(0, Math.min(x1, width - long));
  const top = y1 > 26 ? y1 - 26 : y2 + 4;
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(left, top, long, 22, 6);
  context.fill();
  context.fillStyle = INK;
  context.fillText(words, left + 7, top + 15.5, long - 14);
}
