// The API's documentation, from the document that the control plane serves: what stands here is what runs.

import { ask } from "../api.js";
import { make } from "../dom.js";
import { field, input } from "../forms.js";
import { card, empty, pageHead, pill, scroll } from "../parts.js";

const WORDS = { string: "text", integer: "whole number", number: "number", boolean: "true or false", null: "null", object: "object" };

export default async function (root, page) {
  const found = await ask("/openapi.json", page);
  const search = input({ type: "search", placeholder: "identities" });
  const list = make("div", {});
  root.append(
    pageHead("The API", found.info.description.replaceAll("`", ""), make("a", { className: "button plain", href: "/openapi.json" }, "openapi.json")),
    make("div", { className: "filters" }, field("Search", search)),
    list,
  );
  const groups = grouped(found);

  function show() {
    const words = search.value.trim().toLowerCase();
    const fitting = [...groups].map(([name, routes]) => [name, routes.filter((route) => !words || route.text.includes(words))]);
    const shown = fitting.filter(([, routes]) => routes.length);
    list.replaceChildren(...shown.map(([name, routes]) => card(name, null, ...routes.map((route) => part(route, found)))));
    if (!shown.length) list.append(empty("Nothing of that name"));
  }

  search.addEventListener("input", show);
  show();
}

/** The operations by what they are about. */
function grouped(found) {
  const groups = new Map();
  for (const [path, operations] of Object.entries(found.paths)) {
    const [first, second] = path.split("/").filter(Boolean);
    const name = first === "v1" ? second : "The single-box service's endpoints, health and this document";
    for (const [method, operation] of Object.entries(operations)) {
      const text = `${method} ${path} ${operation.summary ?? ""}`.toLowerCase();
      groups.set(name, [...(groups.get(name) ?? []), { method: method.toUpperCase(), path, operation, text }]);
    }
  }
  return new Map([...groups].sort(([a], [b]) => a.localeCompare(b)));
}

function part({ method, path, operation }, found) {
  const details = make(
    "details",
    { className: "operation" },
    make("summary", {}, make("span", { className: "method" }, method), " ", make("code", {}, path), " ", pill(operation["x-rollcall-needs"], "quiet")),
  );
  details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(told(operation, found)));
  return make("div", {}, details, make("p", { className: "note" }, (operation.summary ?? "").split("\n\n")[0]));
}

function told(operation, found) {
  const rest = (operation.summary ?? "").split("\n\n").slice(1).map((text) => make("p", {}, text));
  const query = operation.parameters.filter((parameter) => parameter.in === "query");
  const body = Object.entries(operation.requestBody?.content ?? {});
  return make(
    "div",
    { className: "operation-body" },
    ...rest,
    query.length ? fields("Parameters", query.map(({ name, schema }) => [name, kind(schema)])) : null,
    ...body.map(([type, { schema }]) => value(`Takes ${type}`, schema, found)),
    ...Object.entries(operation.responses)
      .filter(([status]) => status !== "default")
      .flatMap(([status, { content }]) => {
        const answers = Object.entries(content ?? {});
        return answers.length ? answers.map(([type, { schema }]) => value(`${status}: ${type}`, schema, found)) : [make("h3", {}, `${status}: nothing`)];
      }),
  );
}

/** A value: its fields, if it has any, one level deep. */
function value(title, schema, found) {
  const known = resolved(schema, found);
  const properties = Object.entries(known?.properties ?? {});
  if (!properties.length) return make("div", {}, make("h3", {}, title), make("p", { className: "note" }, kind(schema)));
  return fields(title, properties.map(([name, field]) => [name, kind(field)]), known.description);
}

function resolved(schema, found) {
  const name = schema?.$ref?.split("/").at(-1);
  return name ? found.components.schemas[name] : schema;
}

function fields(title, rows, text = null) {
  const body = rows.map(([name, words]) => make("tr", {}, make("th", { scope: "row" }, make("code", {}, name)), make("td", {}, words)));
  return make(
    "div",
    {},
    make("h3", {}, title),
    text ? make("p", { className: "note" }, text) : null,
    scroll("Details", make("table", {}, make("tbody", {}, ...body))),
  );
}

/** A type in words. */
function kind(schema) {
  if (!schema) return "value";
  if (schema.$ref) return schema.$ref.split("/").at(-1).split(".").at(-1);
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.enum) return schema.enum.join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  if (schema.format === "binary") return "bytes";
  if (schema.format === "date-time") return "moment (RFC 3339)";
  const bounds = [["minimum", "from"], ["maximum", "to"]].filter(([key]) => key in schema).map(([key, word]) => ` ${word} ${schema[key]}`);
  return (WORDS[schema.type] ?? "value") + bounds.join("");
}
