// The people who are enrolled: searching, adding, and each with a page of their own.

import { addPerson } from "../addperson.js";
import { askAll } from "../api.js";
import { make, nameText } from "../dom.js";
import { field, input, select } from "../forms.js";
import { pagedList } from "../lists.js";
import { avatar, photosOf, standing } from "../people.js";
import { button, card, empty, pageHead } from "../parts.js";
import { personPage } from "../personpage.js";
import { hrefTo, keep } from "../router.js";

const PAUSE_MS = 200;

export default async function (root, page) {
  if (page.rest[0]) return personPage(root, page, page.rest[0]);
  const galleries = await askAll("/v1/galleries", { signal: page.signal });
  const search = input({ type: "search", maxLength: 200, value: page.query.get("search") ?? "" });
  const gallery = select([["", "All galleries"], ...galleries.map(({ id, name }) => [id, name])], { value: page.query.get("gallery") ?? "" });
  const wanted = () => ({ search: search.value.trim(), gallery: gallery.value });
  const list = pagedList({
    from: () => `/v1/identities?${parameters(wanted())}`,
    row: (person) => row(person, galleries),
    none: () => (search.value || gallery.value ? empty("Nobody fits") : empty("Nobody is enrolled yet", "Add somebody by a photo with one face.")),
    signal: page.signal,
    className: "rows people-rows",
    label: "People",
  });
  let timer = null;
  const soon = (pause) => {
    clearTimeout(timer);
    timer = setTimeout(() => (keep(wanted()), list.reload()), pause);
  };
  search.addEventListener("input", () => soon(PAUSE_MS));
  gallery.addEventListener("change", () => soon(0));
  const add = (files = []) => addPerson(page, galleries, list.reload, files);
  const may = page.may("people:write");
  root.append(
    pageHead("People", null, ...(may ? [button("Add somebody", () => add(), { symbol: "plus" })] : [])),
    card("Enrolled", null, make("div", { className: "filters" }, field("Search by name", search), field("Gallery", gallery)), list.element),
  );
  if (may) droppable(root, add);
  return () => clearTimeout(timer);
}

/** Photos that are dropped anywhere on the page are somebody to be added. */
function droppable(root, add) {
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) add(event.dataTransfer.files);
  });
}

function parameters({ search, gallery }) {
  return new URLSearchParams({ ...(search && { name: search }), ...(gallery && { gallery }) });
}

function row(person, galleries) {
  return make(
    "li",
    { className: "person" },
    avatar(person),
    make("div", {}, make("a", { className: "who", href: hrefTo("people", [person.id]) }, nameText(person.name)), make("div", { className: "where" }, photosOf(person))),
    make("div", { className: "actions" }, ...standing(person, galleries)),
  );
}
