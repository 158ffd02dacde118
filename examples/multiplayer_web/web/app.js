// Puts the parts together: the door, the connection, what is known, what is shown.

import { Connection } from "./connection.js";
import * as door from "./door.js";
import { Announcer } from "./view/announcer.js";
import { ComposerView } from "./view/composer.js";
import { button, byId, element } from "./view/dom.js";
import { renderPanel } from "./view/panel.js";
import { PeopleView } from "./view/people.js";
import { QueueView } from "./view/queue.js";
import { TranscriptView } from "./view/transcript.js";
import { apply, drives, emptyWorkspace, may, running, welcome } from "./workspace.js";

const CONNECTION = { connecting: "Connecting…", open: "Connected", reconnecting: "Reconnecting…" };
const ACTIVITY = {
  connecting: "Starting", running: "Working", waiting_for_permission: "Needs an answer",
  lost: "Sandbox lost", closed: "Closed",
};

const config = await (await fetch("/config.json")).json();
const workspace = emptyWorkspace();
let connection = null;

const act = (action, args, options) => {
  problem("");
  return connection.call(action, args, options).catch((error) => problem(error.message));
};
const say = (text) => {
  problem("");
  view.transcript.toEnd();
  // The id makes it safe to send again after the connection was lost: the agent gets it once.
  const prompt = { promptId: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, text };
  connection.call("prompt", prompt, { repeat: true }).catch((error) => {
    problem(error.message);
    view.composer.restore(text);
  });
};
const view = {
  transcript: new TranscriptView({
    answer: ({ sessionId, permissionId }, reply) => act("respondPermission", { sessionId, permissionId, reply }),
  }),
  people: new PeopleView({ act }),
  queue: new QueueView({ act }),
  composer: new ComposerView({ say, stop: () => act("cancel") }),
  announcer: new Announcer(),
};

document.title = byId("title").textContent = config.title;
byId("about").textContent = config.about;
byId("banner").textContent = config.banner ?? "";
byId("banner").hidden = !config.banner;
byId("empty").append(
  element("h2", {}, "Nothing was said yet"),
  element("p", { class: "muted" }, "Write to the agent below. Everybody who joins sees the same conversation."),
  element("div", { class: "suggestions", role: "group", "aria-label": "Things to try" },
    ...config.suggestions.map(({ label, text }) => button(label, () => say(text), "suggestion", { title: text }))),
);
if (config.suggestions.length > 0) {
  byId("about").after(element("div", { class: "suggestions stacked", role: "group", "aria-label": "Things to try" },
    element("h2", {}, "Try"), ...config.suggestions.map(({ label, text }) => button(label, () => say(text), "small suggestion", { title: text }))));
}
byId("panel-toggle").addEventListener("click", () => togglePanel(byId("panel-toggle").getAttribute("aria-expanded") !== "true"));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && byId("panel-toggle").getAttribute("aria-expanded") === "true") togglePanel(false);
});

await enter(door.remembered());

async function enter(remembered, refused = "") {
  const own = remembered || (await door.open(config.about, refused));
  byId("room").hidden = false;
  connection = new Connection({
    url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${config.workspace}/ws`,
    credentials: () => own,
    on: {
      welcome(message, fresh) {
        if (fresh) view.transcript.clear();
        welcome(workspace, message, fresh);
        draw();
      },
      frame(frame) {
        apply(workspace, frame);
        draw();
      },
      status(name, detail) {
        if (name === "refused") {
          byId("room").hidden = true;
          enter(null, detail);
          return;
        }
        const pill = byId("connection");
        pill.textContent = CONNECTION[name];
        pill.className = `pill ${name === "open" ? "good" : "warn"}`;
        byId("room").dataset.connection = name;
      },
    },
  });
  connection.start();
  view.composer.focus();
}

let drawing = false;
/** Shows what has changed, once for all frames that come before the next picture. */
function draw() {
  if (drawing) return;
  drawing = true;
  // A page that is not seen gets no pictures, and has to be right when it is.
  (document.hidden ? queueMicrotask : requestAnimationFrame)(() => {
    drawing = false;
    if (!workspace.you) return;
    view.transcript.render(workspace);
    view.people.render(workspace);
    view.queue.render(workspace);
    view.composer.render(workspace);
    renderPanel(workspace, act);
    activity();
    view.announcer.look(workspace);
    for (const one of document.querySelectorAll(".suggestion")) one.disabled = !may(workspace, "prompt");
  });
}

function activity() {
  const [session] = Object.values(workspace.sessions);
  const state = running(workspace) && session?.state === "idle" ? "running" : session?.state;
  const pill = byId("activity");
  pill.textContent = ACTIVITY[state] ?? "Ready";
  pill.className = `pill ${state === "running" ? "busy" : ["waiting_for_permission", "lost"].includes(state) ? "warn" : ""}`;
  document.title = drives(workspace) ? `${config.title} – you drive` : config.title;
}

function problem(text) {
  const box = byId("problem");
  box.textContent = text;
  box.hidden = !text;
}

function togglePanel(open) {
  byId("panel-toggle").setAttribute("aria-expanded", String(open));
  byId("panel").classList.toggle("open", open);
  if (open) byId("panel").querySelector("button")?.focus();
  else byId("panel-toggle").focus();
}
