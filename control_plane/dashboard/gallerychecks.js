// Which galleries somebody is in, as boxes to tick.

import { make, nameText } from "./dom.js";
import { pill } from "./parts.js";

const KINDS = { allow: ["may pass", "pass"], deny: ["denied", "reject"], watch: ["watched", "other"] };

/** Boxes for all galleries; `changed(id, ticked, box)` is called when one is ticked or not any more. */
export function galleryChecks(galleries, ticked, changed = () => {}) {
  const boxes = galleries.map(({ id, name, kind }) => {
    const box = make("input", { type: "checkbox", value: id, checked: ticked.includes(id) });
    box.addEventListener("change", () => changed(id, box.checked, box));
    return make("label", { className: "check" }, box, nameText(name), pill(...KINDS[kind]));
  });
  const element = make("fieldset", { className: "checks" }, make("legend", {}, "Galleries"), ...boxes);
  return { element, chosen: () => [...element.querySelectorAll("input:checked")].map(({ value }) => value) };
}
