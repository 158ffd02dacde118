// The agent's protocol: what each stored message adds to the transcript.

import { notice, put, touch } from "./workspace.js";

const KEY = "sandboxAgent/idempotencyKey";

export function takeEvent(workspace, event, at) {
  const { payload, sender, id } = event;
  const { method, params = {} } = payload;
  if (sender === "client") {
    if (method === "session/prompt") takePrompt(workspace, event, params, at);
    return;
  }
  if (method === "session/update") takeUpdate(workspace, event, params.update ?? {});
  else if (method === "_sandbox_agent/gap") notice(workspace, id, "Some of what the agent said was lost on the way.", true);
  else if (method === "_sandbox_agent/process_ended") notice(workspace, id, "The agent’s process ended.");
  else if (method === "_sandbox_agent/evicted") notice(workspace, id, "Older messages are no longer stored.");
}

/** A prompt stands where the agent got it, which may be long after it was said. */
function takePrompt(workspace, event, params, at) {
  const promptId = params._meta?.[KEY] ?? event.id;
  const chat = workspace.chats.get(promptId);
  const texts = (params.prompt ?? []).filter(({ type }) => type === "text");
  put(workspace, `said:${promptId}`, {
    kind: "said",
    text: chat?.text ?? texts.at(-1)?.text ?? "",
    by: chat ? { id: chat.userId, name: chat.name } : { id: "somebody", name: "Somebody" },
    at: chat?.createdAt ?? at,
  });
  // A plan is of one turn.
  workspace.plan = [];
}

function takeUpdate(workspace, event, update) {
  switch (update.sessionUpdate) {
    case "agent_message_chunk":
      return addText(workspace, event, "agent", update.content);
    case "agent_thought_chunk":
      return addText(workspace, event, "thought", update.content);
    case "tool_call":
    case "tool_call_update":
      return takeTool(workspace, event.sessionId, update);
    case "plan":
      workspace.plan = update.entries ?? [];
  }
}

/** Chunks that follow each other are one message. */
function addText(workspace, event, kind, content) {
  const text = textOf(content);
  const last = workspace.items.at(-1);
  if (last?.kind === kind && last.sessionId === event.sessionId) {
    last.text += text;
    touch(workspace, last);
  } else {
    const agent = workspace.sessions[event.sessionId]?.agent;
    put(workspace, event.id, { kind, sessionId: event.sessionId, agent, text, at: event.createdAt });
  }
}

function textOf(content) {
  switch (content?.type) {
    case "text": return content.text ?? "";
    case "resource_link": return `[${content.name ?? content.uri}](${content.uri})`;
    case "resource": return content.resource?.text ?? `\`${content.resource?.uri ?? "resource"}\``;
    case "image": return "*an image*";
    case "audio": return "*a recording*";
    default: return "";
  }
}

function takeTool(workspace, sessionId, update) {
  const key = `tool:${sessionId}:${update.toolCallId}`;
  const item = put(workspace, key, { kind: "tool", title: "Tool", status: "pending", content: [], locations: [] });
  for (const field of ["title", "status", "content", "locations", "rawInput", "rawOutput"]) {
    if (update[field] !== undefined && update[field] !== null) item[field] = update[field];
  }
  if (update.kind) item.tool = update.kind;
  touch(workspace, item);
}

/** What a tool call shows, as titled texts. */
export function toolParts({ content, locations, rawInput, rawOutput }) {
  const parts = [];
  const add = (title, text) => text && parts.push({ title, text });
  add("Files", locations.map(({ path, line }) => (line ? `${path}:${line}` : path)).join("\n"));
  if (rawInput !== undefined) add("Input", shown(rawInput));
  for (const one of content) {
    if (one.type === "content") add("Result", textOf(one.content));
    else if (one.type === "diff") add(one.path, diff(one));
    else if (one.type === "terminal") add("Terminal", one.terminalId);
  }
  if (rawOutput !== undefined && content.length === 0) add("Output", shown(rawOutput));
  return parts;
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

function diff({ oldText, newText }) {
  const lines = (text, mark) => (text ? text.replace(/\n$/, "").split("\n").map((line) => mark + line) : []);
  return [...lines(oldText, "- "), ...lines(newText, "+ ")].join("\n");
}
