// The page's parts that need no browser: Markdown, and the frames taken together.

import assert from "node:assert/strict";
import { test } from "node:test";

import { parseBlocks, parseInline, safeAddress } from "../web/markdown.js";
import { apply, drives, emptyWorkspace, running, waiting, welcome } from "../web/workspace.js";

const types = (text) => parseBlocks(text).map(({ type }) => type);
const plain = (parts) => parts.map((part) => part.text ?? (part.inline ? plain(part.inline) : "")).join("");

test("blocks are told apart", () => {
  const text = "# Title\n\nText\nmore\n\n- a\n- b\n  - c\n\n1. one\n2. two\n\n> said\n\n```js\nlet a;\n\n- no list\n```\n\n---\n\n| a | b |\n|---|---|\n| 1 | 2 |\n";
  assert.deepEqual(types(text), ["heading", "paragraph", "list", "list", "quote", "code", "rule", "table"]);
  const [, , list, , , code] = parseBlocks(text);
  assert.equal(list.items[1][1].type, "list");
  assert.equal(code.text, "let a;\n\n- no list");
  assert.equal(code.language, "js");
});

test("what is not closed yet is shown as far as it is there", () => {
  assert.deepEqual(types("Look:\n```rust\nfn main() {"), ["paragraph", "code"]);
  assert.equal(plain(parseInline("a **bold")), "a **bold");
  assert.equal(plain(parseInline("`code")), "`code");
});

test("a text that grows has the same blocks as one that is there at once", () => {
  const text = "# A\n\nsome *text*\nand more\n\n- one\n- two\n\n  inside\n\nend\n\n```\ncode\n\ncode\n```\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n> q\n> r\n\nlast";
  for (const step of [1, 2, 3, 7]) {
    let settled = [];
    let from = 0;
    for (let end = step; end < text.length + step; end += step) {
      const blocks = parseBlocks(text.slice(0, end), from);
      if (blocks.length === 0) continue;
      settled = [...settled.filter(({ start }) => start < from), ...blocks];
      from = blocks.at(-1).start;
    }
    assert.deepEqual(settled, parseBlocks(text), `in steps of ${step}`);
  }
});

test("marks within a line", () => {
  const shape = (text) => parseInline(text).map(({ type }) => type);
  assert.deepEqual(shape("a **b** *c* `d` ~~e~~ [f](https://x.y)"), ["text", "strong", "text", "emphasis", "text", "code", "text", "strike", "text", "link"]);
  assert.deepEqual(shape("snake_case_name and 2 * 3 * 4"), ["text"]);
  assert.equal(plain(parseInline("\\*not\\*")), "*not*");
  assert.deepEqual(parseInline("see https://x.y/a_b.").map(({ address }) => address), [undefined, "https://x.y/a_b", undefined]);
});

test("nothing in a text is markup, and no address runs anything", () => {
  const nasty = "<img src=x onerror=alert(1)> <script>alert(1)</script>";
  assert.deepEqual(parseInline(nasty), [{ type: "text", text: nasty }]);
  for (const address of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "/relative", "//host", "\u0001javascript:alert(1)"]) {
    assert.equal(safeAddress(address), null, address);
    assert.ok(parseInline(`[x](${address})`).every(({ type }) => type === "text"), address);
  }
});

test("texts that are made to be slow are not", () => {
  for (const text of ["*".repeat(20_000), "[".repeat(20_000), "**a".repeat(8_000), "`a".repeat(10_000), "> ".repeat(5_000), "_a ".repeat(9_000), "|".repeat(9_000), "- ".repeat(5_000)]) {
    const start = performance.now();
    parseBlocks(text);
    const took = performance.now() - start;
    assert.ok(took < 2_000, `${text.slice(0, 6)}… took ${took} ms`);
  }
});

