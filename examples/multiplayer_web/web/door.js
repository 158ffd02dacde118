// Coming in: a name, and who this tab is.

import { byId } from "./view/dom.js";

/** A secret of this tab alone: whoever comes with it is the same person, after a reload too. */
function secret() {
  let known = sessionStorage.getItem("secret");
  if (!known) {
    known = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem("secret", known);
  }
  return known;
}

/**
 * The key of an invitation is behind the `#` of its link, which browsers send to nobody. It is kept for
 * this tab, and taken out of the address.
 */
function invitation() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (key) {
    sessionStorage.setItem("key", key);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("key");
}

/** Shows the door until somebody comes in; gives what to say at the hello. */
export function open(about, problem = "") {
  const key = invitation();
  const name = byId("door-name");
  name.value = sessionStorage.getItem("name") ?? localStorage.getItem("name") ?? "";
  byId("door-about").textContent = about;
  byId("door-error").textContent = problem;
  byId("door-error").hidden = !problem;
  byId("door").hidden = false;
  name.focus();
  return new Promise((resolve) => {
    byId("door-form").onsubmit = (event) => {
      event.preventDefault();
      const own = name.value.trim();
      if (!own) return;
      const watch = byId("door-watch").checked;
      sessionStorage.setItem("name", own);
      sessionStorage.setItem("watch", watch);
      localStorage.setItem("name", own);
      byId("door").hidden = true;
      resolve(credentials(own, watch, key));
    };
  });
}

/** What this tab came in with before it was loaded anew. */
export function remembered() {
  const key = invitation();
  const name = sessionStorage.getItem("name");
  return name && credentials(name, sessionStorage.getItem("watch") === "true", key);
}

const credentials = (name, watch, key) => ({ token: secret(), params: { name, watch, ...(key ? { key } : {}) } });
