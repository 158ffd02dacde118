// Who is here, who drives, and what can be done about it.

import { asks, drives, may } from "../workspace.js";
import { button, byId, element, face, nameOf, show } from "./dom.js";

/** `act(action, args)` makes a call. */
export class PeopleView {
  #act;

  constructor({ act }) {
    this.#act = act;
  }

  render(workspace) {
    const { here, control, you } = workspace;
    const key = JSON.stringify([here, control, you]);
    show(byId("people"), key, () => this.#rows(workspace));
    show(byId("faces"), key, () => here.slice(0, 5).map((person) => {
      const made = face(person);
      made.classList.toggle("driving", control.drivers.some(({ id }) => id === person.id));
      return made;
    }));
    show(byId("control"), key, () => this.#control(workspace));
  }

  #rows(workspace) {
    const { here, control, you } = workspace;
    const away = control.drivers.filter((driver) => !here.some(({ id }) => id === driver.id));
    return [...here, ...away].map((person) => {
      const mine = person.id === you.person.id;
      const driving = control.drivers.some(({ id }) => id === person.id);
      const asking = control.requests.some(({ id }) => id === person.id);
      const words = [mine && "you", person.program && "program", away.includes(person) && "away"].filter(Boolean).join(", ");
      return element("li", {},
        face(person),
        element("span", { class: "person" }, element("span", { class: "person-name" }, nameOf(person)),
          words && element("span", { class: "muted small" }, words)),
        driving && element("span", { class: "pill good" }, "drives"),
        asking && element("span", { class: "pill warn" }, "asks"),
        drives(workspace) && !mine && !asking && button("Hand over", () => this.#give(person), "small",
          { "aria-label": `Hand control to ${nameOf(person)}`, "data-focus": `give:${person.id}` }));
    });
  }

  /** One line above the message box: who drives, and what one can do. */
  #control(workspace) {
    const { control, here } = workspace;
    const line = (text, ...buttons) => [element("p", {}, text), element("div", { class: "row" }, ...buttons)];
    const ask = (label) => may(workspace, "control") && button(label, () => this.#act("requestControl"), "small", { "data-focus": "ask" });
    const others = control.drivers.map(nameOf).join(" and ");
    if (drives(workspace)) {
      const [asking] = control.requests;
      const release = button("Release", () => this.#act("releaseControl", { term: control.term }), "small", { "data-focus": "release" });
      if (!asking) return line("You drive.", release);
      return line(`${nameOf(asking)} asks for control.`,
        button(`Hand over to ${nameOf(asking)}`, () => this.#give(asking), "small soft", { "data-focus": "hand" }), release);
    }
    if (control.drivers.length === 0) return line("Nobody drives. Whoever writes first does.", ask("Take control"));
    const present = control.drivers.some((driver) => here.some(({ id }) => id === driver.id));
    const take = !present && may(workspace, "take") && button("Take control", () => this.#act("takeControl"), "small", { "data-focus": "take" });
    if (asks(workspace)) {
      return line(`You asked ${others} for control.`, take, button("Never mind", () => this.#act("releaseControl"), "small", { "data-focus": "withdraw" }));
    }
    return line(present ? `${others} drives.` : `${others} drives, and is away.`, take, ask("Ask for control"));
  }

  #give(person) {
    this.#act("giveControl", { to: person.id });
  }
}
