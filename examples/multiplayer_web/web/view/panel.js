// What is beside the conversation: the plan and what processes write.

import { byId, element, show } from "./dom.js";

const MARK = { pending: "○", in_progress: "◐", completed: "●" };
const WORD = { pending: "to do", in_progress: "in progress", completed: "done" };

export function renderPanel({ plan, outputs }) {
  byId("plan-box").hidden = plan.length === 0;
  show(byId("plan"), JSON.stringify(plan), () => plan.map(({ content, status }) =>
    element("li", { class: `step ${status}` },
      element("span", { class: "mark", "aria-hidden": "true" }, MARK[status] ?? "○"),
      element("span", {}, content, element("span", { class: "unseen" }, ` (${WORD[status] ?? status})`)))));

  byId("output-box").hidden = outputs.size === 0;
  const box = byId("output");
  for (const output of outputs.values()) {
    let pre = [...box.querySelectorAll("pre")].find((pre) => pre.dataset.process === output.processId);
    if (!pre) {
      pre = element("pre", { class: "output", tabindex: "0", "aria-label": `Output of process ${output.processId}`, "data-process": output.processId });
      box.append(element("h3", {}, output.pid ? `${output.processId} (${output.pid})` : output.processId), pre);
    }
    if (pre.dataset.version === String(output.version)) continue;
    const end = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 24;
    pre.dataset.version = output.version;
    pre.textContent = output.text;
    if (end) pre.scrollTop = pre.scrollHeight;
  }
}