const person = (id) => ({ id, name: id, program: false });
const snapshot = (sequence, more = {}) => ({
  workspace: "w", sequence, sessions: { s: { agent: "mock", state: "idle", lastIndex: 9 } },
  permissions: [], prompts: [], recent: [], here: [person("ada")], control: { term: 0, drivers: [], requests: [] }, ...more,
});
const entered = (after, now = snapshot(after)) => {
  const workspace = emptyWorkspace();
  welcome(workspace, { snapshot: now, you: { person: person("ada"), rights: ["see", "prompt"] }, after }, true);
  return workspace;
};
const event = (sequence, payload, sender = "agent") => ({
  sequence, at: 1, type: "session.event", data: { id: `e${sequence}`, eventIndex: sequence, sessionId: "s", sender, createdAt: 1, payload },
});
const update = (sequence, update) => event(sequence, { method: "session/update", params: { update } });
const chunk = (sequence, text) => update(sequence, { sessionUpdate: "agent_message_chunk", content: { type: "text", text } });
const chat = (sequence, promptId, text, proposed = false) => ({
  sequence, at: 1, type: "chat.user", data: { sessionId: "s", promptId, userId: "ada", name: "Ada", text, proposed, createdAt: 1 },
});
const got = (sequence, promptId) => event(sequence, {
  method: "session/prompt", params: { prompt: [{ type: "text", text: "as sent" }], _meta: { "sandboxAgent/idempotencyKey": promptId } },
}, "client");
const state = (sequence, promptId, phase, more = {}) => ({
  sequence, at: 1, type: "state", data: { sessionId: "s", agent: "mock", state: "running", prompt: { promptId, sessionId: "s", by: "ada", phase, sequence: 1, ...more } },
});

test("a turn becomes a transcript, and comes but once", () => {
  const frames = [
    chat(1, "p", "Hello"), got(2, "p"), chunk(3, "Hi "), state(4, "p", "running"), chunk(5, "there"),
    update(6, { sessionUpdate: "tool_call", toolCallId: "t", title: "Read", status: "in_progress" }),
    update(7, { sessionUpdate: "tool_call_update", toolCallId: "t", status: "completed" }),
    chunk(8, "Done"), state(9, "p", "done", { stopReason: "end_turn" }),
  ];
  const workspace = entered(0);
  for (const frame of frames) {
    apply(workspace, frame);
    apply(workspace, frame);
    if (frame.sequence === 5) assert.equal(running(workspace).promptId, "p");
  }
  assert.deepEqual(workspace.items.map(({ kind, text, status }) => [kind, text ?? status]),
    [["said", "Hello"], ["agent", "Hi there"], ["tool", "completed"], ["agent", "Done"]]);
  assert.equal(running(workspace), undefined);
  assert.equal(workspace.missing, 0);
});

test("a message that waits is in the queue until the agent has it", () => {
  const workspace = entered(0);
  for (const frame of [chat(1, "a", "first"), got(2, "a"), chunk(3, "one "), chat(4, "b", "second"), chat(5, "c", "idea", true), chunk(6, "two")]) apply(workspace, frame);
  assert.deepEqual(waiting(workspace).map(({ chat, phase }) => [chat.text, phase]), [["second", "queued"], ["idea", "proposed"]]);
  assert.equal(workspace.items.at(-1).text, "one two", "what waits does not part what is said");
  apply(workspace, got(7, "b"));
  assert.deepEqual(waiting(workspace).map(({ promptId }) => promptId), ["c"]);
  apply(workspace, state(8, "c", "withdrawn"));
  assert.deepEqual(waiting(workspace), []);
});

