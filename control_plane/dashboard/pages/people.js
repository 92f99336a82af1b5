// The people who are enrolled, and adding one by a photo.

import { ask } from "../api.js";
import { make, nameText } from "../dom.js";
import { field, form, input } from "../forms.js";
import { pagedList } from "../lists.js";
import { avatar } from "../people.js";
import { card, empty, pageHead } from "../parts.js";
import { keep } from "../router.js";

const PAUSE_MS = 200;

export default function (root, page) {
  const search = input({ type: "search", maxLength: 200, value: page.query.get("search") ?? "" });
  const wanted = () => search.value.trim();
  const list = pagedList({
    from: () => `/v1/identities?${new URLSearchParams(wanted() && { name: wanted() })}`,
    row,
    none: () => (wanted() ? empty("Nobody of this name") : empty("Nobody is enrolled yet", "Add somebody by a photo with one face.")),
    signal: page.signal,
    className: "rows people-rows",
    label: "People",
  });
  let timer = null;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => (keep({ search: wanted() }), list.reload()), PAUSE_MS);
  });
  const add = form(
    [
      field("Name", input({ name: "name", required: true, maxLength: 200 })),
      field("Photo", input({ name: "image", type: "file", accept: "image/jpeg,image/png,image/webp", required: true })),
    ],
    {
      submit: "Add",
      async send(element) {
        const told = await ask("/register", { method: "POST", body: new FormData(element) });
        if (told.success) element.reset();
        list.reload();
        return `${told.message}.`;
      },
    },
  );
  root.append(
    pageHead("People"),
    page.may("people:write") ? card("Add somebody", null, add) : "",
    card("Enrolled", field("Search by name", search), list.element),
  );
}

function row(person) {
  const photos = person.photos === 1 ? "1 photo" : `${person.photos} photos`;
  return make(
    "li",
    { className: "person" },
    avatar(person),
    make("div", {}, make("div", { className: "who" }, nameText(person.name)), make("div", { className: "where" }, photos)),
  );
}
