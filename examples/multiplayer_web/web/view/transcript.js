// The conversation, entry by entry; only what has changed is made again.

import { toolParts } from "../envelopes.js";
import { drives, may, running } from "../workspace.js";
import { button, byId, element, face, nameOf } from "./dom.js";
import { MarkdownView } from "./markdown-view.js";

const STATUS = { pending: "waiting", in_progress: "running", completed: "done", failed: "failed" };

export class TranscriptView {
  #list = byId("transcript");
  #scroller = byId("scroller");
  #newest = byId("newest");
  #nodes = new Map();
  #answer;
  #follow = true;

  /** `answer(permission, optionId)` is called when somebody decides. */
  constructor({ answer }) {
    this.#answer = answer;
    this.#scroller.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
      this.#follow = scrollHeight - scrollTop - clientHeight < 48;
      this.#newest.hidden = this.#follow;
    }, { passive: true });
    this.#newest.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.#follow && this.#scrollToEnd()).observe(this.#scroller);
  }

  /** Goes to the newest entry, and stays with what comes. */
  toEnd() {
    this.#follow = true;
    this.#newest.hidden = true;
    this.#scrollToEnd();
  }

  #scrollToEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  clear() {
    this.#nodes.clear();
    this.#list.replaceChildren();
  }

  render(workspace) {
    // Whether somebody may answer changes with who drives.
    for (const [key, node] of this.#nodes) if (node.rights && node.rights !== rightsKey(workspace)) workspace.changed.add(key);
    if (workspace.changed.size > 0) {
      for (const key of workspace.changed) {
        const item = workspace.byKey.get(key);
        if (item) this.#renderItem(workspace, item);
      }
      workspace.changed.clear();
    }
    const last = workspace.items.at(-1);
    for (const caret of this.#list.querySelectorAll(".writing")) caret.classList.remove("writing");
    if (last?.kind === "agent" && running(workspace)) this.#nodes.get(last.key)?.element.classList.add("writing");
    byId("empty").hidden = workspace.items.length > 0;
    if (this.#follow) this.#scrollToEnd();
  }

  #renderItem(workspace, item) {
    let node = this.#nodes.get(item.key);
    if (!node) {
      node = MAKE[item.kind](item, { workspace, answer: this.#answer });
      this.#nodes.set(item.key, node);
      // Entries only ever come at the end.
      this.#list.append(node.element);
    }
    node.update?.(item, workspace);
  }
}

const time = (at) => element("time", { datetime: new Date(at).toISOString() },
  new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));

const MAKE = {
  said(item) {
    return {
      element: element("article", { class: "entry said", "aria-label": `${nameOf(item.by)} said` },
        face(item.by),
        element("div", { class: "body" },
          element("div", { class: "who" }, element("strong", {}, nameOf(item.by)), time(item.at)),
          element("div", { class: "words" }, item.text))),
    };
  },

  agent(item) {
    const words = element("div", { class: "markdown" });
    const view = new MarkdownView(words);
    const article = element("article", { class: "entry agent", "aria-label": "The agent said" },
      element("span", { class: "face agent-face", "aria-hidden": "true" }, "✳"),
      element("div", { class: "body" },
        element("div", { class: "who" }, element("strong", {}, item.agent || "Agent"), time(item.at)), words));
    return { element: article, update: ({ text }) => view.update(text) };
  },

  thought() {
    const words = element("div", { class: "markdown" });
    const view = new MarkdownView(words);
    const details = element("details", { class: "entry fold" }, element("summary", {}, element("span", { class: "mark", "aria-hidden": "true" }, "…"), "Thought"), words);
    return { element: details, update: ({ text }) => view.update(text) };
  },

  tool() {
    const mark = element("span", { class: "mark", "aria-hidden": "true" });
    const title = element("span", { class: "fold-title" });
    const status = element("span", { class: "muted small" });
    const body = element("div", { class: "tool-body" });
    const details = element("details", { class: "entry fold tool" }, element("summary", {}, mark, title, status), body);
    const update = (item) => {
      const state = STATUS[item.status] ?? "waiting";
      details.dataset.state = state;
      title.textContent = item.title;
      status.textContent = state;
      const parts = toolParts(item);
      body.replaceChildren(...(parts.length > 0 ? parts.flatMap(({ title, text }) =>
        [element("h3", {}, title), element("pre", { tabindex: "0", "aria-label": title }, text)]) : [element("p", { class: "muted small" }, "It gave no details.")]));
    };
    return { element: details, update };
  },

  permission(first, { answer }) {
    const card = element("section", { class: "entry permission", "aria-label": "Permission" });
    const node = { element: card, rights: "" };
    node.update = (item, workspace) => {
      node.rights = item.resolved ? "" : rightsKey(workspace);
      card.classList.toggle("resolved", item.resolved);
      const title = item.asked.toolCall.title ?? "Use a tool";
      if (item.resolved) {
        card.replaceChildren(element("p", {}, element("strong", {}, title), " — ", outcome(item, workspace)));
        return;
      }
      const allowed = mayAnswer(workspace);
      const options = item.asked.options.map((option) => button(option.name, () => answer(item.asked, option.optionId),
        option.kind.startsWith("allow") ? (option.kind === "allow_once" ? "primary" : "") : "danger", { disabled: !allowed }));
      card.replaceChildren(
        element("p", { class: "small muted" }, allowed ? "The agent asks for permission" : "The agent asks whoever drives for permission"),
        element("p", { class: "permission-title" }, title),
        element("div", { class: "row" }, ...options),
      );
    };
    return node;
  },

  notice({ text, bad }) {
    return { element: element("p", { class: bad ? "entry notice bad" : "entry notice" }, text) };
  },
};

const mayAnswer = (workspace) => may(workspace, "answer") && (drives(workspace) || workspace.control.drivers.length === 0);
const rightsKey = (workspace) => (mayAnswer(workspace) ? "yes" : "no");

function outcome({ asked, optionId, by }, { here, you }) {
  const option = asked.options.find((option) => option.optionId === optionId);
  if (!option) return "no longer asked";
  if (by === undefined) return option.name;
  const who = by === you?.person.id ? "you" : nameOf(here.find(({ id }) => id === by) ?? { id: "somebody" });
  return `${option.name}, by ${who}`;
}
