// A store for the TypeScript SDK in an actor's state, under the key that both SDKs share. A cursor is an
// offset, as in the memory driver that the SDK brings.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const KEY = "_sandboxAgentPersist";

export class StateDriver {
  constructor(state) {
    this.kept = state[KEY] ??= { sessions: {}, events: {} };
  }

  async getSession(id) {
    return copy(this.kept.sessions[id]);
  }

  async listSessions({ cursor, limit } = {}) {
    const inOrder = (a, b) => a.createdAt - b.createdAt || compare(a.id, b.id);
    return page(Object.values(this.kept.sessions).sort(inOrder), cursor, limit);
  }

  async updateSession(session) {
    this.kept.sessions[session.id] = copy(session);
    this.kept.events[session.id] ??= [];
  }

  async listEvents({ sessionId, cursor, limit }) {
    const inOrder = (a, b) => a.eventIndex - b.eventIndex || compare(a.id, b.id);
    return page([...(this.kept.events[sessionId] ?? [])].sort(inOrder), cursor, limit);
  }

  async insertEvent(sessionId, event) {
    (this.kept.events[sessionId] ??= []).push(copy(event));
  }
}

/** The state of an actor that keeps it in a file, and has something of its own in it. */
export class StateFile {
  constructor(file) {
    this.file = file;
    this.state = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { visits: 0 };
    this.state.visits += 1;
  }

  save() {
    writeFileSync(`${this.file}.new`, JSON.stringify(this.state));
    renameSync(`${this.file}.new`, this.file);
  }
}

function compare(a, b) {
  return a < b ? -1 : Number(a > b);
}

function page(items, cursor, limit = 100) {
  const offset = Number(cursor ?? 0);
  const more = items.length > offset + limit;
  return {
    items: items.slice(offset, offset + limit).map(copy),
    nextCursor: more ? String(offset + limit) : undefined,
  };
}

// What JSON holds of it: no member that is undefined.
function copy(value) {
  return value && JSON.parse(JSON.stringify(value));
}
