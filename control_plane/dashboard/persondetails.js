// What is kept of a person beside photos, as a form and as facts.

import { make } from "./dom.js";
import { field, input } from "./forms.js";
import { whole } from "./moments.js";
import { facts } from "./parts.js";

const TIMES = ["valid_from", "valid_until", "consent_given_at", "consent_until"];

/** The fields of a form for a person, filled if there is one. */
export function detailFields(person = null) {
  const at = (name) => input({ name, type: "datetime-local", value: local(person?.[name]) });
  return [
    field("Name", input({ name: "name", required: true, maxLength: 200, value: person?.name ?? "" })),
    field("External id", input({ name: "external_id", maxLength: 200, value: person?.external_id ?? "" }), "A number of your own, such as a badge's. Nobody else may have it."),
    make("div", { className: "pair" }, field("Valid from", at("valid_from")), field("Valid until", at("valid_until"))),
    field("Consent by", input({ name: "consent_basis", maxLength: 64, value: person?.consent_basis ?? "" }), "A code of your own, such as contract."),
    make("div", { className: "pair" }, field("Consent given", at("consent_given_at")), field("Consent until", at("consent_until"))),
  ];
}

/** What the form says, as the API takes it: an empty field is null. */
export function detailsOf(form) {
  const told = Object.fromEntries(["name", "external_id", "consent_basis", ...TIMES].map((name) => [name, form.elements[name].value.trim() || null]));
  for (const name of TIMES) if (told[name]) told[name] = new Date(told[name]).toISOString();
  return told;
}

export function detailFacts(person) {
  const at = (name) => person[name] && whole(new Date(person[name]));
  return facts([
    ["External id", person.external_id],
    ["Valid from", at("valid_from")],
    ["Valid until", at("valid_until")],
    ["Consent by", person.consent_basis ?? "none on record"],
    ["Consent given", at("consent_given_at")],
    ["Consent until", at("consent_until")],
    ["Enrolled", at("created_at")],
    ...Object.entries(person.attributes).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
  ]);
}

/** A moment as a field of date and time takes it. */
function local(text) {
  if (!text) return "";
  const moment = new Date(text);
  return new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