test("the past changes nothing of what is true now", () => {
  const now = snapshot(10, { here: [person("ada"), person("bob")], control: { term: 3, drivers: [person("ada")], requests: [] } });
  const workspace = entered(10, now);
  const resumed = emptyWorkspace();
  welcome(resumed, { snapshot: now, you: workspace.you, after: 4 }, true);
  apply(resumed, { sequence: 5, type: "control", at: 1, data: { term: 1, drivers: [person("eve")], requests: [] } });
  apply(resumed, { sequence: 6, type: "presence", at: 1, data: { here: [] } });
  assert.ok(drives(resumed));
  assert.equal(resumed.here.length, 2);
  for (let sequence = 7; sequence <= 10; sequence += 1) apply(resumed, chunk(sequence, "x"));
  apply(resumed, { sequence: 11, type: "control", at: 1, data: { term: 4, drivers: [], requests: [] } });
  assert.ok(!drives(resumed));
});

test("who comes back goes on: a welcome keeps the transcript", () => {
  const workspace = entered(0);
  for (const frame of [chat(1, "p", "Hello"), got(2, "p"), chunk(3, "a")]) apply(workspace, frame);
  welcome(workspace, { snapshot: snapshot(5), you: workspace.you, after: 3 }, false);
  for (const frame of [chunk(4, "b"), chunk(5, "c")]) apply(workspace, frame);
  assert.equal(workspace.items.at(-1).text, "abc");
  apply(workspace, chunk(9, "d"));
  assert.equal(workspace.missing, 3, "a hole is noticed");
});

test("a permission is in the transcript once, whenever it was asked", () => {
  const asked = { sessionId: "s", permissionId: "1", eventIndex: 1, toolCall: { title: "Run" }, options: [] };
  const workspace = entered(2, snapshot(4, { permissions: [asked] }));
  apply(workspace, { sequence: 3, at: 1, type: "permission.requested", data: asked });
  apply(workspace, chunk(4, "x"));
  assert.equal(workspace.items.filter(({ kind }) => kind === "permission").length, 1);
  const before = entered(4, snapshot(4, { permissions: [asked] }));
  assert.equal(before.items.length, 1, "one from before the first frame is shown too");
  apply(before, { sequence: 5, at: 1, type: "permission.resolved", data: { sessionId: "s", permissionId: "1", optionId: "yes", by: "ada" } });
  assert.ok(before.items[0].resolved);
  assert.equal(before.permissions.length, 0);
});

test("a permission stands behind what was said before it", () => {
  const asked = { sessionId: "s", permissionId: "1", eventIndex: 4, toolCall: { title: "Run" }, options: [] };
  const workspace = entered(0);
  apply(workspace, { sequence: 1, at: 1, type: "permission.requested", data: asked });
  const late = (sequence, eventIndex, text) => ({ ...chunk(sequence, text), data: { ...chunk(sequence, text).data, eventIndex } });
  apply(workspace, late(2, 3, "before"));
  apply(workspace, { ...event(3, { method: "session/request_permission" }), data: { ...event(3, {}).data, eventIndex: 4 } });
  apply(workspace, late(4, 5, "after"));
  assert.deepEqual(workspace.items.map(({ kind, text }) => text ?? kind), ["before", "permission", "after"]);
});

test("what processes write is kept in characters, to a bound", () => {
  const workspace = entered(0);
  const output = (sequence, bytes) => apply(workspace, {
    sequence, at: 1, type: "process.output", data: { processId: "p", stream: "stdout", data: Buffer.from(bytes).toString("base64"), sequences: [1, 1] },
  });
  const euro = Buffer.from("€");
  output(1, euro.subarray(0, 1));
  output(2, euro.subarray(1));
  assert.equal(workspace.outputs.get("p").text, "€");
  apply(workspace, { sequence: 3, at: 1, type: "process.state", data: { processId: "p", command: ["make", "test"], running: true } });
  assert.ok(workspace.processes.p.running);
  apply(workspace, { sequence: 4, at: 1, type: "process.output", data: { processId: "p", data: "", lost: true, sequences: [2, 9] } });
  output(5, "\u001b[31mred\u001b[0m");
  assert.equal(workspace.outputs.get("p").text, "€\n… output was lost …\nred");
  output(6, "x".repeat(200_000));
  assert.equal(workspace.outputs.get("p").text.length, 64 * 1024);
});
