// How far an erasure has got: which edges have confirmed it, as they do.

import { ask, path } from "./api.js";
import { make, nameText } from "./dom.js";
import { ago, whole } from "./moments.js";
import { card, empty, facts, pageHead, pill } from "./parts.js";
import { hrefTo } from "./router.js";

const EVERY_MS = 1000;

/** Build the page of somebody who was erased, and keep it up to date until the erasure is complete. */
export async function erasure(root, page, id) {
  const at = path("v1", "identities", id) + "/erasure";
  const body = make("div", {});
  let timer = null;

  async function show() {
    const found = await ask(at, { signal: page.signal });
    body.replaceChildren(...shown(found));
    if (!found.complete) timer = setTimeout(() => show().catch(again), EVERY_MS);
  }

  const again = (error) => {
    if (error.name !== "AbortError") timer = setTimeout(() => show().catch(again), EVERY_MS);
  };

  try {
    await show();
  } catch (error) {
    if (error.code !== "not_found") throw error;
    root.append(empty("There is no such person", null, make("a", { href: hrefTo("people") }, "All people")));
    return undefined;
  }
  root.append(pageHead("Erased", "Old events keep a pseudonym, and nothing else of the person is kept."), body);
  return () => clearTimeout(timer);
}

function shown({ erased_at, scrubbed_at, complete, confirmed, pending }) {
  const state = complete ? pill("Gone everywhere", "pass") : pill("Under way", "other");
  const here = facts([
    ["Erased", whole(new Date(erased_at))],
    ["This control plane's files", scrubbed_at ? `hold nothing since ${whole(new Date(scrubbed_at))}` : "are being written anew"],
  ]);
  const rows = [...pending.map((edge) => row(edge, false)), ...confirmed.map((edge) => row(edge, true))];
  const none = make("p", { className: "note" }, "No edge held anything of the person.");
  return [
    card("Here", state, here),
    card("Edges", null, rows.length ? make("ul", { className: "rows" }, ...rows) : none),
  ];
}

function row({ edge, last_seen_at }, done) {
  return make(
    "li",
    { className: "line" },
    make("span", {}, nameText(edge), make("span", { className: "where" }, ` · last heard of ${ago(new Date(last_seen_at))}`)),
    done ? pill("Confirmed", "pass") : pill("Not yet", "other"),
  );
}
