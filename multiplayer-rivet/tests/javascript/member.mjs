// Takes part in a workspace as a page would: follows its frames, asks for those that it misses, prompts.
// Prints what it has as one line of JSON.
import { createClient } from "rivetkit/client";

const [engine, key] = process.argv.slice(2);
const client = createClient({ endpoint: engine, namespace: "default", poolName: "default", disableMetadataLookup: true });
const as = (name) => client.workspace.getOrCreate(["team", key], { params: { token: "good", name } });

const frames = new Map();
let last = 0;
let changed = () => {};

function take(list) {
  for (const frame of list) frames.set(frame.sequence, frame);
}

// The frames in order, up to the first that is missing.
function line() {
  const whole = [];
  let next = 1;
  for (const frame of [...frames.values()].sort((a, b) => a.sequence - b.sequence)) {
    if ((frame.from ?? frame.sequence) !== next) break;
    whole.push(frame);
    next = frame.sequence + 1;
  }
  return { whole, next };
}

const ada = as("ada").connect();
ada.on("frames", (text) => {
  const message = JSON.parse(text);
  take(message.frames);
  last = Math.max(last, message.last);
  changed();
});

// Fills holes until a prompt is over.
async function over(promptId) {
  for (;;) {
    const { whole, next } = line();
    if (next <= last) {
      const page = await ada.getSequencedEvents(next - 1, 500);
      take(page.frames);
      last = Math.max(last, page.last);
      continue;
    }
    const prompt = whole.map((frame) => frame.data?.prompt).findLast((prompt) => prompt?.promptId === promptId);
    if (["done", "failed", "withdrawn"].includes(prompt?.phase)) return prompt;
    await new Promise((resolve) => { changed = resolve; });
  }
}

const info = await ada.getSessionInfo();
last = Math.max(last, info.sequence);
const accepted = await ada.prompt({ promptId: "from-javascript", text: "say from JavaScript; stream 300" });
const prompt = await over("from-javascript");

const refusal = async (call) => {
  try {
    await call();
    return null;
  } catch (error) {
    return { group: error.group, code: error.code, message: error.message, metadata: error.metadata };
  }
};
const observer = await refusal(() => as("bob").prompt({ promptId: "no", text: "say no" }));
const stranger = await refusal(() =>
  client.workspace.getOrCreate(["team", key], { params: { token: "bad", name: "eve" } }).getSessionInfo());

await ada.dispose();
// Its log goes the same way, so that this is the last line; and a pipe is written to beside the program.
const said = JSON.stringify({ accepted, prompt, frames: line().whole, observer, stranger });
process.stdout.write(`${said}\n`, () => process.exit(0));
