// Photos that are put forward for a person: chosen, dropped or taken by a webcam, each with what became of it.

import { ask, path } from "./api.js";
import { icon, make, nameText } from "./dom.js";
import { input } from "./forms.js";
import { button, pill } from "./parts.js";
import { hrefTo } from "./router.js";
import { takePhoto } from "./webcam.js";

const TYPES = ["image/jpeg", "image/png", "image/webp"];
const DECIDE_S = 20;

/** Refusals that somebody who looks may overrule, and the words for that. */
const OVERRULED = { look_alike: "It is somebody else: enrol anyway", not_same_person: "It is this person: enrol anyway" };

export class PhotoQueue {
  /** `accepted(enrollment)` is called for each photo that is enrolled. They wait until `start` says for whom they are. */
  constructor(page, { accepted = () => {} } = {}) {
    this.page = page;
    this.accepted = accepted;
    this.identity = null;
    this.items = [];
    this.work = Promise.resolve();
    const choose = input({ type: "file", accept: TYPES.join(","), multiple: true, hidden: true });
    choose.addEventListener("change", () => {
      this.add(choose.files);
      choose.value = "";
    });
    const webcam = button("Take with the webcam", () => takePhoto((photo) => this.add([photo])), { className: "plain", symbol: "camera" });
    webcam.hidden = !navigator.mediaDevices?.getUserMedia;
    this.list = make("ul", { className: "photo-queue", ariaLabel: "Photos to enrol" });
    this.drop = make(
      "div",
      { className: "drop" },
      icon("photo"),
      make("p", {}, "Drop photos here, each with this person's face alone"),
      make("div", { className: "actions" }, button("Choose photos", () => choose.click(), { className: "plain" }), webcam, choose),
    );
    this.element = make("div", { className: "photos-in" }, this.drop, this.list);
    this.droppable();
  }

  droppable() {
    const over = (event, on) => {
      event.preventDefault();
      this.drop.classList.toggle("over", on);
    };
    this.drop.addEventListener("dragover", (event) => over(event, true));
    this.drop.addEventListener("dragleave", (event) => over(event, false));
    this.drop.addEventListener("drop", (event) => {
      over(event, false);
      this.add(event.dataTransfer.files);
    });
  }

  add(files) {
    for (const file of files) {
      const item = new Item(this, file);
      this.items.push(item);
      this.list.append(item.element);
      if (this.identity) this.send(item);
    }
  }

  /** Put all of them forward for this person, one after the other; those that come later, too. */
  start(identityId) {
    this.identity = identityId;
    for (const item of this.items) this.send(item);
    return this.work;
  }

  send(item, force = false) {
    this.work = this.work.then(() => item.send(this.identity, force));
  }

  get refused() {
    return this.items.filter((item) => item.state === "refused").length;
  }

  close() {
    for (const item of this.items) URL.revokeObjectURL(item.url);
  }
}

class Item {
  constructor(queue, file) {
    this.queue = queue;
    this.file = file;
    this.state = "waiting";
    this.url = URL.createObjectURL(file);
    this.words = make("div", { className: "photo-words", role: "status" });
    const image = make("img", { src: this.url, alt: "", width: 72, height: 72 });
    this.element = make("li", {}, image, this.words);
    this.say(pill("Waiting", "quiet"));
  }

  say(state, ...more) {
    this.words.replaceChildren(make("p", {}, state, " ", make("bdi", { className: "quiet" }, this.file.name)), ...more.filter(Boolean));
  }

  async send(identityId, force) {
    this.say(pill("Looking at it", "quiet"));
    try {
      const enrollment = await decided(identityId, this.file, force, this.queue.page.signal);
      this.state = enrollment.state;
      if (this.state === "refused") return this.refuse(enrollment);
      this.say(pill("Enrolled", "pass"));
      this.queue.accepted(enrollment);
    } catch (error) {
      this.state = "refused";
      if (error.told?.enrollment) return this.refuse(error.told.enrollment, error);
      this.say(pill("Not enrolled", "reject"), make("p", {}, error.message), this.again("Try again", false));
    }
  }

  /** Why it was refused, in words, and what to do. */
  refuse(enrollment, error = null) {
    const { reason, message, remedy, detail } = enrollment;
    const words = error?.message ?? [message, remedy].filter(Boolean).join(" ");
    const other = detail?.identity_id && detail.identity_id !== this.queue.identity ? this.alike(detail) : null;
    this.say(pill("Refused", "reject"), make("p", {}, words), other, reason in OVERRULED ? this.again(OVERRULED[reason], true) : null);
  }

  alike({ identity_id, name }) {
    return make("p", {}, make("a", { href: hrefTo("people", [identity_id]) }, "See ", nameText(name ?? "the other person")));
  }

  again(text, force) {
    return button(text, () => this.queue.send(this, force), { className: "plain small" });
  }
}

/** Put one photo forward, and wait until it is decided. */
async function decided(identityId, file, force, signal) {
  const to = path("v1", "identities", identityId, "photos") + (force ? "?force=true" : "");
  const type = TYPES.includes(file.type) ? file.type : "image/jpeg";
  let told = await ask(to, { method: "POST", body: file, headers: { "Content-Type": type }, wait: DECIDE_S, signal });
  while (told.state === "pending") {
    told = await ask(path("v1", "enrollments", told.id), { wait: DECIDE_S, signal });
  }
  return told;
}
