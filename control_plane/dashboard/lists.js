// Lists of the API, a page at a time: more are asked for when the end comes into sight.

import { ask } from "./api.js";
import { make } from "./dom.js";
import { button, failure, loading } from "./parts.js";

const PAGE = 60;

/**
 * A list. `from()` gives the path to ask now (it is asked anew by `reload`), `row(item)` an element for each item, and
 * `none()` what stands where there is none. `tag` is the list's element, `into` an element to put the rows into instead
 * (a table's body). Returns `{ element, reload }`.
 */
export function pagedList({ from, row, none, signal, tag = "ul", className = "rows", into = null, label = null }) {
  const list = into ?? make(tag, { className });
  if (label) list.setAttribute("aria-label", label);
  const more = button("Show more", () => next(), { className: "plain wide" });
  const note = make("div", {});
  const element = make("div", { className: "paged" }, into ? null : list, note, more);
  let turn = 0;
  let after = "";
  let busy = false;

  async function next(fresh = false) {
    if (busy && !fresh) return;
    const mine = fresh ? ++turn : turn;
    if (fresh) after = "";
    busy = true;
    more.hidden = true;
    if (!list.children.length) note.replaceChildren(loading());
    try {
      const path = from();
      const query = new URLSearchParams({ limit: PAGE, ...(after && { after }) });
      const page = await ask(`${path}${path.includes("?") ? "&" : "?"}${query}`, { signal });
      if (mine !== turn) return;
      const rows = page.items.map(row);
      if (fresh) list.replaceChildren(...rows);
      else list.append(...rows);
      after = page.next;
      more.hidden = after === null;
      // Observed anew, its end is told of even where it never left the screen.
      watcher.unobserve(more);
      watcher.observe(more);
      note.replaceChildren(...(list.children.length ? [] : [none()]));
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      note.replaceChildren(failure(error, () => next(fresh)));
    } finally {
      if (mine === turn) busy = false;
    }
  }

  const watcher = new IntersectionObserver(([entry]) => entry.isIntersecting && !more.hidden && next());
  signal?.addEventListener("abort", () => watcher.disconnect());
  next(true);
  return { element, reload: () => next(true) };
}
