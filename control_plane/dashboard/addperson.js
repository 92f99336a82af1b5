// Adding a person, with photos.

import { ask } from "./api.js";
import { make, nameText } from "./dom.js";
import { dialog } from "./dialogs.js";
import { form } from "./forms.js";
import { galleryChecks } from "./gallerychecks.js";
import { detailFields, detailsOf } from "./persondetails.js";
import { PhotoQueue } from "./photos.js";
import { go } from "./router.js";
import { toast } from "./toasts.js";

/** Open the dialog; `added()` is called when a person was added. `files` are photos that are there already. */
export function addPerson(page, galleries, added, files = []) {
  const queue = new PhotoQueue(page);
  queue.add(files);
  const checks = galleryChecks(galleries, ["default"]);
  const [name, ...rest] = detailFields();
  const more = make("details", {}, make("summary", {}, "Validity, consent and external id"), make("div", { className: "form" }, ...rest));
  let made = null;

  async function send(element) {
    made ??= await ask("/v1/identities", { method: "POST", json: { ...detailsOf(element), galleries: checks.chosen() } });
    await queue.start(made.id);
    added();
    if (queue.refused) return finish();
    box.close();
    toast(`${made.name} was added.`);
    go("people", [made.id]);
  }

  /** The person is there, and not all photos are: nothing is sent twice, and other photos may be tried. */
  function finish() {
    const see = make("button", { type: "button", onclick: () => (box.close(), go("people", [made.id])) }, "Go on to ", nameText(made.name));
    body.replaceChildren(make("p", {}, "Not every photo was enrolled. Try others, or go on."), queue.element, make("div", { className: "actions" }, see));
  }

  const body = form([name, queue.element, checks.element, more], { submit: "Add", send });
  const box = dialog("Add somebody", body, { closed: () => (queue.close(), added()), className: "wide" });
}
