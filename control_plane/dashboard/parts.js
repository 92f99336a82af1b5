// What pages are made of: heads, cards, pills, and what is shown where there is nothing, nothing yet, or an error.

import { freshId, icon, make } from "./dom.js";

/** The head of a page: its title, a sentence about it, and what can be done on it. */
export function pageHead(title, lead = null, ...actions) {
  return make(
    "div",
    { className: "page-head" },
    make("div", {}, make("h1", { tabIndex: -1 }, title), lead && make("p", { className: "lead" }, lead)),
    actions.length ? make("div", { className: "actions" }, ...actions) : null,
  );
}

/** A part of a page with a title of its own; `aside` stands across from the title. */
export function card(title, aside, ...children) {
  const id = freshId("card");
  return make(
    "section",
    { className: "card", aria: { labelledby: id } },
    make("div", { className: "card-head" }, make("h2", { id }, title), aside),
    ...children,
  );
}

/** A word of a state: pass, reject, other, alarm or quiet. */
export const pill = (text, state = "other") => make("span", { className: "pill", dataset: { state } }, text);

export function button(text, onclick, properties = {}) {
  const { symbol, ...rest } = properties;
  return make("button", { type: "button", onclick, ...rest }, symbol ? icon(symbol) : null, text);
}

/** What stands where there is nothing: why, and what to do about it. */
export function empty(title, text = null, ...actions) {
  return make(
    "div",
    { className: "empty" },
    make("p", { className: "empty-title" }, title),
    text && make("p", {}, text),
    ...actions,
  );
}

export const loading = (text = "Loading") => make("p", { className: "loading", role: "status" }, text);

/** What stands where something could not be shown, with a button to try again. */
export function failure(error, again) {
  return make(
    "div",
    { className: "empty failure", role: "alert" },
    make("p", { className: "empty-title" }, "This could not be shown"),
    make("p", {}, error.message),
    again && button("Try again", again, { className: "plain" }),
  );
}

/** What may be wider than the screen, and then scrolls by itself, also by the keyboard. */
export const scroll = (label, ...children) => make("div", { className: "scroll", role: "region", tabIndex: 0, ariaLabel: label }, ...children);

/** Terms and what they are: `[term, value]`; what is null is left out. */
export function facts(pairs) {
  const told = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", { className: "facts" }, ...told.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]));
}
