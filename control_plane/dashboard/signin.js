// Signing in, and going on to where one wanted to be.

import { words } from "./api.js";
import { byId } from "./dom.js";

/** The page to go on to: one of our own, wherever the address says. */
function next() {
  const home = new URL("/", location.origin);
  try {
    const wanted = new URL(new URLSearchParams(location.search).get("next") ?? "/", home);
    return wanted.origin === home.origin ? wanted : home;
  } catch {
    return home;
  }
}

async function signIn(form) {
  const { name, password } = Object.fromEntries(new FormData(form));
  byId("fields").disabled = true;
  say("");
  try {
    const response = await fetch("/v1/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name, password }),
    });
    if (response.ok) return location.replace(next().href);
    say(words(await response.json()));
  } catch {
    say("The control plane does not answer. Try again in a moment.");
  }
  byId("fields").disabled = false;
  form.elements.password.select();
}

function say(text) {
  byId("outcome").textContent = text;
  byId("outcome").dataset.state = "reject";
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(event.target);
});
byId("fields").disabled = false;
byId("sign-in").elements.name.focus();

// Whoever is signed in already, or is not asked who they are, goes on.
const response = await fetch("/v1/session").catch(() => null);
if (response?.ok) location.replace(next().href);
