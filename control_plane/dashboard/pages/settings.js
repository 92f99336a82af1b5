// Settings: galleries, who may sign in, access keys, and oneself.

import { ask, askAll, path } from "../api.js";
import { copyable } from "../copyable.js";
import { confirmed, dialog } from "../dialogs.js";
import { make, nameText } from "../dom.js";
import { field, form, input, select } from "../forms.js";
import { clock } from "../moments.js";
import { button, card, empty, pageHead, pill, scroll } from "../parts.js";
import { attempt, toast } from "../toasts.js";

const KINDS = [
  ["allow", "allow: they may pass"],
  ["deny", "deny: they must not pass, and an alarm is raised"],
  ["watch", "watch: they are noticed, without a verdict"],
];
const USER_ROLES = ["viewer", "operator", "admin"];
const KEY_ROLES = [...USER_ROLES, "integrator"];

export default async function (root, page) {
  const everywhere = page.session.sites === null;
  const sites = await askAll("/v1/sites", page);
  root.append(pageHead("Settings"));
  const parts = [
    page.may("galleries:read") && galleries(page, everywhere),
    everywhere && page.may("users:read") && users(page, sites),
    everywhere && page.may("keys:read") && keys(page, sites),
    page.session.user_id && oneself(page),
  ].filter(Boolean);
  root.append(...(await Promise.all(parts)));
}

const choices = (names) => names.map((name) => [name, name]);
const placeNames = (held, sites) => (held === null ? "all sites" : held.map((id) => sites.find((site) => site.id === id)?.name ?? id).join(", "));

/** A card with a table that is drawn anew after every change. */
async function tableCard(title, page, { path: from, columns, row, add, none }) {
  const body = make("tbody", {});
  const head = make("tr", {}, ...columns.map((text) => make("th", { scope: "col" }, text || make("span", { className: "hidden" }, "What can be done"))));
  const holder = scroll(title);
  async function show() {
    const items = await askAll(from, page);
    body.replaceChildren(...items.map((item) => row(item, show)));
    holder.replaceChildren(items.length ? make("table", {}, make("thead", {}, head), body) : empty(none));
  }
  await show();
  return card(title, add ? button(add.label, () => add.open(show), { className: "small", symbol: "plus" }) : null, holder);
}

const cells = (first, ...rest) => make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((cell) => make("td", {}, cell)));

function galleries(page, everywhere) {
  const writes = everywhere && page.may("galleries:write");
  return tableCard("Galleries", page, {
    path: "/v1/galleries",
    columns: ["Name", "Kind", "Distance up to which they pass", ...(writes ? [""] : [])],
    none: "There are no galleries",
    add: writes && { label: "New gallery", open: (changed) => galleryDialog(null, changed) },
    row: (gallery, changed) =>
      cells(
        nameText(gallery.name),
        pill(gallery.kind, { allow: "pass", deny: "reject" }[gallery.kind] ?? "other"),
        gallery.th_accept === null ? "the edge's, or the engine's" : String(gallery.th_accept),
        ...(writes
          ? [
              make(
                "div",
                { className: "actions" },
                button("Change", () => galleryDialog(gallery, changed), { className: "plain small" }),
                gallery.id === "default" ? null : button("Remove", () => attempt(() => removeGallery(gallery, changed)), { className: "plain small danger" }),
              ),
            ]
          : []),
      ),
  });
}

function galleryDialog(gallery, changed) {
  const name = input({ value: gallery?.name ?? "", required: true, maxLength: 200 });
  const kind = select(KINDS, { value: gallery?.kind ?? "allow" });
  const accept = input({ type: "number", min: 0, max: 2, step: "any", value: gallery?.th_accept ?? "" });
  const box = dialog(gallery ? `Change ${gallery.name}` : "New gallery", [
    form(
      [
        field("Name", name),
        field("Kind", kind),
        field("Distance up to which its people pass", accept, "Empty: as the edge or the engine has it (0.45). Lower: fewer mistaken for them, more of them missed."),
      ],
      {
        async send() {
          const json = { name: name.value, kind: kind.value, th_accept: accept.value === "" ? null : Number(accept.value) };
          await (gallery ? ask(path("v1", "galleries", gallery.id), { method: "PATCH", json }) : ask("/v1/galleries", { method: "POST", json }));
          box.close();
          await changed();
        },
      },
    ),
  ]);
}

async function removeGallery(gallery, changed) {
  const text = "Edges forget it. The people in it stay, but are found by it no more.";
  if (!(await confirmed(`Remove the gallery ${gallery.name}?`, text, { yes: "Remove", danger: true }))) return;
  await ask(path("v1", "galleries", gallery.id), { method: "DELETE" });
  await changed();
}

function users(page, sites) {
  return tableCard("Users", page, {
    path: "/v1/users",
    columns: ["Name", "Role", "Sites", "Last signed in", "State", ""],
    none: "Nobody signs in yet: the first user is made on the command line, by rollcall users create",
    add: { label: "New user", open: (changed) => userDialog(null, sites, changed) },
    row: (user, changed) =>
      cells(
        nameText(user.name),
        user.role,
        placeNames(user.sites, sites),
        user.signed_in_at ? clock(new Date(user.signed_in_at)) : "never",
        user.disabled_at ? pill("Disabled", "quiet") : pill("Active", "pass"),
        make(
          "div",
          { className: "actions" },
          button("Change", () => userDialog(user, sites, changed), { className: "plain small" }),
          button(user.disabled_at ? "Enable" : "Disable", () => attempt(() => switched(user, changed)), { className: "plain small" }),
        ),
      ),
  });
}

