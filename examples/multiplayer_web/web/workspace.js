// What the page knows: every frame taken together, in order. No DOM and no network, so that it runs anywhere.
//
// What is true now (who is here, who drives, what waits) comes from the welcome's snapshot and from the
// frames behind it. The transcript is made of all frames that were seen, those before the snapshot included.

import { takeEvent } from "./envelopes.js";

/** How much of a process's output is kept, in characters. */
const OUTPUT_MOST = 64 * 1024;

export function emptyWorkspace() {
  return {
    /** The last frame taken in; `first` is the one after which the transcript begins. */
    sequence: 0,
    first: 0,
    /** Frames up to here say nothing new of what is true now. */
    known: 0,
    you: null,
    sessions: {},
    permissions: [],
    prompts: [],
    here: [],
    control: { term: 0, drivers: [], requests: [] },
    processes: {},
    /** The transcript, and its entries by key. */
    items: [],
    byKey: new Map(),
    /** The keys of entries that have changed since the view looked. */
    changed: new Set(),
    /** What was said, by the prompt's id; it enters the transcript when the agent gets it. */
    chats: new Map(),
    /** Requests whose place in the transcript is not reached yet, and how far each session's events are. */
    asked: [],
    reached: new Map(),
    plan: [],
    outputs: new Map(),
    /** How many frames are missing in the middle; the server promises none. */
    missing: 0,
  };
}

/** Takes a welcome in. `fresh` when nothing is to be kept of before. */
export function welcome(workspace, message, fresh) {
  if (fresh) Object.assign(workspace, emptyWorkspace(), { sequence: message.after, first: message.after });
  const { snapshot } = message;
  workspace.you = message.you;
  workspace.known = snapshot.sequence;
  workspace.sessions = snapshot.sessions;
  workspace.permissions = snapshot.permissions;
  workspace.prompts = snapshot.prompts;
  workspace.here = snapshot.here;
  workspace.control = snapshot.control;
  workspace.processes = { ...snapshot.processes };
  if (workspace.sequence >= workspace.known) showWaiting(workspace);
}

/** Takes a frame in; one that was taken already changes nothing. */
export function apply(workspace, frame) {
  if (frame.sequence <= workspace.sequence) return;
  const from = frame.from ?? frame.sequence;
  if (from > workspace.sequence + 1) workspace.missing += from - workspace.sequence - 1;
  workspace.sequence = frame.sequence;
  record(workspace, frame);
  if (frame.sequence > workspace.known) update(workspace, frame);
  if (frame.sequence === workspace.known) showWaiting(workspace);
}

/** What a frame adds to the transcript. */
function record(workspace, frame) {
  const { type, data } = frame;
  switch (type) {
    case "session.event":
      takeEvent(workspace, data, frame.at);
      workspace.reached.set(data.sessionId, data.eventIndex);
      askWhatIsReached(workspace, data.sessionId);
      break;
    case "chat.user":
      workspace.chats.set(data.promptId, data);
      break;
    case "permission.requested":
      workspace.asked.push(data);
      askWhatIsReached(workspace, data.sessionId);
      break;
    case "permission.resolved": {
      const early = workspace.asked.find((asked) => permissionKey(asked) === permissionKey(data));
      if (early) ask(workspace, early);
      const item = workspace.byKey.get(permissionKey(data));
      if (item) touch(workspace, Object.assign(item, { resolved: true, optionId: data.optionId, by: data.by }));
      break;
    }
    case "process.output":
    case "shell.data":
      takeOutput(workspace, data);
      break;
    case "state":
      if (data.prompt) finish(workspace, data.prompt);
      break;
    case "evicted":
      notice(workspace, `evicted:${frame.sequence}`, "Older messages are no longer stored.");
      break;
  }
}

/** What a frame changes in what is true now: as the server's snapshot takes frames in. */
function update(workspace, { type, data, sequence }) {
  switch (type) {
    case "chat.user":
      workspace.prompts.push({
        promptId: data.promptId, sessionId: data.sessionId, by: data.userId,
        phase: data.proposed ? "proposed" : "queued", sequence,
      });
      break;
    case "permission.requested":
      workspace.permissions.push(data);
      break;
    case "permission.resolved":
      workspace.permissions = workspace.permissions.filter((asked) => permissionKey(asked) !== permissionKey(data));
      break;
    case "presence":
      workspace.here = data.here;
      break;
    case "control":
      workspace.control = data;
      break;
    case "process.state":
      workspace.processes[data.processId] = data;
      break;
    case "state": {
      workspace.sessions[data.sessionId] = { ...workspace.sessions[data.sessionId], agent: data.agent, state: data.state };
      const { prompt } = data;
      if (!prompt) break;
      const others = workspace.prompts.filter((known) => known.promptId !== prompt.promptId);
      if (isOver(prompt)) workspace.prompts = others;
      else if (others.length === workspace.prompts.length) workspace.prompts.push(prompt);
      else workspace.prompts = workspace.prompts.map((known) => (known.promptId === prompt.promptId ? prompt : known));
      break;
    }
  }
}

