// A store for the TypeScript SDK over the SQLite tables that both SDKs share. A cursor is an offset,
// as in the memory driver that the SDK brings.
import Database from "better-sqlite3";

const TABLES = `
  CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, agent TEXT NOT NULL, agent_session_id TEXT NOT NULL,
    last_connection_id TEXT NOT NULL, created_at INTEGER NOT NULL, destroyed_at INTEGER,
    session_init_json TEXT
  );
  CREATE TABLE IF NOT EXISTS events (
    id TEXT PRIMARY KEY, event_index INTEGER NOT NULL, session_id TEXT NOT NULL,
    created_at INTEGER NOT NULL, connection_id TEXT NOT NULL, sender TEXT NOT NULL,
    payload_json TEXT NOT NULL
  );
  CREATE INDEX IF NOT EXISTS idx_events_session_order ON events (session_id, event_index, id);`;

export class SqliteDriver {
  constructor(file) {
    const database = new Database(file);
    database.pragma("journal_mode = WAL");
    database.pragma("synchronous = FULL");
    database.exec(TABLES);
    this.database = database;
    this.session = database.prepare("SELECT * FROM sessions WHERE id = ?");
    this.sessions = database.prepare("SELECT * FROM sessions ORDER BY created_at, id LIMIT ? OFFSET ?");
    this.update = database.prepare(`
      INSERT INTO sessions (id, agent, agent_session_id, last_connection_id, created_at, destroyed_at, session_init_json)
      VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
        agent = excluded.agent, agent_session_id = excluded.agent_session_id,
        last_connection_id = excluded.last_connection_id, created_at = excluded.created_at,
        destroyed_at = excluded.destroyed_at, session_init_json = excluded.session_init_json`);
    this.events = database.prepare(`
      SELECT * FROM events WHERE session_id = ? ORDER BY event_index, id LIMIT ? OFFSET ?`);
    this.insert = database.prepare(`
      INSERT INTO events (id, event_index, session_id, created_at, connection_id, sender, payload_json)
      VALUES (?, ?, ?, ?, ?, ?, ?)`);
  }

  async getSession(id) {
    const row = this.session.get(id);
    return row && record(row);
  }

  async listSessions({ cursor, limit } = {}) {
    return page(cursor, limit, (...range) => this.sessions.all(...range).map(record));
  }

  async updateSession(session) {
    this.update.run(
      session.id, session.agent, session.agentSessionId, session.lastConnectionId, session.createdAt,
      session.destroyedAt ?? null, session.sessionInit ? JSON.stringify(session.sessionInit) : null,
    );
  }

  async listEvents({ sessionId, cursor, limit }) {
    return page(cursor, limit, (...range) => this.events.all(sessionId, ...range).map(event));
  }

  async insertEvent(sessionId, event) {
    this.insert.run(
      event.id, event.eventIndex, sessionId, event.createdAt, event.connectionId, event.sender,
      JSON.stringify(event.payload),
    );
  }

  close() {
    this.database.close();
  }
}

// One row more than the page has tells whether there is another page.
function page(cursor, limit = 100, read) {
  const offset = Number(cursor ?? 0);
  const rows = read(limit + 1, offset);
  return { items: rows.slice(0, limit), nextCursor: rows.length > limit ? String(offset + limit) : undefined };
}

function record(row) {
  return {
    id: row.id,
    agent: row.agent,
    agentSessionId: row.agent_session_id,
    lastConnectionId: row.last_connection_id,
    createdAt: row.created_at,
    destroyedAt: row.destroyed_at ?? undefined,
    sessionInit: row.session_init_json ? JSON.parse(row.session_init_json) : undefined,
  };
}

function event(row) {
  return {
    id: row.id,
    eventIndex: row.event_index,
    sessionId: row.session_id,
    createdAt: row.created_at,
    connectionId: row.connection_id,
    sender: row.sender,
    payload: JSON.parse(row.payload_json),
  };
}
