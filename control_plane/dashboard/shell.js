// What stands around every page: the navigation, the connection, the alarms, and the way from one page to the next.

import { Alarms } from "./alarms.js";
import { ask } from "./api.js";
import { byId, icon, make } from "./dom.js";
import { PAGES } from "./pages.js";
import { empty, failure, loading } from "./parts.js";
import { here, hrefTo } from "./router.js";
import { session, signOut } from "./session.js";
import { Stream } from "./stream.js";

const STATES = { live: "Connected", waiting: "Reconnecting" };
const SCHEMES = {
  "": ["contrast", "Colours: as the system"],
  light: ["sun", "Colours: light"],
  dark: ["moon", "Colours: dark"],
};

const stream = new Stream();
const alarms = new Alarms(stream);
let open = null;
let leave = null;
let ended = new AbortController();

/** Open the page that the address names. */
async function show() {
  const place = here();
  const entry = PAGES.find((page) => page.name === place.name);
  const first = open === null;
  const mine = (open = {});
  close();
  const who = await session();
  if (mine !== open) return;
  mark(entry);
  const root = make("div", { className: `page ${entry?.name ?? ""}` }, loading());
  byId("main").replaceChildren(root);
  try {
    if (!entry) return root.replaceChildren(empty("There is no such page", null, make("a", { href: "#/" }, "To the live pictures")));
    const { default: build } = await import(`./pages/${entry.name}.js`);
    if (mine !== open) return;
    root.replaceChildren();
    const { signal } = ended;
    const done = await build(root, { ...place, signal, stream, alarms, session: who, may: (need) => who.may.includes(need) });
    if (mine !== open) return done?.();
    leave = done ?? null;
  } catch (error) {
    if (mine !== open || error.name === "AbortError") return;
    root.replaceChildren(failure(error, show));
    stream.addEventListener("state", () => stream.state === "live" && show(), { signal: ended.signal });
  }
  if (!first) (root.querySelector("h1") ?? byId("main")).focus({ preventScroll: true });
}

function close() {
  ended.abort();
  ended = new AbortController();
  leave?.();
  leave = null;
  menu(false);
  window.scrollTo(0, 0);
}

/** Say which page is open, in the navigation and in the window's title. */
function mark(entry) {
  document.title = entry ? `${entry.label} · Rollcall` : "Rollcall";
  for (const link of byId("nav").querySelectorAll("a")) {
    if (link.dataset.page === entry?.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function navigation(who) {
  const seen = PAGES.filter((page) => !page.needs || who.may.includes(page.needs));
  const links = seen.map(({ name, label, icon: symbol }) =>
    make("li", {}, make("a", { href: hrefTo(name), dataset: { page: name } }, icon(symbol), make("span", {}, label))),
  );
  byId("nav").replaceChildren(make("ul", {}, ...links));
}

/** How many alarms are open, beside the page that shows them. */
function count() {
  const link = byId("nav").querySelector("[data-page=events]");
  link?.querySelector(".count")?.remove();
  const number = alarms.open.length;
  if (number) link?.append(make("span", { className: "count" }, String(number), make("span", { className: "hidden" }, " open alarms")));
}

function menu(opened) {
  byId("menu").setAttribute("aria-expanded", String(opened));
  byId("nav").classList.toggle("open", opened);
}

/** The switch of colours: as the system has them, light, dark. */
function schemeSwitch() {
  const root = document.documentElement;
  const button = make("button", { type: "button", id: "scheme", className: "icon-button" });
  const draw = () => {
    const [symbol, words] = SCHEMES[root.dataset.scheme ?? ""];
    button.replaceChildren(icon(symbol));
    button.ariaLabel = words;
    button.title = words;
  };
  button.addEventListener("click", () => {
    const names = Object.keys(SCHEMES);
    const next = names[(names.indexOf(root.dataset.scheme ?? "") + 1) % names.length];
    if (next) root.dataset.scheme = next;
    else delete root.dataset.scheme;
    try {
      localStorage.setItem("scheme", next);
    } catch {
      // Then it lasts as long as the page.
    }
    draw();
  });
  draw();
  return button;
}

function account(who) {
  const out = make("button", { type: "button", className: "plain small", onclick: signOut }, "Sign out");
  byId("account").replaceChildren(
    ...(who.user_id ? [make("bdi", { className: "who-am-i" }, who.name), out] : []),
    schemeSwitch(),
  );
}

/** The stream goes on from where the log is now; it waits for that to be known. */
async function follow() {
  try {
    const { items } = await ask("/v1/events?order=newest&limit=1");
    stream.start(items[0]?.position ?? 0);
  } catch {
    setTimeout(follow, 1000);
  }
}

async function start() {
  byId("menu").append(icon("menu"));
  byId("menu").addEventListener("click", () => menu(byId("menu").getAttribute("aria-expanded") !== "true"));
  document.addEventListener("keydown", ({ key }) => key === "Escape" && menu(false));
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  stream.addEventListener("state", () => {
    byId("connection").textContent = STATES[stream.state];
    byId("connection").dataset.state = stream.state;
  });
  alarms.addEventListener("change", count);
  window.addEventListener("hashchange", () => location.hash.startsWith("#/") && show());
  const who = await session();
  account(who);
  navigation(who);
  await Promise.all([follow(), alarms.refresh(), show()]);
}

start();
