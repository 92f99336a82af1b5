// How an event is told: its title, its state, its small picture.

import { path } from "./api.js";
import { icon, make, nameText } from "./dom.js";
import { pill } from "./parts.js";

/** What is said of a status, else of a kind, and how it looks. */
export const WORDS = {
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

/** Whether it is of a face, and not of a camera. */
export const ofSomebody = (event) => event.kind === "decision" || event.kind === "sighting";

export function title(event) {
  if (event.name) return nameText(event.name);
  if (!ofSomebody(event)) return nameText(event.camera);
  return event.identity_id ? "Somebody erased since" : "Somebody unknown";
}

/** The pill of an event's status. */
export function status(event) {
  const [words, state] = WORDS[event.status ?? event.kind] ?? [event.kind, "other"];
  return pill(words, state);
}

/** The small picture of an event's face, or what stands for it. */
export function face(event) {
  if (!event.thumbnail) {
    return make("span", { className: "face", ariaHidden: "true" }, ofSomebody(event) ? "?" : icon("camera"));
  }
  const image = make("img", { className: "face", alt: "", width: 44, height: 44, loading: "lazy" });
  image.src = path("v1", "events", event.id, "thumbnail");
  return image;
}
