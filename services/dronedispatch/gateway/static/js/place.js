// What is chosen stands in the address: #order=ID or #drone=ID can be sent to a colleague, and Back goes to the one before.

export class Place {
  // `onGo`: told {kind, id} or null when the address says another one: at the start, by Back, or by a link.
  constructor(onGo) {
    this.onGo = onGo;
    addEventListener("popstate", () => this.onGo(this.read()));
    addEventListener("hashchange", () => this.onGo(this.read()));
  }

  read() {
    const said = new URLSearchParams(location.hash.slice(1));
    if (said.get("order")) return { kind: "delivery", id: said.get("order").toUpperCase() };
    if (said.get("drone")) return { kind: "drone", id: said.get("drone") };
    return null;
  }

  show(what) {
    const hash = what ? hashOf(what) : "";
    if (hash === location.hash) return;
    history.pushState(null, "", hash || location.pathname + location.search);
  }
}

export const hashOf = ({ kind, id }) => `#${kind === "delivery" ? "order" : "drone"}=${encodeURIComponent(id)}`;
