// A person: photos, details, galleries, corrections, and what was seen of them.

import { ask, askAll, path } from "./api.js";
import { make, nameText } from "./dom.js";
import { confirmed, dialog } from "./dialogs.js";
import { erasure } from "./erasure.js";
import { Feed } from "./feed.js";
import { form } from "./forms.js";
import { galleryChecks } from "./gallerychecks.js";
import { day, whole } from "./moments.js";
import { standing } from "./people.js";
import { button, card, empty, pageHead } from "./parts.js";
import { detailFacts, detailFields, detailsOf } from "./persondetails.js";
import { pickPerson } from "./personpicker.js";
import { PhotoQueue } from "./photos.js";
import { go, hrefTo } from "./router.js";
import { attempt, toast } from "./toasts.js";

/** Build the page of a person, or how far their erasure has got. Somebody who was merged leads to the one they are now. */
export async function personPage(root, page, id) {
  const at = path("v1", "identities", id);
  let person;
  try {
    person = await ask(at, { signal: page.signal });
  } catch (error) {
    if (error.code === "merged") return go("people", [error.told.survivor]);
    if (error.code === "not_found") return erasure(root, page, id);
    throw error;
  }
  const galleries = await askAll("/v1/galleries", { signal: page.signal });
  const view = new PersonView(root, page, at, person, galleries);
  return () => view.close();
}

class PersonView {
  constructor(root, page, at, person, galleries) {
    Object.assign(this, { page, at, person, galleries });
    this.may = page.may("people:write");
    this.head = make("div", {});
    this.photos = make("ul", { className: "photo-grid", ariaLabel: "Photos" });
    this.facts = make("div", {});
    this.corrections = make("div", {});
    this.merged = make("div", {});
    this.queue = new PhotoQueue(page, { accepted: () => this.reload() });
    this.queue.start(person.id);
    const whose = new Set([person.id, ...person.merged]);
    const feed = new Feed(page, { query: { identity: person.id }, fits: (event) => whose.has(event.identity_id), none: unseen, label: "Events of this person" });
    const edit = this.may && button("Edit", () => this.edit(), { className: "plain small" });
    const left = [card("Photos", null, this.photos, this.may ? this.queue.element : null), card("Seen", null, feed.element)];
    const right = [card("Details", edit || null, this.facts), card("Galleries", null, this.memberships()), card("Corrections", null, this.corrections), this.merged];
    root.append(this.head, make("div", { className: "person-grid" }, make("div", {}, ...left), make("div", {}, ...right)));
    this.draw();
    this.showPhotos();
    this.showCorrections();
  }

  draw() {
    const { person } = this;
    document.title = `${person.name} · Rollcall`;
    const back = make("p", {}, make("a", { href: hrefTo("people") }, "All people"));
    const actions = [
      button("Merge", () => this.merge(), { className: "plain" }),
      button("Erase", () => this.erase(), { className: "plain danger", symbol: "trash" }),
    ];
    const head = pageHead(nameText(person.name), null, ...(this.may ? actions : []));
    const pills = standing(person, this.galleries);
    head.firstElementChild.prepend(back);
    if (pills.length) head.firstElementChild.append(make("p", { className: "actions standing" }, ...pills));
    this.head.replaceChildren(head);
    this.facts.replaceChildren(detailFacts(person));
    this.merged.replaceChildren(...(person.merged.length ? [card("Merged into this person", null, this.parts())] : []));
  }

  async reload() {
    this.person = await ask(this.at, { signal: this.page.signal });
    this.draw();
    await this.showPhotos();
  }

  async showPhotos() {
    const found = await attempt(() => ask(`${this.at}/photos`, { signal: this.page.signal }));
    if (!found) return;
    const { items } = found;
    this.photos.replaceChildren(...items.map((photo) => this.photo(photo)));
    if (!items.length) this.photos.append(make("li", { className: "none" }, empty("No photo yet", "Without one nobody is recognised as this person.")));
  }

