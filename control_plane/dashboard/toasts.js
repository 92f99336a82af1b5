// Short news at the screen's edge, read out by screen readers: what was done, and often a way to undo it.

import { byId, icon, make } from "./dom.js";

const SHOWN_MS = 8000;

/** Say something; `undo`, if given, is done by a button beside it. An error stays until it is closed. */
export function toast(text, { state = "", undo = null } = {}) {
  const close = () => element.remove();
  const element = make(
    "div",
    { className: "toast", dataset: { state } },
    make("p", {}, text),
    undo &&
      make("button", {
        type: "button",
        className: "plain small",
        textContent: "Undo",
        onclick: () => (close(), attempt(undo)),
      }),
    make("button", { type: "button", className: "icon-button small", ariaLabel: "Close", onclick: close }, icon("close")),
  );
  byId("toasts").append(element);
  if (state !== "error") setTimeout(close, SHOWN_MS);
}

/** Do something, and say so if it is refused; what it gives, or undefined if it was refused. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, { state: "error" });
  }
}