const isOver = ({ phase }) => ["done", "failed", "withdrawn"].includes(phase);
const permissionKey = ({ sessionId, permissionId }) => `permission:${sessionId}:${permissionId}`;

/** A request stands behind what the agent said before it, which may come later than the request. */
function askWhatIsReached(workspace, sessionId) {
  const reached = workspace.reached.get(sessionId) ?? 0;
  for (const asked of workspace.asked.filter((asked) => asked.sessionId === sessionId && asked.eventIndex <= reached)) ask(workspace, asked);
}

function ask(workspace, asked) {
  workspace.asked = workspace.asked.filter((other) => permissionKey(other) !== permissionKey(asked));
  put(workspace, permissionKey(asked), { kind: "permission", asked, resolved: false });
}

/** Requests that were made before the first frame that was seen. */
function showWaiting(workspace) {
  for (const asked of workspace.permissions) {
    const { lastIndex = 0 } = workspace.sessions[asked.sessionId] ?? {};
    if (asked.eventIndex <= lastIndex) ask(workspace, asked);
    else if (!workspace.asked.includes(asked)) workspace.asked.push(asked);
  }
}

/** Notes in the transcript how a turn ended, where that is worth a word. */
function finish(workspace, prompt) {
  if (!isOver(prompt)) return;
  const said = workspace.byKey.get(`said:${prompt.promptId}`);
  if (said) touch(workspace, Object.assign(said, { phase: prompt.phase }));
  const key = `end:${prompt.promptId}`;
  if (prompt.phase === "failed") notice(workspace, key, `The turn failed: ${prompt.error?.message ?? "no reason is known"}`, true);
  else if (prompt.stopReason === "cancelled") notice(workspace, key, "The turn was stopped.");
  else if (prompt.stopReason && prompt.stopReason !== "end_turn") notice(workspace, key, `The turn ended early: ${prompt.stopReason.replaceAll("_", " ")}.`);
}

function takeOutput(workspace, { processId, stream, data, lost }) {
  const output = workspace.outputs.get(processId) ?? { text: "", decoders: {}, version: 0 };
  output.text = (output.text + (lost ? "\n… output was lost …\n" : decoded(output, stream, data))).slice(-OUTPUT_MOST);
  output.version += 1;
  workspace.outputs.set(processId, output);
}

/** A character may come in two pieces, and a terminal's colours are left out. */
function decoded(output, stream, data) {
  const decoder = (output.decoders[stream] ??= new TextDecoder());
  const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
  return decoder.decode(bytes, { stream: true }).replace(/\u001b\[[0-9;?]*[A-Za-z]|\r(?=\n)/g, "");
}

/** Puts an entry at the end of the transcript, once for each key. */
export function put(workspace, key, entry) {
  const known = workspace.byKey.get(key);
  if (known) return known;
  const item = { key, ...entry };
  workspace.items.push(item);
  workspace.byKey.set(key, item);
  return touch(workspace, item);
}

export function touch(workspace, item) {
  workspace.changed.add(item.key);
  return item;
}

export function notice(workspace, key, text, bad = false) {
  put(workspace, key, { kind: "notice", text, bad });
}

export const drives = ({ control, you }) => control.drivers.some(({ id }) => id === you?.person.id);
export const asks = ({ control, you }) => control.requests.some(({ id }) => id === you?.person.id);
export const may = ({ you }, right) => you?.rights.includes(right) ?? false;

/** The prompt that the agent works on. */
export const running = ({ prompts }) => prompts.find(({ phase }) => phase === "running");

/** Those that wait, with what they say. */
export function waiting({ prompts, chats, byKey }) {
  return prompts
    .filter(({ phase, promptId }) => (phase === "queued" || phase === "proposed") && !byKey.has(`said:${promptId}`))
    .map((prompt) => ({ ...prompt, chat: chats.get(prompt.promptId) }));
}
