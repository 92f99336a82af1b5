// Imports: a ZIP of photos handed in with its progress, what became of every photo, and taking all of it back.

import { ask, askAll, path, Problem } from "../api.js";
import { confirmed } from "../dialogs.js";
import { make, nameText } from "../dom.js";
import { field, form, input, select } from "../forms.js";
import { pagedList } from "../lists.js";
import { clock } from "../moments.js";
import { button, card, empty, facts, pageHead, pill } from "../parts.js";
import { go, hrefTo } from "../router.js";
import { session } from "../session.js";
import { attempt, toast } from "../toasts.js";

const ACTIVE = ["pending", "running", "cancelling", "undoing"];
const ACCEPTABLE = ["look_alike", "not_same_person"];
const STATES = {
  pending: ["Waiting", "other"],
  running: ["Running", "other"],
  cancelling: ["Stopping", "other"],
  undoing: ["Taking back", "other"],
  done: ["Done", "pass"],
  failed: ["Failed", "reject"],
  cancelled: ["Stopped", "quiet"],
  undone: ["Taken back", "quiet"],
};
const OUTCOMES = {
  accepted: ["Enrolled", "pass"],
  duplicate: ["Enrolled already", "quiet"],
  refused: ["Refused", "reject"],
  cancelled: ["Stopped", "quiet"],
  undone: ["Taken back", "quiet"],
  planned: ["Waiting", "other"],
  encoded: ["Waiting", "other"],
};
const LOOK_EVERY_MS = 2000;

export default function (root, page) {
  page.stream.follow("imports");
  return page.rest.length ? one(root, page, page.rest[0]) : all(root, page);
}

/** All imports, the newest first, and handing in another. */
async function all(root, page) {
  const list = make("ul", { className: "rows imports-list" });
  const galleries = page.may("imports:write") ? await askAll("/v1/galleries", page) : [];
  root.append(
    pageHead("Imports", "Many people at once: a ZIP with a photo a person, or a folder of photos a person."),
    ...(page.may("imports:write") ? [card("Hand in a ZIP", null, handingIn(galleries))] : []),
    card("So far", null, list),
  );

  async function show() {
    const found = (await askAll("/v1/imports", page)).toReversed();
    list.replaceChildren(...found.map(row));
    if (!found.length) list.append(make("li", {}, empty("Nothing was imported yet")));
  }

  page.stream.addEventListener("import", () => attempt(show), { signal: page.signal });
  await show();
}

function row(found) {
  const told = `${found.accepted} enrolled, ${found.refused} refused of ${found.total}`;
  return make(
    "li",
    { className: "import-row" },
    make("a", { href: hrefTo("imports", [found.id]) }, clock(new Date(found.created_at))),
    make("span", { className: "quiet" }, found.dry_run ? `${told} (only a report)` : told),
    statePill(found.state),
  );
}

const statePill = (state) => pill(...STATES[state]);

function handingIn(galleries) {
  const file = input({ type: "file", name: "zip", accept: ".zip,application/zip", required: true });
  const gallery = select(galleries.map(({ id, name }) => [id, name]), { value: "default" });
  const dryRun = input({ type: "checkbox" });
  const force = input({ type: "checkbox" });
  const bar = progress("Sending");
  const element = form(
    [
      field("ZIP archive", file, "katya.jpg enrols katya; katya/1.jpg too. A manifest.csv may say more."),
      galleries.length > 1 ? field("Gallery", gallery) : null,
      make("label", { className: "check" }, dryRun, "Only report what would become of each photo"),
      make("label", { className: "check" }, force, "Enrol look-alikes of others, too"),
      bar.element,
    ].filter(Boolean),
    {
      submit: "Hand in",
      async send() {
        const query = new URLSearchParams({ gallery: gallery.value || "default", dry_run: dryRun.checked, force: force.checked });
        bar.show(0, 1);
        try {
          const made = await sent(`/v1/imports?${query}`, file.files[0], bar.show);
          go("imports", [made.id]);
        } finally {
          bar.hide();
        }
      },
    },
  );
  droppable(element, file);
  return element;
}

/** Let a file be dropped on an element as if it was chosen. */
function droppable(element, file) {
  const over = (on) => (event) => {
    event.preventDefault();
    element.classList.toggle("dropping", on);
  };
  element.addEventListener("dragover", over(true));
  element.addEventListener("dragleave", over(false));
  element.addEventListener("drop", (event) => {
    over(false)(event);
    if (event.dataTransfer.files.length) file.files = event.dataTransfer.files;
  });
}

/** Post a file and tell how much of it was sent: `fetch` cannot. Raises Problem. */
async function sent(url, file, told) {
  const { csrf } = await session();
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.responseType = "json";
    request.setRequestHeader("Content-Type", "application/zip");
    request.setRequestHeader("X-CSRF-Token", csrf);
    request.upload.addEventListener("progress", ({ loaded, total }) => told(loaded, total));
    request.addEventListener("error", () => reject(new Problem({ title: "The archive could not be sent" })));
    request.addEventListener("load", () => {
      const answer = request.response ?? { title: "The archive could not be sent" };
      if (request.status < 300) resolve(answer);
      else if (answer.import) resolve(answer.import);
      else reject(new Problem(answer));
    });
    request.send(file);
  });
}

function progress(label) {
  const bar = make("progress", { ariaLabel: label, max: 1, value: 0 });
  const text = make("span", { className: "quiet figure" });
  const element = make("div", { className: "progress", hidden: true }, bar, text);
  return {
    element,
    show(done, total) {
      element.hidden = false;
      bar.value = total ? done / total : 0;
      text.textContent = `${label} ${Math.floor(100 * bar.value)} %`;
    },
    hide: () => (element.hidden = true),
  };
}

