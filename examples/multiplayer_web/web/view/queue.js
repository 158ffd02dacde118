// The messages that wait: for their turn, or for whoever drives.

import { drives, waiting } from "../workspace.js";
import { button, byId, element, nameOf, show } from "./dom.js";

export class QueueView {
  #act;

  constructor({ act }) {
    this.#act = act;
  }

  render(workspace) {
    const box = byId("queue");
    const entries = waiting(workspace);
    box.hidden = entries.length === 0;
    show(box, JSON.stringify([entries, drives(workspace)]), () => [element("ul", {}, ...entries.map((entry) => this.#row(workspace, entry)))]);
  }

  #row(workspace, { promptId, phase, by, chat }) {
    const mine = by === workspace.you.person.id;
    const who = mine ? "You" : nameOf(chat);
    const proposed = phase === "proposed";
    const about = proposed ? `${who} suggest${mine ? "" : "s"}` : `${who}, next`;
    const text = chat?.text ?? "…";
    const back = mine ? "Take back" : "Dismiss";
    return element("li", {},
      element("span", { class: "muted small" }, about),
      element("span", { class: "queue-text", title: text }, text),
      proposed && drives(workspace) && button("Send", () => this.#act("acceptPrompt", { promptId }), "small soft", { "aria-label": `Send ${who}’s suggestion` }),
      (mine || drives(workspace)) && button(back, () => this.#act("withdrawPrompt", { promptId }), "small", { "aria-label": `${back}: ${text.slice(0, 60)}` }));
  }
}
