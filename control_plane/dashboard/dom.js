// Elements from values. Texts are always text, never markup.

/** An element with properties and children; a string child is text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const { dataset, ...rest } = properties;
  Object.assign(element, rest);
  Object.assign(element.dataset, dataset);
  element.append(...children);
  return element;
}

export const byId = (id) => document.getElementById(id);

/** A name as text, kept from turning the text around it. */
export const nameText = (name) => make("bdi", {}, name);

const sentence = (words) => words[0].toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");

/** An answer of the API as a value; raises its own words if it is a refusal. */
export async function ask(path, options = {}) {
  const response = await fetch(path, options);
  const told = await response.json();
  if (!response.ok) {
    throw new Error([told.detail || told.title, told.remedy].filter(Boolean).map(sentence).join(" "));
  }
  return told;
}
