// What is known of the chosen drone or delivery.

import * as api from "./api.js";
import { badge, h, meter } from "./dom.js";
import { clock, duration, place, secondsBetween, shortId } from "./format.js";

export class Card {
  constructor(root, world, onChoose) {
    this.root = root;
    this.world = world;
    this.onChoose = onChoose;
    this.said = "";
    this.note = null; // {id, nodes}: an answer that belongs to the chosen one
  }

  draw() {
    const chosen = this.world.chosen;
    const one = chosen && (chosen.kind === "drone" ? this.world.drones.get(chosen.id)?.news : this.world.deliveries.get(chosen.id));
    this.root.hidden = !one;
    if (!one) {
      this.said = "";
      return;
    }
    const said = JSON.stringify([one, this.note, Math.floor(Date.now() / 1000)]);
    if (said === this.said) return;
    this.said = said;
    this.root.replaceChildren(...(chosen.kind === "drone" ? this.drone(one) : this.delivery(one)));
  }

  head(title, status) {
    const close = h("button", { class: "close", type: "button", "aria-label": "Close", onclick: () => this.onChoose(null) }, "×");
    return h("header", {}, h("h3", { title }, title), badge(status), close);
  }

  link(kind, id, text = id) {
    return h("a", { href: "#", class: "mono", onclick: (event) => { event.preventDefault(); this.onChoose({ kind, id }); } }, text);
  }

  facts(pairs) {
    return h("dl", {}, ...pairs.filter(([, value]) => value !== null && value !== undefined).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  }

  drone(one) {
    return [
      this.head(one.id, one.status),
      this.facts([
        ["Type", one.type],
        ["Battery", meter(one.battery_pct)],
        ["Speed", `${Math.round((one.speed_mps || 0) * 3.6)} km/h`],
        ["Order", one.delivery_id ? this.link("delivery", one.delivery_id, shortId(one.delivery_id)) : "none"],
        ["Charging at", one.at_charge],
        ["Queues at", one.queued_at],
        ["Position", place(one.pos)],
        ["Service", one.decommissioned ? "decommissioned" : null],
      ]),
    ];
  }

  delivery(one) {
    const done = one.ended_at || new Date().toISOString();
    const nodes = [
      this.head(shortId(one.id), one.status),
      this.facts([
        ["From", place(one.origin)],
        ["To", place(one.destination)],
        ["Weight", `${one.weight} kg`],
        ["Priority", one.priority ? String(one.priority) : null],
        ["Deadline", one.deadline ? clock(one.deadline) : null],
        ["Drone", one.drone_id ? this.link("drone", one.drone_id) : "none yet"],
        [one.ended_at ? "Took" : "Age", duration(secondsBetween(one.created_at, done))],
        ["ETA", one.eta && !one.ended_at ? `${clock(one.eta.at)} · ${Math.round(one.eta.confidence * 100)} % sure` : null],
      ]),
      h("ol", {}, ...one.history.slice(-8).map((line) => h("li", {}, h("time", {}, clock(line.at)), h("span", {}, `${line.to} – ${line.cause}`)))),
    ];
    if (this.note && this.note.id === one.id) nodes.push(h("p", { class: "note" }, this.note.text), ...this.reasons());
    const actions = [];
    if (one.status === "pending") actions.push(h("button", { type: "button", onclick: () => this.why(one.id) }, "Why is it waiting?"));
    if (one.status === "pending" || one.status === "assigned") actions.push(h("button", { type: "button", onclick: () => this.cancel(one.id) }, "Cancel"));
    if (actions.length) nodes.push(h("div", { class: "row" }, ...actions));
    return nodes;
  }

  reasons() {
    const rows = (this.note.drones || []).slice(0, 40);
    if (!rows.length) return [];
    return [h("table", {}, h("tbody", {}, ...rows.map((row) => h("tr", {}, h("td", { class: "mono" }, row.drone_id || row.id || ""), h("td", {}, (row.reason || "").replace(/[0-7][0-9A-Z]{25}/, shortId))))))];
  }

  async why(id) {
    await this.ask(id, async () => {
      const answer = await api.why(id);
      return { id, text: answer.summary || answer.reason || "", drones: answer.drones };
    });
  }

  async cancel(id) {
    await this.ask(id, async () => {
      this.world.setDeliveries([await api.cancel(id)]);
      return null;
    });
  }

  async ask(id, question) {
    try {
      this.note = await question();
    } catch (error) {
      this.note = { id, text: error.message };
    }
    this.draw();
  }
}
