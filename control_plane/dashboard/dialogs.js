// Dialogs above the page: the browser's own, which keep the focus and close on Escape.

import { freshId, icon, make } from "./dom.js";

/**
 * Open a dialog with this title and content; returns it. It closes on Escape, by its button and by a click beside it, and
 * `closed` is called then.
 */
export function dialog(title, content, { closed = () => {}, className = "" } = {}) {
  const id = freshId("dialog");
  const heading = make("h2", { id }, title);
  const close = make("button", { type: "button", className: "icon-button", ariaLabel: "Close" }, icon("close"));
  const body = make("div", { className: "dialog-body" }, content);
  const element = make(
    "dialog",
    { className, aria: { labelledby: id } },
    make("div", { className: "dialog-head" }, heading, close),
    body,
  );
  close.addEventListener("click", () => element.close());
  element.addEventListener("click", ({ target }) => target === element && element.close());
  element.addEventListener("close", () => {
    element.remove();
    closed();
  });
  document.body.append(element);
  element.showModal();
  return element;
}

/** Ask whether to go on; true if so. `danger`: what is done cannot be undone. */
export function confirmed(title, text, { yes = "Go on", danger = false } = {}) {
  return new Promise((resolve) => {
    let answer = false;
    const decide = (value) => () => {
      answer = value;
      element.close();
    };
    const actions = make(
      "div",
      { className: "actions" },
      make("button", { type: "button", className: "plain", textContent: "Cancel", onclick: decide(false) }),
      make("button", { type: "button", className: danger ? "danger" : "", textContent: yes, onclick: decide(true) }),
    );
    const element = dialog(title, [make("p", {}, text), actions], { closed: () => resolve(answer) });
  });
}
