// One case of the bench on the TypeScript SDK: `node cases.mjs CASE PARAMETERS`.
// It prints {"mark": true} when a turn has come to its mark, and {"result": …} at its end.
import { InMemorySessionPersistDriver, SandboxAgent } from "sandbox-agent";
import { SqliteDriver } from "./sqlite.mjs";

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const text = (words) => [{ type: "text", text: words }];

function spoken(event) {
  const update = event.payload.params?.update;
  return update?.sessionUpdate === "agent_message_chunk" ? update.content.text : undefined;
}

/** The SDK's own store, without the cap that would throw the turns' first events away. */
class Store extends InMemorySessionPersistDriver {
  said = [];

  constructor(mark) {
    super({ maxEventsPerSession: Number.MAX_SAFE_INTEGER });
    this.mark = mark;
  }

  async insertEvent(sessionId, event) {
    await super.insertEvent(sessionId, event);
    const words = spoken(event);
    if (words !== undefined && this.said.push(words) === this.mark) print({ mark: true });
  }
}

/** Prompts, and waits until the turn is stored: the SDK's prompt returns before it is. */
async function prompted(session, store, words) {
  const start = store.said.length;
  await session.prompt(text(`${words}; say done`));
  while (store.said.indexOf("done", start) < 0) await new Promise((resolve) => setTimeout(resolve, 5));
  return store.said.slice(start).join("");
}

/** How a prompt ended, within a bound. */
async function ended(prompt, seconds) {
  let timer;
  const never = new Promise((resolve) => {
    timer = setTimeout(() => resolve("never"), seconds * 1000);
  });
  const end = prompt.then(
    (response) => ({ returned: response.stopReason }),
    (error) => ({ failed: error.message }),
  );
  return Promise.race([end, never]).finally(() => clearTimeout(timer));
}

function block(milliseconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.floor(sorted.length / 2)]) / 2;
}

async function timed(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

const cases = {
  async turn({ url, agent, prompt, next, mark, listener_ms, bound }) {
    const store = new Store(mark);
    const sdk = await SandboxAgent.connect({ baseUrl: url, persist: store });
    const session = await sdk.createSession({ agent, cwd: "/tmp" });
    if (listener_ms) session.onEvent(() => block(listener_ms));
    const ending = await ended(session.prompt(text(prompt)), bound);
    const stored = store.said.length;
    const then = next && (await ended(session.prompt(text(next)), bound));
    return { ending, stored, missing: 0, next: then, unhandled };
  },

  async reopened({ url, agent, mode, model, before, after }) {
    const store = new Store();
    const first = await SandboxAgent.connect({ baseUrl: url, persist: store });
    const session = await first.createSession({ id: "one", agent, cwd: "/tmp", mode, model });
    for (const prompt of before) await prompted(session, store, prompt);
    await first.dispose();
    const second = await SandboxAgent.connect({ baseUrl: url, persist: store });
    const resumed = await second.resumeSession("one");
    return { said: await prompted(resumed, store, after) };
  },

  async resume({ url, file, session }) {
    const sdk = await SandboxAgent.connect({ baseUrl: url, persist: new SqliteDriver(file) });
    return { seconds: await timed(async () => (await sdk.resumeSession(session)).prompt(text("say hello"))) };
  },

  async inserts({ file, count }) {
    const driver = new SqliteDriver(file);
    const payload = { jsonrpc: "2.0", method: "session/update", params: { text: "x".repeat(100) } };
    const event = { sessionId: "s", createdAt: Date.now(), connectionId: "c", sender: "agent", payload };
    const seconds = await timed(async () => {
      for (let index = 1; index <= count; index += 1) {
        await driver.insertEvent("s", { ...event, id: `c:${index}`, eventIndex: index });
      }
    });
    return { rate: count / seconds };
  },

  async pages({ file, session, events, page, runs }) {
    const driver = new SqliteDriver(file);
    const read = async (offset) => {
      const seconds = [];
      for (let run = 0; run < runs; run += 1) {
        const request = { sessionId: session, cursor: String(offset), limit: page };
        seconds.push(await timed(() => driver.listEvents(request)));
      }
      return median(seconds);
    };
    return { first: await read(0), last: await read(events - page) };
  },

  async turns({ url, agent, count }) {
    const sdk = await SandboxAgent.connect({ baseUrl: url, persist: new Store() });
    const session = await sdk.createSession({ agent, cwd: "/tmp" });
    const seconds = [];
    for (let turn = 0; turn < count; turn += 1) {
      seconds.push(await timed(() => session.prompt(text("say hello"))));
    }
    return { median: median(seconds) };
  },
};

// Without this, a promise of the SDK's that nobody can await would end the process.
let unhandled = 0;
process.on("unhandledRejection", () => (unhandled += 1));

const [name, parameters] = process.argv.slice(2);
print({ result: await cases[name](JSON.parse(parameters)) });
// What never returned still waits.
process.exit(0);
