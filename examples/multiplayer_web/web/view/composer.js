// The message box: what it offers depends on who drives.

import { drives, may, running } from "../workspace.js";
import { byId, nameOf } from "./dom.js";

export class ComposerView {
  #box = byId("say");
  #send = byId("send");
  #stop = byId("stop");

  /** `say(text)` sends; `stop()` stops the turn. */
  constructor({ say, stop }) {
    const submit = () => {
      const text = this.#box.value.trim();
      if (!text || this.#send.disabled) return;
      this.#box.value = "";
      this.#fit();
      say(text);
    };
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      submit();
    });
    this.#box.addEventListener("keydown", (event) => {
      // Enter also ends what an input method composes.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      submit();
    });
    this.#box.addEventListener("input", () => this.#fit());
    this.#stop.addEventListener("click", stop);
  }

  focus() {
    this.#box.focus();
  }

  /** Puts back what could not be sent. */
  restore(text) {
    if (this.#box.value === "") this.#box.value = text;
    this.#fit();
  }

  #fit() {
    this.#box.style.height = "auto";
    this.#box.style.height = `${Math.min(this.#box.scrollHeight, 220)}px`;
  }

  render(workspace) {
    const { control } = workspace;
    const free = control.drivers.length === 0;
    const mine = drives(workspace) || free;
    const watching = !may(workspace, "prompt");
    this.#box.disabled = watching;
    this.#send.disabled = watching;
    this.#box.placeholder = watching ? "You only look on" : mine ? "Message the agent" : `Suggest something to ${control.drivers.map(nameOf).join(" and ")}`;
    this.#send.textContent = mine || watching ? "Send" : "Suggest";
    const turn = running(workspace);
    this.#stop.hidden = !turn || watching || !(drives(workspace) || turn.by === workspace.you.person.id);
  }
}
