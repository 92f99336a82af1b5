// Elements from values. Texts are always text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with properties and children; a string child is text, null and undefined are left out. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const { dataset, aria, ...rest } = properties;
  Object.assign(element, rest);
  Object.assign(element.dataset, dataset);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** A name as text, kept from turning the text around it. */
export const nameText = (name) => make("bdi", {}, name);

/** A symbol of `icons.svg`; it says nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `/dashboard/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

let ids = 0;

/** An id that no other element bears. */
export const freshId = (stem) => `${stem}-${++ids}`;
