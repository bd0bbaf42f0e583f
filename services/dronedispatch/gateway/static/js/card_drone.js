// A drone: what it does, its stops with a time each, its battery as this page saw it, and its last orders.

import * as api from "./api.js";
import { droneActionsFor } from "./actions.js";
import { h, meter, setText } from "./dom.js";
import { clock, duration, moments, place, secondsBetween, shortId } from "./format.js";
import { now } from "./now.js";
import { hashOf } from "./place.js";
import { remainingStops } from "./stops.js";

const READ_MS = 2500;
const LAST_ORDERS = 5;
const STOPS = { pickup: "picks up", dropoff: "delivers", charge: "charges at", hold: "holds" };

export class DroneCard {
  constructor(id, world, hands, { Facts, Lines }) {
    Object.assign(this, { id, world, hands, whole: null, orders: [], readAt: 0, moved: null, pace: null });
    this.facts = new Facts();
    this.stops = new Lines("Stops");
    this.last = new Lines("Last orders");
    this.note = h("p", { class: "note", "data-part": "cause" });
    this.line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    const chart = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    chart.setAttribute("viewBox", "0 0 60 20");
    chart.setAttribute("preserveAspectRatio", "none");
    chart.append(this.line);
    this.caption = h("figcaption", {});
    this.chart = h("figure", { class: "battery", hidden: true }, chart, this.caption);
    this.locate = h("button", { type: "button", "data-action": "locate", onclick: () => hands.locate(id) }, "Locate");
    this.follow = h("button", { type: "button", "data-action": "follow", "aria-pressed": "false", onclick: () => this.toggleFollow() }, "Follow");
    this.service = h("button", { type: "button", "data-action": "service", onclick: () => hands.act(this.action, [id]) });
    this.nodes = [this.note, h("div", { class: "row" }, this.locate, this.follow, this.service), this.facts.node, this.chart, this.stops.node, this.last.node];
  }

  leave() {
    this.hands.follow(null);
  }

  toggleFollow() {
    const on = this.follow.getAttribute("aria-pressed") !== "true";
    this.follow.setAttribute("aria-pressed", String(on));
    this.hands.follow(on ? this.id : null);
  }

  draw(one) {
    this.watchPace(one);
    this.read();
    const { facts, whole } = this;
    [this.action] = droneActionsFor(one);
    setText(this.service, this.action.label);
    facts.set("Battery", { key: Math.round(one.battery_pct), node: () => meter(one.battery_pct) });
    facts.set("Order", one.delivery_id ? { key: one.delivery_id, node: () => h("a", { href: hashOf({ kind: "delivery", id: one.delivery_id }), class: "mono" }, shortId(one.delivery_id)) } : "none");
    facts.set("Type", one.type);
    facts.set("Speed", `${Math.round((one.speed_mps || 0) * 3.6)} km/h`);
    facts.set("Charging at", one.at_charge);
    facts.set("Queues at", one.queued_at);
    facts.set("Position", place(one.pos));
    facts.set("Service", one.decommissioned ? "out of service" : null);
    facts.set("Last contact", whole?.at ? `${clock(whole.at)}, ${duration(secondsBetween(whole.at, new Date(now()).toISOString()))} ago` : null);
    setText(this.note, one.silent ? `Silent: ${one.battery_pct > 0 ? "its drone_sim flies on without it" : "its battery is empty"}.` : whole?.cause ? `${one.status} since ${clock(whole.status_at)}: ${moments(whole.cause)}` : "");
    const points = this.hands.batteries.points(this.id);
    this.chart.hidden = !points;
    this.line.setAttribute("points", points);
    setText(this.caption, `Battery in the last ${duration(this.hands.batteries.span(this.id))} that this page saw, 0 to 100 %`);
    this.showStops();
    this.last.set(this.orders.map((d) => ({ time: clock(d.created_at), text: `${shortId(d.id)} ${d.status}`, href: hashOf({ kind: "delivery", id: d.id }) })));
  }

  showStops() {
    const { whole } = this;
    if (!whole) return;
    const eta = (id) => this.world.deliveries.get(id)?.eta?.at || null;
    const stops = remainingStops(whole, this.pace, eta, now());
    this.stops.set(stops.map((stop) => ({
      time: stop.at ? clock(stop.at) : "not known",
      text: `${STOPS[stop.kind]} ${stop.station || (stop.delivery_id ? shortId(stop.delivery_id) : "")}`.trim(),
      href: stop.delivery_id ? hashOf({ kind: "delivery", id: stop.delivery_id }) : null,
    })));
  }

  // Metres in a real second, from where the map has seen it: simulated time may run faster.
  watchPace(one) {
    const drone = this.world.drones.get(this.id);
    const now = performance.now();
    const before = this.moved;
    if (!before || now - before.at > 1500) {
      this.moved = { x: drone.to.x, y: drone.to.y, at: now };
      const way = before ? Math.hypot(drone.to.x - before.x, drone.to.y - before.y) : 0;
      if (way > 5 && one.speed_mps > 0.1) this.pace = (1000 * way) / (now - before.at);
    }
  }

  async read() {
    if (this.reading || Date.now() - this.readAt < READ_MS) return;
    this.reading = true;
    try {
      const [whole, page] = await Promise.all([api.drone(this.id), api.ordersOf(this.id, LAST_ORDERS)]);
      [this.whole, this.orders] = [whole, page.deliveries];
    } catch (refused) {
      setText(this.note, refused.message);
    } finally {
      this.readAt = Date.now();
      this.reading = false;
    }
  }
}
