// A text to be copied: a command, a key, a secret.

import { icon, make } from "./dom.js";
import { toast } from "./toasts.js";

/** The text, and a button that copies it. Where the browser does not let it, the text is selected instead. */
export function copyable(text, label = "Copy") {
  const code = make("code", { tabIndex: 0 }, text);
  const copy = make("button", { type: "button", className: "icon-button", ariaLabel: label, title: label }, icon("copy"));
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast("Copied.");
    } catch {
      getSelection().selectAllChildren(code);
    }
  });
  return make("div", { className: "copyable" }, code, copy);
}
