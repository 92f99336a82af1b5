// How people look in lists, and what is said of them.

import { make } from "./dom.js";
import { day } from "./moments.js";
import { pill } from "./parts.js";

/** Initials in place of a photo. */
export const avatar = ({ name }) => make("span", { className: "face", ariaHidden: "true" }, initials(name));

function initials(name) {
  const words = name.split(/\s+/).filter(Boolean);
  const chosen = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return chosen.map((word) => [...word][0].toUpperCase()).join("");
}

export const photosOf = ({ photos }) => (photos === 1 ? "1 photo" : `${photos} photos`);

/** Why somebody is not recognised, or not welcome, as pills. `galleries` are all there are. */
export function standing(person, galleries = [], now = new Date()) {
  const found = [];
  const date = (value) => (value ? new Date(value) : null);
  const [from, until, consent] = [person.valid_from, person.valid_until, person.consent_until].map(date);
  if (!person.photos) found.push(pill("No photo yet", "other"));
  if (from > now) found.push(pill(`Valid from ${day(from)}`, "other"));
  if (until && until <= now) found.push(pill("Not valid any more", "reject"));
  if (consent && consent <= now) found.push(pill("Consent has ended", "reject"));
  const kinds = new Set(galleries.filter(({ id }) => person.galleries.includes(id)).map(({ kind }) => kind));
  if (kinds.has("deny")) found.push(pill("Denied", "alarm"));
  else if (kinds.has("watch")) found.push(pill("Watched", "reject"));
  return found;
}
