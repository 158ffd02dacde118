// Sessions of the TypeScript SDK: `node sessions.mjs COMMAND PARAMETERS`. It prints one line of JSON.
//
// `make` writes some sessions into a new store; `grow` takes up each one of a store that others may have
// written to, and tells what it found there.
// The store is the SQLite database or, with a name in .json, the state blob at `file`.
import { SandboxAgent } from "sandbox-agent";
import { SqliteDriver } from "./sqlite.mjs";
import { StateDriver, StateFile } from "./state.mjs";

/** The store at `file`, and how it is closed. */
function open(file) {
  if (file.endsWith(".json")) {
    const stateFile = new StateFile(file);
    return { driver: new StateDriver(stateFile.state), close: () => stateFile.save() };
  }
  const driver = new SqliteDriver(file);
  return { driver, close: () => driver.close() };
}

/** Tells what was stored of the sessions. */
function watched(driver) {
  const stored = [];
  let tell = () => {};
  const insertEvent = driver.insertEvent.bind(driver);
  driver.insertEvent = async (sessionId, event) => {
    await insertEvent(sessionId, event);
    stored.push(event);
    tell();
  };
  const until = (found) =>
    new Promise((resolve) => {
      tell = () => found(stored) && resolve();
      tell();
    });
  return { stored, until };
}

function spoken(event) {
  const update = event.payload.params?.update;
  return update?.sessionUpdate === "agent_message_chunk" ? update.content.text : undefined;
}

/** Prompts, and waits until the turn is stored: the SDK's prompt returns before it is. */
async function prompted(session, { stored, until }, words) {
  const start = stored.length;
  await session.prompt([{ type: "text", text: `${words}; say over` }]);
  const isAnswer = (event) => event.sender === "agent" && event.payload.result?.stopReason !== undefined;
  await until(() => {
    const turn = stored.slice(start);
    return turn.some((event) => spoken(event) === "over") && turn.some(isAnswer);
  });
  return stored.slice(start).map(spoken).join("");
}

/** All pages of a list. */
async function all(list) {
  const items = [];
  let cursor;
  do {
    const page = await list(cursor);
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return items;
}

const commands = {
  async make({ url, agent, file }) {
    const { driver, close } = open(file);
    const store = watched(driver);
    const sdk = await SandboxAgent.connect({ baseUrl: url, persist: driver });
    const create = (id, options) => sdk.createSession({ id, agent, cwd: "/tmp", ...options });

    const turns = await create("turns");
    for (const prompt of ["say remember the word plum", "tool Read; stream 5", "thought hm; say twice; say twice"]) {
      await prompted(turns, store, prompt);
    }
    const unicode = await create("ünï/会話 🚀");
    await prompted(unicode, store, "say Grüße, 世界! 👩‍👩‍👧 \u2028 \"quoted\" \\ e\u0301");
    const mcpServers = [{ name: "none", command: "/bin/false", args: [], env: [{ name: "A", value: "b" }] }];
    const chosen = await create("chosen", { sessionInit: { cwd: "/", mcpServers }, mode: "plan" });
    // Not by `model`: where the store keeps no options, the SDK takes them from the server's own list.
    await chosen.rawSend("session/set_config_option", { configId: "model", value: "large" });
    await prompted(chosen, store, "mode");
    const ended = await create("ended");
    await prompted(ended, store, "say so long");
    await sdk.destroySession(ended.id);

    await sdk.dispose();
    close();
    return { stored: store.stored.length };
  },

  async grow({ url, file, prompt }) {
    const { driver, close } = open(file);
    const store = watched(driver);
    const sdk = await SandboxAgent.connect({ baseUrl: url, persist: driver });
    const grown = [];
    for (const { id } of await all((cursor) => driver.listSessions({ cursor, limit: 2 }))) {
      const events = await all((cursor) => driver.listEvents({ sessionId: id, cursor, limit: 7 }));
      const session = await sdk.resumeSession(id);
      grown.push({ id, events, said: await prompted(session, store, prompt) });
    }
    await sdk.dispose();
    close();
    return grown;
  },
};

const [command, parameters] = process.argv.slice(2);
const answer = `${JSON.stringify(await commands[command](JSON.parse(parameters)))}\n`;
// A pipe takes no more at once than it has room for.
await new Promise((written) => process.stdout.write(answer, written));
// The SDK's connections would keep it.
process.exit(0);
