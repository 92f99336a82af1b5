// Calls of the API. A refusal is raised as a Problem, whose message is for people: what is wrong, and what to do.
//
//   const page = await ask("/v1/identities?limit=60", { signal });
//   const made = await ask("/v1/identities", { method: "POST", json: { name } });
//   const outcome = await ask(path, { method: "POST", body: new FormData(form), wait: 20 });

import { authorized } from "./session.js";

const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

/** What a refusal of the API says, for people. */
export const words = (told) => [told.detail || told.title, told.remedy].filter(Boolean).map(sentence).join(" ");

/** What the API refused: `told` is its answer whole, `code` is for programs. */
export class Problem extends Error {
  constructor(told) {
    super(words(told));
    this.told = told;
    this.code = told.code;
  }
}

const NO_ANSWER = { code: "no_answer", title: "The control plane does not answer", remedy: "Try again in a moment" };
const NO_PROBLEM = { code: "internal", title: "Something went wrong there", remedy: "Try again in a moment" };

/**
 * An answer of the API as a value; null for one without content. `options` are `fetch`'s, and beside them `json`: a
 * value to send, and `wait`: how many seconds the answer may take to be final. Raises Problem; AbortError if aborted.
 */
export async function ask(path, { json, wait, ...options } = {}) {
  const headers = new Headers(options.headers);
  if (json !== undefined) headers.set("Content-Type", "application/json");
  if (wait) headers.set("Prefer", `wait=${wait}`);
  const body = json === undefined ? options.body : JSON.stringify(json);
  let response;
  try {
    response = await authorized(path, { ...options, headers, body });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Problem(NO_ANSWER);
  }
  if (response.status === 204) return null;
  const told = await response.json().catch(() => null);
  if (!response.ok) throw new Problem(told?.title ? told : NO_PROBLEM);
  return told;
}

/** All items of a list, page by page; for lists that are short by their nature (sites, galleries, edges). */
export async function askAll(path, { signal } = {}) {
  const items = [];
  let after = "";
  do {
    const query = new URLSearchParams({ limit: 500, ...(after && { after }) });
    const page = await ask(`${path}${path.includes("?") ? "&" : "?"}${query}`, { signal });
    items.push(...page.items);
    after = page.next;
  } while (after);
  return items;
}

/** A path of the API from its parts, each kept from being read as several. */
export const path = (...parts) => `/${parts.map(encodeURIComponent).join("/")}`;
