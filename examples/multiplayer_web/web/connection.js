// The way to the workspace: one WebSocket, made again whenever it breaks, which goes on after the last
// frame that was taken in. It knows frames only by their numbers.

const RETRY_FIRST = 300;
const RETRY_MOST = 10_000;
/** Silence after which the server is asked whether it is there, and after which it counts as gone. */
const ASK_AFTER = 8_000;
const GONE_AFTER = 16_000;
/** How much of the past a page begins with, in frames, and how many times more it gets when it asks. */
const RECENT = 3_000;
const EARLIER = 5;

/** A failed call: `code` to match on, a sentence to read. */
export class CallError extends Error {
  constructor({ code, message, data }) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

const gone = () => new CallError({ code: "disconnected", message: "The connection is gone; try again when it is back." });

export class Connection {
  #url;
  #credentials;
  #on;
  #socket = null;
  #open = false;
  #ended = false;
  #attempt = 0;
  #retry = null;
  #watch = null;
  #heard = 0;
  #nextCall = 1;
  /** Unanswered calls, by number, in their order. */
  #calls = new Map();
  /** The last frame that was handed on; `null` before the first welcome. */
  #last = null;
  /** Which line it is of. */
  #line = null;
  #recent = RECENT;
  /** Frames that wait for a large one before them. */
  #waiting = null;

  /** `on` has `welcome(message, fresh)`, `frame(frame)`, `status(name, detail)`. */
  constructor({ url, credentials, on }) {
    this.#url = url;
    this.#credentials = credentials;
    this.#on = on;
    window.addEventListener("offline", () => this.#lost());
    window.addEventListener("online", () => this.#now());
    document.addEventListener("visibilitychange", () => document.hidden || this.#now());
  }

  start() {
    this.#on.status("connecting");
    this.#connect();
  }

  stop() {
    this.#ended = true;
    this.#drop();
    clearTimeout(this.#retry);
  }

  /** Begins anew, with more of the past. */
  earlier() {
    this.#recent *= EARLIER;
    this.#last = null;
    this.#drop();
    this.#connect();
  }

  /**
   * Makes a call. One that may be `repeated` is sent again when the connection was lost before its answer;
   * any other fails then, because what it did is not known.
   */
  call(action, args = {}, { repeat = false } = {}) {
    if (!this.#open && !repeat) return Promise.reject(gone());
    const id = this.#nextCall++;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { text: JSON.stringify({ id, action, args }), repeat, resolve, reject });
      if (this.#open) this.#socket.send(this.#calls.get(id).text);
    });
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#retry = null;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#heard = Date.now();
    socket.addEventListener("open", () => {
      const from = this.#last === null ? { recent: this.#recent } : { after: this.#last, line: this.#line };
      socket.send(JSON.stringify({ type: "hello", ...this.#credentials(), ...from }));
    });
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket) this.#hear(JSON.parse(event.data));
    });
    socket.addEventListener("close", () => {
      if (socket === this.#socket) this.#lost();
    });
    clearInterval(this.#watch);
    this.#watch = setInterval(() => this.#look(), 1_000);
  }

  #hear(message) {
    this.#heard = Date.now();
    if (message.id !== undefined) this.#answered(message);
    else if (message.sequence !== undefined && message.type !== "pong") this.#take(message);
    else if (message.type === "welcome") this.#welcomed(message);
    else if (message.type === "error") this.#refused(message.error);
  }

  #welcomed(message) {
    const fresh = this.#last === null;
    this.#open = true;
    this.#attempt = 0;
    this.#last = message.after;
    this.#line = message.snapshot.line;
    this.#on.welcome(message, fresh);
    this.#on.status("open");
    for (const { text } of this.#calls.values()) this.#socket.send(text);
  }

  #answered({ id, ok, error }) {
    const call = this.#calls.get(id);
    if (!call) return;
    this.#calls.delete(id);
    if (error) call.reject(new CallError(error));
    else call.resolve(ok);
  }

  #take(frame) {
    if (this.#waiting) {
      this.#waiting.push(frame);
    } else if (frame.type === "large") {
      this.#waiting = [];
      this.#fetch(frame);
    } else {
      this.#hand(frame);
    }
  }

  #hand(frame) {
    if (frame.sequence <= this.#last) return;
    this.#last = frame.sequence;
    this.#on.frame(frame);
  }

  /** Gets what a frame says that was too large to be sent, and then goes on behind it. */
  async #fetch({ sequence, from, data }) {
    const socket = this.#socket;
    let text = "";
    let bytes = 0;
    try {
      while (bytes < data.bytes) {
        const part = await this.call("getFramePart", { sequence, from, offset: bytes });
        if (part.total !== data.bytes) throw new Error("another frame is in its place");
        text += part.text;
        bytes += new TextEncoder().encode(part.text).length;
      }
    } catch {
      // It comes again, as it is by then: nothing behind it was handed on.
      if (socket === this.#socket) this.#lost();
      return;
    }
    if (socket !== this.#socket) return;
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    this.#hand(JSON.parse(text));
    for (const frame of waiting) this.#take(frame);
  }

  #refused(error) {
    if (["future_sequence", "other_line"].includes(error.code)) {
      // Another line than the one that was read: begin anew.
      this.#last = null;
    } else if (["refused", "not_found", "invalid_input"].includes(error.code)) {
      this.stop();
      this.#on.status("refused", error.message);
    }
  }

  /** Looks whether the server is still there: a connection can die without a word. */
  #look() {
    const silent = Date.now() - this.#heard;
    if (silent > GONE_AFTER) this.#lost();
    else if (silent > ASK_AFTER && this.#open) this.#socket.send('{"type":"ping"}');
  }

  #drop() {
    clearInterval(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    this.#open = false;
    this.#waiting = null;
    // What it still does is nobody's business any more.
    socket?.close();
    for (const [id, call] of this.#calls) {
      if (call.repeat) continue;
      this.#calls.delete(id);
      call.reject(gone());
    }
  }

  #lost() {
    if (this.#ended || this.#retry !== null) return;
    this.#drop();
    const longest = Math.min(RETRY_MOST, RETRY_FIRST * 2 ** this.#attempt++);
    this.#on.status("reconnecting");
    this.#retry = setTimeout(() => this.#connect(), longest * (0.5 + Math.random() / 2));
  }

  #now() {
    if (this.#ended || this.#retry === null) return;
    this.#attempt = 0;
    this.#connect();
  }
}
