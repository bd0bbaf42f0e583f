// The live events, one stream a browser: the page that holds the lock reads it and passes all on to the others.
//
// A browser opens six connections to a host, and a stream holds one for ever: with a stream a tab the seventh tab would
// not load, and no order could be cancelled. A hidden page holds no stream. News are counted by what arrives, beats
// included: a connection that is open and silent is not live.

const EVENTS = ["delivery", "deliveries", "drones", "figures", "zones", "beat", "reset"];
const NAME = "dronedispatch-events";
const LOOK_MS = 500;
const STALE_MS = 3000;
const RETRY_MS = 1000; // after a refusal, which ends an EventSource for good
const RECONNECT_MS = 6000; // silence after which the stream is opened again

export class Stream {
  // `handlers`: by event name. `onState`: told {state, age_ms} twice a second. `whole`: what a page that joins is shown.
  constructor(handlers, onState, whole) {
    this.handlers = handlers;
    this.onState = onState;
    this.whole = whole;
    this.heard = 0; // performance.now() of the last news; 0: none yet
    this.tried = performance.now();
    this.lastId = "";
    this.source = null;
    this.release = null;
    this.channel = "BroadcastChannel" in window ? new BroadcastChannel(NAME) : null;
    if (this.channel) this.channel.onmessage = (message) => this.passedOn(message.data);
    document.addEventListener("visibilitychange", () => (document.hidden ? this.rest() : this.wake()));
    addEventListener("pagehide", () => this.rest());
    addEventListener("pageshow", (event) => event.persisted && this.wake());
    setInterval(() => this.look(), LOOK_MS);
    if (!document.hidden) this.wake();
  }

  // Stand in line for the stream; meanwhile whoever holds it passes everything on.
  wake(steal = false) {
    if (this.resting === false && !steal) return;
    const away = this.resting && this.heard && performance.now() - this.heard > STALE_MS;
    this.resting = false;
    this.tried = performance.now();
    if (away) this.handle("reset", { reason: "this page was asleep" });
    if (!navigator.locks || !this.channel) {
      this.open();
      return;
    }
    this.channel.postMessage({ hello: true });
    const options = steal ? { steal: true } : { signal: (this.line = new AbortController()).signal };
    navigator.locks
      .request(NAME, options, () => {
        if (this.resting) return undefined;
        this.open();
        return new Promise((done) => (this.release = done));
      })
      .catch(() => this.close()); // somebody took it from us, or we went to sleep while in line
  }

  rest() {
    this.resting = true;
    if (this.line) this.line.abort();
    this.close();
  }

  // Without an id nothing can be resumed: what happened until the stream opened is in the lists, which are read after that. So
  // it is at the first time, too, and when a browser reconnects by itself.
  open() {
    if (this.source) this.source.close();
    this.tried = performance.now();
    const source = new EventSource(this.lastId ? `/events?lastEventId=${encodeURIComponent(this.lastId)}` : "/events");
    this.source = source;
    source.addEventListener("open", () => {
      if (!this.lastId) this.tell("reset", { reason: "nothing to resume by" }, "");
    });
    for (const name of EVENTS) source.addEventListener(name, (event) => this.arrived(source, name, event));
  }

  close() {
    if (this.source) this.source.close();
    this.source = null;
    if (this.release) this.release();
    this.release = null;
  }

  arrived(source, name, event) {
    if (source !== this.source) return;
    this.tell(name, JSON.parse(event.data), event.lastEventId);
  }

  tell(name, data, id) {
    this.take(name, data, id);
    if (this.channel) this.channel.postMessage({ name, data, id });
  }

  passedOn(message) {
    if (message.hello) {
      if (this.source) for (const [name, data] of this.whole()) this.channel.postMessage({ name, data, id: this.lastId });
    } else if (!this.source && !this.resting) {
      this.take(message.name, message.data, message.id);
    }
  }

  take(name, data, id) {
    this.heard = performance.now();
    if (id) this.lastId = id;
    this.handle(name, data);
  }

  handle(name, data) {
    if (this.handlers[name]) this.handlers[name](data);
  }

  // Whether there were news in the last `ms`.
  heardSince(ms) {
    return this.heard > 0 && performance.now() - this.heard < ms;
  }

  look() {
    if (this.resting) return;
    const now = performance.now();
    const age_ms = this.heard ? now - this.heard : null;
    const silent = now - Math.max(this.heard, this.tried);
    const refused = this.source && this.source.readyState === EventSource.CLOSED && now - this.tried > RETRY_MS;
    if (refused || silent > RECONNECT_MS) {
      if (this.source) this.open();
      else if (navigator.locks && this.channel) this.wake(true); // whoever holds the stream passes nothing on: frozen
      else this.open();
      this.tried = now;
    }
    this.onState({ state: age_ms === null ? "connecting" : age_ms > STALE_MS ? "stale" : "live", age_ms });
  }
}
