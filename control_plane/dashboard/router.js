// Where one is: `#/people/ID?search=ann` is the page `people`, with the rest `["ID"]` and the query `search=ann`.
//
// Links between pages are plain `<a href="...">` of `hrefTo`. A page that keeps its filters in the address calls `keep`,
// which adds no step to the browser's history and builds nothing anew.

/** The place that the address names. */
export function here() {
  const [way, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "live", ...rest] = way.split("/").filter(Boolean).map(decoded);
  return { name, rest, query: new URLSearchParams(query) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The address of a page; of the query, an object or a list of pairs, only what says something. */
export function hrefTo(name, rest = [], query = {}) {
  const way = [name, ...rest].map(encodeURIComponent).join("/");
  const pairs = Array.isArray(query) ? query : Object.entries(query);
  const told = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return `#/${way}${told.length ? `?${new URLSearchParams(told)}` : ""}`;
}

export function go(name, rest, query) {
  location.hash = hrefTo(name, rest, query);
}

/** Keep a query in the address of the page that is open. */
export function keep(query) {
  const { name, rest } = here();
  history.replaceState(null, "", hrefTo(name, rest, query));
}