/** One import: how it gets on, what became of its photos, and what can be done about it. */
async function one(root, page, id) {
  const place = path("v1", "imports", id);
  const head = make("div", {});
  const state = make("div", { className: "import-state" });
  const bar = progress("Looked at");
  const choice = select([["", "All photos"], ["refused", "Refused"], ["accepted", "Enrolled"], ["duplicate", "Enrolled already"]]);
  const writes = page.may("imports:write");
  let shown = null;

  const photos = pagedList({
    from: () => `${place}/items${choice.value ? `?state=${choice.value}` : ""}`,
    row: (item) => photo(item, writes && !shown?.dry_run && ["done", "running"].includes(shown?.state) ? accept : null),
    none: () => empty(choice.value ? "No photo became that" : "No photo has been looked at yet"),
    signal: page.signal,
    className: "rows import-photos",
  });
  choice.addEventListener("change", photos.reload);
  choice.ariaLabel = "Which photos";
  root.append(head, card("How it gets on", null, bar.element, state), card("Photos", choice, photos.element));

  async function accept(asked) {
    await ask(`${place}/accept`, { method: "POST", json: asked, wait: 5 });
    await show(await ask(place));
    photos.reload();
  }

  const act = (what, wait = 0) => attempt(async () => show(await ask(`${place}/${what}`, { method: "POST", wait })));

  async function undo() {
    const yes = await confirmed("Take this import back?", "People and photos that only it brought go away.", {
      yes: "Take back",
      danger: true,
    });
    if (yes) await act("undo", 10);
  }

  function actions(found, alike) {
    const done = ["done", "cancelled"].includes(found.state) && !found.dry_run;
    return [
      writes && ["pending", "running"].includes(found.state) && button("Stop", () => act("cancel"), { className: "plain" }),
      writes && done && alike && button("Enrol all look-alikes", () => attempt(() => accept({ all: true })), { className: "plain" }),
      found.refused > 0 && make("a", { className: "button plain", href: `${place}/refusals.csv`, download: "" }, "Download refusals"),
      writes && done && button("Take back", undo, { className: "plain danger" }),
    ].filter(Boolean);
  }

  /** Whether photos were refused that may be enrolled after all. */
  async function acceptable(found) {
    if (!writes || !found.refused || ACTIVE.includes(found.state)) return false;
    const asked = ACCEPTABLE.map((reason) => ask(`${place}/items?state=refused&reason=${reason}&limit=1`, page));
    return (await Promise.all(asked)).some(({ items }) => items.length);
  }

  async function show(found) {
    const before = shown;
    shown = found;
    const alike = await acceptable(found);
    if (shown !== found) return;
    const lead = found.dry_run ? "Only a report: nothing was enrolled." : null;
    head.replaceChildren(
      pageHead(`Import of ${clock(new Date(found.created_at))}`, lead, statePill(found.state), ...actions(found, alike)),
    );
    if (found.total && ACTIVE.includes(found.state)) bar.show(found.total - found.pending, found.total);
    else bar.hide();
    state.replaceChildren(counts(found));
    const rested = before && ACTIVE.includes(before.state) && !ACTIVE.includes(found.state);
    if (rested) {
      photos.reload();
      toast(`The import is over: ${found.accepted} enrolled, ${found.refused} refused.`);
    }
  }

  page.stream.addEventListener("import", ({ detail }) => detail.id === id && show(detail), { signal: page.signal });
  const timer = setInterval(() => {
    if (ACTIVE.includes(shown?.state) && !document.hidden) attempt(async () => show(await ask(place, page)));
  }, LOOK_EVERY_MS);
  page.signal.addEventListener("abort", () => clearInterval(timer));
  await show(await ask(place, page));
}

function counts(found) {
  const skipped = Object.entries(found.skipped).map(([kind, number]) => `${kind.replaceAll("_", " ")}: ${number}`);
  return facts([
    ["Photos", String(found.total)],
    ["Enrolled", String(found.accepted)],
    ["Enrolled already", found.duplicates ? String(found.duplicates) : null],
    ["Refused", String(found.refused)],
    ["Waiting", found.pending ? String(found.pending) : null],
    ["Taken back", found.undone ? String(found.undone) : null],
    ["Passed over", skipped.join(", ")],
    ["Photos a second", found.rate_per_s ? found.rate_per_s.toFixed(1) : null],
    ["Time left", found.left_s ? `${Math.ceil(found.left_s)} s` : null],
    ["Why it failed", found.error ? [found.error.message, found.error.remedy].filter(Boolean).join(" ") : null],
  ]);
}

/** A photo's outcome; `accept` enrols it after all. */
function photo(item, accept) {
  const like = item.detail?.name ? ["It is like ", nameText(item.detail.name), item.detail.distance ? ` (${item.detail.distance.toFixed(2)})` : "", ". "] : [];
  const after = accept && item.state === "refused" && ACCEPTABLE.includes(item.reason);
  const enrol = after && button("Enrol it after all", () => attempt(() => accept({ items: [item.seq] })), { className: "plain small" });
  return make(
    "li",
    { className: "import-photo" },
    make("div", {}, make("div", {}, nameText(item.name ?? item.entry)), make("div", { className: "note" }, nameText(item.entry))),
    make("p", { className: "note" }, item.message ?? "", item.message ? " " : "", ...like, item.remedy ?? ""),
    make("div", { className: "actions" }, pill(...OUTCOMES[item.state]), enrol || null),
  );
}