  photo({ id, identity_id, quality, created_at }) {
    const image = make("img", { src: path("v1", "identities", identity_id, "photos", id), alt: `Photo of ${this.person.name}`, loading: "lazy" });
    const words = make("figcaption", {}, grade(quality), make("span", { className: "quiet" }, day(new Date(created_at))));
    return make("li", {}, make("figure", {}, image, words));
  }

  async showCorrections() {
    const found = await attempt(() => ask(`${this.at}/corrections`, { signal: this.page.signal }));
    if (!found) return;
    const rows = found.items.map((correction) => {
      const undo = button("Take back", () => this.takeBack(correction), { className: "plain small" });
      return make("li", { className: "line" }, make("span", {}, `“Not this person”, ${whole(new Date(correction.created_at))}`), this.may ? undo : null);
    });
    const none = make("p", { className: "note" }, "None. In an event, say that it was not this person where somebody else was taken for them.");
    this.corrections.replaceChildren(rows.length ? make("ul", { className: "rows" }, ...rows) : none);
  }

  async takeBack({ id }) {
    await attempt(async () => {
      await ask(`${this.at}/corrections/${encodeURIComponent(id)}`, { method: "DELETE" });
      toast("The correction was taken back.");
    });
    await this.showCorrections();
  }

  memberships() {
    const change = (id, ticked, box) =>
      attempt(async () => {
        try {
          await ask(path("v1", "galleries", id, "members", this.person.id), { method: ticked ? "PUT" : "DELETE" });
        } catch (error) {
          box.checked = !ticked;
          throw error;
        }
        await this.reload();
      });
    const { element } = galleryChecks(this.galleries, this.person.galleries, change);
    element.disabled = !this.may;
    return element;
  }

  edit() {
    const body = form(detailFields(this.person), {
      send: async (element) => {
        await ask(this.at, { method: "PATCH", json: detailsOf(element) });
        await this.reload();
        box.close();
      },
    });
    const box = dialog("Edit the person", body);
  }

  async merge() {
    const other = await pickPerson(`Who is also ${this.person.name}?`, this.page, { except: this.person.id });
    if (!other) return;
    const text = `Photos, corrections and events of ${other.name} become those of ${this.person.name}. This can be undone.`;
    if (!(await confirmed("Merge the two", text, { yes: "Merge" }))) return;
    await attempt(async () => {
      await this.send("merge", other.id);
      toast(`${other.name} was merged into ${this.person.name}.`, { undo: () => this.send("unmerge", other.id) });
    });
  }

  async send(what, other) {
    await ask(`${this.at}/${what}`, { method: "POST", json: { from: other } });
    await this.reload();
    await this.showCorrections();
  }

  /** Those who were merged into this person; their names are told when they are apart again. */
  parts() {
    const rows = this.person.merged.map((id) =>
      make("li", { className: "line" }, make("code", {}, id), this.may ? button("Take apart", () => attempt(() => this.send("unmerge", id)), { className: "plain small" }) : null),
    );
    return make("ul", { className: "rows" }, ...rows);
  }

  async erase() {
    const { id, name } = this.person;
    const text = `${name} is erased here and on every edge: photos, encodings, thumbnails and name. This cannot be undone.`;
    if (!(await confirmed(`Erase ${name}?`, text, { yes: "Erase", danger: true }))) return;
    const done = await attempt(async () => (await ask(this.at, { method: "DELETE" }), true));
    if (!done) return;
    const place = hrefTo("people", [id]);
    if (location.hash === place) window.dispatchEvent(new HashChangeEvent("hashchange"));
    else location.hash = place;
  }

  close() {
    this.queue.close();
  }
}

const WEAK = { small: "small", blurred: "blurred", turned: "turned", tilted: "tilted", dark: "dark", bright: "too bright" };

/** A photo's quality in a word, with what is weak about it. */
function grade({ weaknesses = [], size_px: size }) {
  if (size === undefined) return make("span", {}, "Enrolled");
  const words = weaknesses.length ? weaknesses.map((weakness) => WEAK[weakness] ?? weakness).join(", ") : "good";
  return make("span", {}, `${words[0].toUpperCase()}${words.slice(1)}, face of ${size} px`);
}

const unseen = () => empty("Not seen yet", "Events of this person are shown here as they come.");
