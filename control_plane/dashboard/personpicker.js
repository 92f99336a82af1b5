// Choosing a person by name, above the page.

import { ask } from "./api.js";
import { make, nameText } from "./dom.js";
import { dialog } from "./dialogs.js";
import { field, input } from "./forms.js";
import { avatar } from "./people.js";
import { empty, failure } from "./parts.js";

const PAUSE_MS = 150;
const MOST = 20;

/** The person who is chosen, or null. `except` is the id of one who is not offered. */
export function pickPerson(title, page, { except = null } = {}) {
  return new Promise((resolve) => {
    let chosen = null;
    let timer = null;
    const search = input({ type: "search", maxLength: 200 });
    const list = make("ul", { className: "rows picker", ariaLabel: "People who fit" });
    const element = dialog(title, [field("Name", search), list], { closed: () => resolve(chosen) });

    function row(person) {
      const choose = () => {
        chosen = person;
        element.close();
      };
      const press = make("button", { type: "button", className: "pick", onclick: choose }, avatar(person), nameText(person.name));
      return make("li", {}, press);
    }

    async function show() {
      const query = new URLSearchParams({ limit: MOST, ...(search.value.trim() && { name: search.value.trim() }) });
      try {
        const { items } = await ask(`/v1/identities?${query}`, { signal: page.signal });
        const rows = items.filter(({ id }) => id !== except).map(row);
        list.replaceChildren(...(rows.length ? rows : [make("li", {}, empty("Nobody of this name"))]));
      } catch (error) {
        if (error.name !== "AbortError") list.replaceChildren(make("li", {}, failure(error, show)));
      }
    }

    search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(show, PAUSE_MS);
    });
    show();
  });
}
