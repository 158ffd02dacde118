// Says in words what others see happen, for those who don't look: changes, not every chunk.

import { drives, running } from "../workspace.js";
import { byId, nameOf } from "./dom.js";

export class Announcer {
  #before = null;
  #queue = [];
  #timer = null;

  look(workspace) {
    const now = {
      here: new Map(workspace.here.map((person) => [person.id, nameOf(person)])),
      drivers: workspace.control.drivers.map(nameOf).join(" and "),
      drives: drives(workspace),
      asking: workspace.control.requests.map(({ id }) => id).join(),
      running: running(workspace)?.promptId,
      permissions: workspace.permissions.length,
    };
    const before = this.#before;
    this.#before = now;
    if (!before) return;
    for (const [id, name] of now.here) if (!before.here.has(id)) this.say(`${name} came.`);
    for (const [id, name] of before.here) if (!now.here.has(id)) this.say(`${name} left.`);
    if (now.drives !== before.drives) this.say(now.drives ? "You drive now." : now.drivers ? `${now.drivers} drives now.` : "Nobody drives now.");
    else if (now.drivers !== before.drivers) this.say(now.drivers ? `${now.drivers} drives now.` : "Nobody drives now.");
    if (now.drives && now.asking && now.asking !== before.asking) this.say(`${nameOf(workspace.control.requests.at(-1))} asks for control.`);
    if (now.permissions > before.permissions) this.say(`The agent asks for permission: ${workspace.permissions.at(-1).toolCall.title ?? "to use a tool"}.`);
    if (now.running && now.running !== before.running) this.say("The agent works.");
    if (before.running && !now.running) {
      const last = workspace.items.findLast(({ kind }) => kind === "agent");
      this.say(`The agent is done. ${(last?.text ?? "").slice(0, 300)}`);
    }
  }

  /** One after the other, so that none is lost. */
  say(text) {
    this.#queue.push(text);
    this.#timer ??= setInterval(() => {
      const next = this.#queue.shift();
      if (next === undefined) {
        clearInterval(this.#timer);
        this.#timer = null;
      } else {
        byId("announce").textContent = next;
      }
    }, 400);
  }
}
