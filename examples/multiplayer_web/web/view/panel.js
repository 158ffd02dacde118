// What is beside the conversation: the plan and what processes write.

import { button, byId, element, show } from "./dom.js";

const MARK = { pending: "○", in_progress: "◐", completed: "●" };
const WORD = { pending: "to do", in_progress: "in progress", completed: "done" };

/** `act(action, args)` makes a call. */
export function renderPanel({ plan, processes, outputs, you }, act) {
  byId("plan-box").hidden = plan.length === 0;
  show(byId("plan"), JSON.stringify(plan), () => plan.map(({ content, status }) =>
    element("li", { class: `step ${status}` },
      element("span", { class: "mark", "aria-hidden": "true" }, MARK[status] ?? "○"),
      element("span", {}, content, element("span", { class: "unseen" }, ` (${WORD[status] ?? status})`)))));

  const ids = [...new Set([...Object.keys(processes), ...outputs.keys()])];
  const box = byId("output");
  byId("output-box").hidden = ids.length === 0;
  const mayEnd = you.rights.includes("sandbox");
  show(box, JSON.stringify([ids, processes, mayEnd]), () => ids.map((id) => processElement(id, processes[id], mayEnd, act)));
  for (const pre of box.querySelectorAll("pre")) {
    const output = outputs.get(pre.dataset.process);
    if (!output || pre.dataset.version === String(output.version)) continue;
    const atEnd = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 24;
    pre.dataset.version = output.version;
    pre.textContent = output.text;
    if (atEnd) pre.scrollTop = pre.scrollHeight;
  }
}

function processElement(id, process, mayEnd, act) {
  const name = process?.command.join(" ") || id;
  const state = !process ? null : process.running
    ? element("span", { class: "pill busy" }, "running")
    : element("span", { class: "pill" }, process.exitCode === undefined ? "ended" : `exit ${process.exitCode}`);
  return element("div", { class: "process" },
    element("div", { class: "process-head" }, element("h3", { title: name }, name), state,
      process?.running && mayEnd && button("End", () => act("endProcess", { processId: id, kill: false }), "small", { "aria-label": `End ${name}`, "data-focus": `end:${id}` })),
    element("pre", { class: "output", tabindex: "0", role: "region", "aria-label": `Output of ${name}`, "data-process": id }));
}
