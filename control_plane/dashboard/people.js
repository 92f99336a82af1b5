// The people who are enrolled, and adding one by a photo.

import { ask, byId, make, nameText } from "./dom.js";

const PAGE = 60;

export class People {
  constructor() {
    this.list = byId("people");
    this.next = null;
    byId("search").addEventListener("input", () => this.soon());
    byId("more-people").addEventListener("click", () => this.more());
    byId("add").addEventListener("submit", (event) => {
      event.preventDefault();
      this.add(event.target);
    });
  }

  /** Show the first page of those whose names fit the search. */
  async show() {
    const search = byId("search").value.trim();
    const page = await this.page("");
    if (search !== byId("search").value.trim()) return;
    this.list.replaceChildren(...page.items.map(row));
    byId("people-empty").hidden = page.items.length > 0 || search !== "";
  }

  async more() {
    const page = await this.page(this.next);
    this.list.append(...page.items.map(row));
  }

  async page(after) {
    const query = new URLSearchParams({ limit: PAGE, after });
    const search = byId("search").value.trim();
    if (search) query.set("name", search);
    const page = await ask(`/v1/identities?${query}`);
    this.next = page.next;
    byId("more-people").hidden = page.next === null;
    return page;
  }

  /** Search when the typing pauses. */
  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.show(), 200);
  }

  async add(form) {
    const button = form.querySelector("button");
    button.disabled = true;
    tell("Looking at the photo", "");
    try {
      const told = await ask("/register", { method: "POST", body: new FormData(form) });
      tell(`${told.message}.`, told.success ? "pass" : "");
      if (told.success) form.reset();
      await this.show();
    } catch (error) {
      tell(error.message, "reject");
    }
    button.disabled = false;
  }
}

function tell(words, state) {
  const outcome = byId("add-outcome");
  outcome.textContent = words;
  outcome.dataset.state = state;
}

function row(person) {
  const photos = person.photos === 1 ? "1 photo" : `${person.photos} photos`;
  return make(
    "li",
    {},
    make("span", { className: "face", ariaHidden: "true" }, initials(person.name)),
    make(
      "div",
      {},
      make("div", { className: "who" }, nameText(person.name)),
      make("div", { className: "where" }, photos),
    ),
  );
}

function initials(name) {
  const words = name.split(/\s+/).filter(Boolean);
  const chosen = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return chosen.map((word) => [...word][0].toUpperCase()).join("");
}
