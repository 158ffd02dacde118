// Building elements. There is no way here to turn a string into markup.

/** An element with properties, and children that are nodes or texts. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else made.setAttribute(key, String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export function button(label, onclick, kind = "", properties = {}) {
  return element("button", { type: "button", class: `button ${kind}`.trim(), onclick, ...properties }, label);
}

export const byId = (id) => document.getElementById(id);

/** Replaces children only where they differ in what they show, so that focus and selection stay. */
export function show(parent, key, make) {
  if (parent.dataset.shows === key) return;
  parent.dataset.shows = key;
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  parent.replaceChildren(...make());
  if (focused) parent.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
}

const HUES = 8;

/** A circle with somebody's initials. */
export function face(person) {
  const name = nameOf(person);
  const initials = name.split(/\s+/).slice(0, 2).map((word) => [...word][0] ?? "").join("").toUpperCase();
  let hash = 0;
  for (const char of person.id) hash = (hash * 31 + char.codePointAt(0)) % 9973;
  return element("span", { class: `face hue-${hash % HUES}`, "aria-hidden": "true" }, initials || "?");
}

/** What would turn the page's own words around a name. */
const TURNS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

export const nameOf = (person) => (person?.name || person?.id || "Somebody").replace(TURNS, "");
