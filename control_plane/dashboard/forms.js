// Forms: labelled fields, and sending what they hold.

import { freshId, make } from "./dom.js";

/** A labelled field: `control` is an input, select or textarea; `hint` is said with it. */
export function field(label, control, hint = null) {
  const note = hint && make("span", { className: "hint", id: freshId("hint") }, hint);
  if (note) control.setAttribute("aria-describedby", note.id);
  return make("label", { className: "field" }, make("span", {}, label), control, note);
}

export const input = (properties) => make("input", { autocomplete: "off", ...properties });

/** A choice among `[value, words]`. */
export function select(options, properties = {}) {
  const { value, ...rest } = properties;
  const element = make("select", rest, ...options.map(([key, label]) => new Option(label, key)));
  if (value !== undefined && value !== null) element.value = value;
  return element;
}

/**
 * A form of these parts with a button; `send(form)` is called when it is sent. What it raises is shown in the form, what
 * it returns is shown as its success (nothing: nothing). Two sendings never overlap.
 */
export function form(parts, { submit = "Save", send, className = "" }) {
  const outcome = make("p", { className: "outcome", role: "status" });
  const button = make("button", {}, submit);
  const element = make("form", { className: `form ${className}` }, ...parts, button, outcome);
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    tell(outcome, "", "");
    try {
      tell(outcome, (await send(element)) ?? "", "pass");
    } catch (error) {
      if (error.name !== "AbortError") tell(outcome, error.message, "reject");
    }
    button.disabled = false;
  });
  return element;
}

/** Say what became of it, in an element of the class `outcome`. */
export function tell(outcome, text, state) {
  outcome.textContent = text;
  outcome.dataset.state = state;
}
