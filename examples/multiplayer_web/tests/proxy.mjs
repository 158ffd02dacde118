// A network between a page and the server that can be cut.

import net from "node:net";

export class Network {
  #server;
  #sockets = new Set();
  #cut = false;

  static async to(port) {
    const network = new Network();
    network.#server = net.createServer((client) => network.#connect(client, port));
    await new Promise((listening) => network.#server.listen(0, "127.0.0.1", listening));
    return network;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/`;
  }

  #connect(client, port) {
    if (this.#cut) {
      client.destroy();
      return;
    }
    const server = net.connect(port, "127.0.0.1");
    for (const [socket, other] of [[client, server], [server, client]]) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }

  /** Ends every connection, and takes none until it is restored. */
  cut() {
    this.#cut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  restore() {
    this.#cut = false;
  }

  close() {
    this.cut();
    this.#server.close();
  }
}
