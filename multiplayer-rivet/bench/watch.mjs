// Clients that watch a workspace until a prompt is over, by the npm package alone: frames come by the event
// `frames`, holes are filled by getSequencedEvents. Prints `ready`, then for each client a line of JSON.
import { createClient } from "rivetkit/client";

const { endpoint, key, prompt, names, after } = JSON.parse(process.argv[2]);
const OVER = ["done", "failed", "withdrawn"];

const client = createClient({ endpoint, namespace: "default", disableMetadataLookup: true });

class Watcher {
  frames = [];
  ahead = new Map();
  fetching = false;

  constructor(name) {
    this.name = name;
    const params = { token: "bench", name };
    this.connection = client.workspace.getOrCreate(key, { params }).connect();
    this.over = new Promise((resolve) => (this.end = resolve));
    this.connection.on("frames", (message) => this.take(JSON.parse(message)));
    // A connection that was cut may have missed the last message before a silence.
    this.connection.onOpen(() => this.fetch());
  }

  async begin() {
    const now = await this.connection.getSessionInfo({});
    this.place = after ?? now.sequence;
    this.take({ last: now.sequence, frames: [] });
  }

  take({ last, frames }) {
    const arrived = performance.timeOrigin + performance.now();
    for (const frame of frames) {
      const known = this.place !== undefined && frame.sequence <= this.place;
      if (!known) this.ahead.set(frame.from ?? frame.sequence, { frame, arrived });
    }
    if (this.place === undefined) return;
    this.last = Math.max(this.last ?? 0, last);
    for (;;) {
      const next = this.ahead.get(this.place + 1);
      if (!next) break;
      this.ahead.delete(this.place + 1);
      this.tell(next);
    }
    if (this.place < this.last) this.fetch();
  }

  tell({ frame, arrived }) {
    const from = frame.from ?? frame.sequence;
    this.place = frame.sequence;
    const update = frame.data?.payload?.params?.update;
    const text = update?.sessionUpdate === "agent_message_chunk" ? update.content.text : "";
    this.frames.push([from, frame.sequence, frame.at, frame.type, text, arrived]);
    const told = frame.type === "state" && frame.data.prompt;
    if (told && told.promptId === prompt && OVER.includes(told.phase)) this.end();
  }

  async fetch() {
    if (this.fetching || this.place === undefined) return;
    this.fetching = true;
    try {
      const page = await this.connection.getSequencedEvents({ since: this.place, limit: 1000 });
      this.fetching = false;
      this.take(page);
    } catch (error) {
      // A call whose connection was cut; the next message, or the next connection, asks again.
      this.fetching = false;
      console.error(`${this.name}: ${error}`);
    }
  }
}

const watchers = names.map((name) => new Watcher(name));
await Promise.all(watchers.map((watcher) => watcher.begin()));
console.log("ready");
await Promise.all(watchers.map((watcher) => watcher.over));
for (const { name, frames } of watchers) {
  // A pipe is written to beside the program, which must not end before.
  await new Promise((done) => process.stdout.write(`${JSON.stringify({ name, frames })}\n`, done));
}
process.exit(0);
