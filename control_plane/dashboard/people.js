// How people look in lists.

import { make } from "./dom.js";

/** Initials in place of a photo. */
export const avatar = ({ name }) => make("span", { className: "face", ariaHidden: "true" }, initials(name));

function initials(name) {
  const words = name.split(/\s+/).filter(Boolean);
  const chosen = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return chosen.map((word) => [...word][0].toUpperCase()).join("");
}
