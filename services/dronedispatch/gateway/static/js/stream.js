// The live events. The browser comes back by itself with Last-Event-ID; only a refusal (503) must be retried by hand.

const RETRY_MS = 2000;
const EVENTS = ["delivery", "deliveries", "drones", "figures", "zones", "reset"];

export function listen(handlers, onState) {
  let source;
  const connect = () => {
    source = new EventSource("/events");
    source.onopen = () => onState("live");
    source.onerror = () => {
      onState(source.readyState === EventSource.CLOSED ? "lost" : "connecting");
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS);
    };
    for (const name of EVENTS) {
      source.addEventListener(name, (event) => {
        onState("live");
        if (handlers[name]) handlers[name](JSON.parse(event.data));
      });
    }
  };
  connect();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && connect());
}
