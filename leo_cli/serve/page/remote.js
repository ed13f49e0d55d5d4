/* A session on the server of the page. When the connection is lost it is opened again; the state is kept by the server. */
class RemoteSession {
  constructor(handler) {
    this.handler = handler;
    this.delay = 250;
    this.connect();
  }

  connect() {
    const address = new URL("session", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = location.search;  // the token
    this.socket = new WebSocket(address);
    this.socket.onopen = () => { this.delay = 250; this.handler({ kind: "status", connected: true }); };
    this.socket.onmessage = (event) => this.handler(JSON.parse(event.data));
    this.socket.onclose = (event) => this.retry(event.reason);
  }

  retry(reason) {
    this.handler({ kind: "status", connected: false, reason });
    this.delay = Math.min(2 * this.delay, 5000);
    setTimeout(() => this.connect(), this.delay);
  }

  /* Send a command; return whether there was a connection. */
  send(command, argument = null) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify({ [command]: argument }));
    return true;
  }
}
