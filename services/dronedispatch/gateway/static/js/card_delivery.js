// An order: what was asked for, where it is, why in a sentence, and what may be changed.

import * as api from "./api.js";
import { actionsFor } from "./actions.js";
import { h, setText } from "./dom.js";
import { clock, duration, kept, moments, place, secondsBetween, transition } from "./format.js";
import { now } from "./now.js";
import { hashOf } from "./place.js";

const WHY_MS = 5000; // while it waits, the reason may be another one soon

export class DeliveryCard {
  constructor(id, world, hands, { Facts, Lines }) {
    Object.assign(this, { id, world, hands });
    this.facts = new Facts();
    this.history = new Lines("History");
    this.why = h("p", { class: "note", "data-part": "why" });
    this.reasons = h("table", {}, h("tbody", {}));
    this.more = h("details", { hidden: true }, h("summary", {}, "Drone by drone"), this.reasons);
    this.answer = h("p", { class: "note", role: "status" });
    this.buttons = h("div", { class: "row" });
    this.actions = new Map();
    this.nodes = [this.why, this.facts.node, this.more, this.history.node, this.answer, this.buttons];
    this.askedFor = null;
  }

  leave() {
    this.left = true;
  }

  draw(one) {
    const done = one.ended_at || new Date(now()).toISOString();
    const { facts } = this;
    facts.set("Drone", one.drone_id ? { key: one.drone_id, node: () => h("a", { href: hashOf({ kind: "drone", id: one.drone_id }), class: "mono" }, one.drone_id) } : one.ended_at ? "none" : "none yet");
    facts.set("ETA", one.eta && !one.ended_at ? clock(one.eta.at) : null);
    facts.set("How sure", one.eta && !one.ended_at ? kept(one.eta.confidence) : null);
    facts.set("Promised", one.promised && !one.ended_at ? clock(one.promised.at) : null);
    facts.set("Deadline", one.deadline ? clock(one.deadline) : null);
    facts.set("Priority", one.priority ? String(one.priority) : null);
    facts.set("Ordered", clock(one.created_at));
    facts.set("Age", one.ended_at ? null : duration(secondsBetween(one.created_at, done)));
    facts.set("Took", one.ended_at ? duration(secondsBetween(one.created_at, done)) : null);
    facts.set("From", place(one.origin));
    facts.set("To", place(one.destination));
    facts.set("Weight", `${one.weight} kg`);
    this.history.set(one.history.slice(-8).map((line) => ({ time: clock(line.at), text: transition(line) })));
    this.offer(one);
    this.askWhy(one);
  }

  async askWhy(one) {
    const key = `${one.status} ${one.drone_id}`;
    const again = one.status === "pending" && Date.now() - this.askedAt > WHY_MS;
    if (this.asking || (this.askedFor === key && !again)) return;
    this.asking = true;
    this.askedAt = Date.now();
    try {
      const answer = await api.why(this.id);
      this.askedFor = key;
      setText(this.why, moments(answer.summary || answer.reason || ""));
      this.showReasons(answer.drones || []);
    } catch (refused) {
      setText(this.why, `Why is not known: ${refused.message}`);
      this.askedFor = refused.problem.status === 404 ? key : null;
    } finally {
      this.asking = false;
    }
  }

  showReasons(rows) {
    this.more.hidden = rows.length === 0;
    const said = JSON.stringify(rows);
    if (said === this.saidReasons) return;
    this.saidReasons = said;
    this.reasons.firstChild.replaceChildren(...rows.slice(0, 40).map((row) => h("tr", {}, h("td", { class: "mono" }, row.drone_id || row.id || ""), h("td", {}, moments(row.reason || "")))));
  }

  // Buttons are kept while they stay: a change of the record takes no focus away.
  offer(one) {
    const wanted = new Map(actionsFor(one).map((action) => [action.name, action]));
    for (const [name, node] of this.actions) {
      if (wanted.has(name)) continue;
      node.remove();
      this.actions.delete(name);
    }
    for (const [name, action] of wanted) {
      if (this.actions.has(name)) continue;
      const node = h("button", { type: "button", "data-action": name, onclick: () => this.hands.act(action, [this.id]) }, action.label);
      this.actions.set(name, node);
      this.buttons.append(node);
    }
  }
}