async function switched(user, changed) {
  await ask(path("v1", "users", user.id), { method: "PATCH", json: { disabled: user.disabled_at === null } });
  await changed();
}

function userDialog(user, sites, changed) {
  const name = input({ value: user?.name ?? "", required: true, maxLength: 200, readOnly: Boolean(user) });
  const role = select(choices(USER_ROLES), { value: user?.role ?? "viewer" });
  const where = siteChoice(sites, user?.sites?.[0]);
  const password = input({ type: "password", autocomplete: "new-password", required: !user });
  const box = dialog(user ? `Change ${user.name}` : "New user", [
    form(
      [
        field("Name", name),
        field("Role", role, "A viewer sees, an operator also enrols and acknowledges, an admin does everything."),
        field("Site", where),
        field(user ? "New password" : "Password", password, user ? "Empty: as it is." : "At least twelve characters."),
      ],
      {
        async send() {
          const json = { role: role.value, sites: where.value ? [where.value] : null, ...(password.value && { password: password.value }) };
          await (user
            ? ask(path("v1", "users", user.id), { method: "PATCH", json })
            : ask("/v1/users", { method: "POST", json: { name: name.value, ...json } }));
          box.close();
          await changed();
        },
      },
    ),
  ]);
}

const siteChoice = (sites, value = "") => select([["", "All sites"], ...sites.map(({ id, name }) => [id, name])], { value });

function keys(page, sites) {
  return tableCard("Access keys", page, {
    path: "/v1/keys",
    columns: ["Id", "Role", "What for", "Sites", "Last used", "State", ""],
    none: "There are no keys. Programs need one as soon as there is a user or a key",
    add: { label: "New key", open: (changed) => keyDialog(sites, changed) },
    row: (key, changed) =>
      cells(
        make("code", {}, key.id),
        key.role,
        nameText(key.name),
        placeNames(key.sites, sites),
        key.last_used_at ? clock(new Date(key.last_used_at)) : "never",
        keyState(key),
        key.revoked_at ? "" : button("Revoke", () => attempt(() => revoke(key, changed)), { className: "plain small danger" }),
      ),
  });
}

function keyState(key) {
  if (key.revoked_at) return pill("Revoked", "quiet");
  if (key.expires_at && new Date(key.expires_at) <= new Date()) return pill("Expired", "quiet");
  return pill(key.expires_at ? `Until ${clock(new Date(key.expires_at))}` : "In force", "pass");
}

async function revoke(key, changed) {
  const text = "Whoever uses it is shut out within a second. It does not come back.";
  if (!(await confirmed(`Revoke the key ${key.id}?`, text, { yes: "Revoke", danger: true }))) return;
  await ask(path("v1", "keys", key.id), { method: "DELETE" });
  await changed();
}

function keyDialog(sites, changed) {
  const role = select(choices(KEY_ROLES), { value: "integrator" });
  const name = input({ maxLength: 200, placeholder: "Turnstile" });
  const where = siteChoice(sites);
  const until = input({ type: "date" });
  const box = dialog("New key", [
    form([field("Role", role), field("What for", name), field("Site", where), field("Good until", until, "Empty: until it is revoked.")], {
      submit: "Make it",
      async send() {
        const json = {
          role: role.value,
          name: name.value,
          sites: where.value ? [where.value] : null,
          ...(until.value && { expires_at: new Date(until.value).toISOString() }),
        };
        const made = await ask("/v1/keys", { method: "POST", json });
        box.close();
        dialog("The key", [make("p", {}, "It is shown this once: copy it now."), copyable(made.key, "Copy the key")], { closed: () => attempt(changed) });
      },
    }),
  ]);
}

/** One's own password, and where one is signed in. */
async function oneself(page) {
  const old = input({ type: "password", autocomplete: "current-password", required: true });
  const fresh = input({ type: "password", autocomplete: "new-password", required: true });
  const password = form([field("Old password", old), field("New password", fresh)], {
    submit: "Change it",
    async send(element) {
      await ask("/v1/session/password", { method: "PUT", json: { old: old.value, new: fresh.value } });
      element.reset();
      return "It is changed. Everywhere else you are signed out.";
    },
  });
  const list = make("ul", { className: "rows" });
  async function show() {
    const { items } = await ask("/v1/sign-ins", page);
    list.replaceChildren(...items.map((one) => signInRow(one, show)));
  }
  await show();
  return card("You", null, make("h3", {}, "Your password"), password, make("h3", {}, "Where you are signed in"), list);
}

function signInRow(one, changed) {
  const end = async () => {
    await ask(path("v1", "sign-ins", one.id), { method: "DELETE" });
    toast("Signed out there.");
    await changed();
  };
  return make(
    "li",
    { className: "sign-in" },
    make("div", {}, make("div", {}, one.agent || "A browser"), make("div", { className: "note" }, `${one.address}, last used ${clock(new Date(one.used_at))}`)),
    one.current ? pill("This one", "quiet") : button("Sign out", () => attempt(end), { className: "plain small" }),
  );
}
