// The two tables: what they show of the world, in which order, and which of it is picked for an action.

import { DELIVERY_ACTIONS, DRONE_ACTIONS } from "./actions.js";
import { badge, h, meter, setText } from "./dom.js";
import { clock, count, duration, shortId } from "./format.js";
import { Grid } from "./grid.js";
import { now } from "./now.js";

const ROWS_MAX = 250;

class Table {
  // `hands`: {onChoose(what), onEnter(what), act(action, ids)}.
  constructor(name, world, statuses, actions, hands) {
    this.world = world;
    this.kind = name;
    this.hands = hands;
    this.pane = document.querySelector(`#pane-${name === "delivery" ? "deliveries" : "drones"}`);
    this.tally = document.querySelector(`#${name}-tally`);
    this.search = document.querySelector(`#${name}-search`);
    this.empty = document.querySelector(`#${name}-empty`);
    this.status = null;
    this.exception = null; // {label, ids}: these alone are shown
    this.within = null; // whether a record is of the time that is searched; null: no time is given
    this.picked = new Set();
    this.order = { column: null, sign: 1 };
    const table = document.querySelector(`#${name}-table`);
    this.sorters = this.heads(table);
    this.grid = new Grid(table, () => this.columns, this.sorters.map((head) => head.firstChild), {
      onChoose: (id) => hands.onChoose({ kind: name, id }),
      onEnter: (id) => hands.onEnter({ kind: name, id }),
      onPick: (id, on) => this.pick([id], on),
    });
    this.search.addEventListener("input", () => this.draw());
    this.search.addEventListener("keydown", (event) => event.key === "Enter" && this.find());
    this.chips(document.querySelector(`#${name}-chips`), statuses);
    this.bulk(document.querySelector(`#${name}-bulk`), actions);
  }

  // A click on a heading sorts by it, a second one turns the order round, a third one gives the usual order back.
  heads(table) {
    return [...table.querySelectorAll("thead th")].map((head, i) => {
      const button = h("button", { type: "button" }, head.textContent);
      button.addEventListener("click", () => {
        const again = this.order.column === i;
        this.order = again && this.order.sign < 0 ? { column: null, sign: 1 } : { column: i, sign: again ? -1 : 1 };
        this.sorters.forEach((one, at) => one.setAttribute("aria-sort", at !== this.order.column ? "none" : this.order.sign > 0 ? "ascending" : "descending"));
        this.draw();
      });
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      return head;
    });
  }

  sorted(found) {
    if (this.order.column === null) return found;
    const { key } = this.columns[this.order.column];
    const keyed = found.map((one) => ({ one, key: key(one) }));
    keyed.sort((a, b) => (a.key === b.key ? 0 : (a.key < b.key ? -1 : 1) * this.order.sign));
    return keyed.map((pair) => pair.one);
  }

  chips(bar, statuses) {
    this.buttons = statuses.map((status) => {
      const button = h("button", { class: "chip", type: "button", tone: status, "aria-pressed": "false", "data-status": status }, h("i"), status);
      button.addEventListener("click", () => this.setStatus(this.status === status ? null : status));
      bar.append(button);
      return button;
    });
  }

  setStatus(status) {
    this.status = status;
    for (const one of this.buttons) one.setAttribute("aria-pressed", String(one.dataset.status === status));
    this.draw();
  }

  // What is done to several at once.
  bulk(bar, actions) {
    this.bar = bar;
    this.number = h("span", { role: "status" });
    const all = h("button", { type: "button", class: "chip", "data-bulk": "all", onclick: () => this.pick(this.grid.order, true) }, "Pick all shown");
    const none = h("button", { type: "button", class: "chip", "data-bulk": "none", onclick: () => this.pick([...this.picked], false) }, "Pick none");
    const buttons = actions.map((action) => h("button", { type: "button", class: "chip", "data-bulk": action.name, onclick: () => this.hands.act(action, [...this.picked]) }, action.label));
    bar.append(this.number, ...buttons, all, none);
    this.pick([], false);
  }

  pick(ids, on) {
    for (const id of ids) {
      if (on) this.picked.add(id);
      else this.picked.delete(id);
    }
    setText(this.number, this.picked.size ? `${count(this.picked.size)} picked` : "");
    for (const button of this.bar.querySelectorAll("[data-bulk]")) button.hidden = button.dataset.bulk !== "all" && this.picked.size === 0;
    this.draw();
  }

  // Show those of an exception alone; null: all.
  only(exception) {
    this.exception = exception && { label: exception.label, ids: new Set(exception.ids) };
  }

  draw() {
    if (this.pane.hidden || !this.columns) return;
    const wanted = this.search.value.trim().toLowerCase();
    const all = this.all();
    const found = all.filter((one) => (!this.within || this.within(one)) && (!this.exception || this.exception.ids.has(one.id)) && (!this.status || one.status === this.status) && (!wanted || this.text(one).toLowerCase().includes(wanted)));
    const shown = this.sorted(found).slice(0, ROWS_MAX);
    const { chosen } = this.world;
    this.grid.draw(shown, chosen && chosen.kind === this.kind ? chosen.id : null, this.picked);
    const cut = found.length > shown.length ? `, the first ${ROWS_MAX} shown` : "";
    setText(this.tally, `${count(found.length)} of ${count(all.length)}${cut}`);
    this.empty.hidden = shown.length > 0;
    if (shown.length === 0) setText(this.empty.firstElementChild, this.whyEmpty(all.length, wanted));
  }

  whyEmpty(known, wanted) {
    const what = this.kind === "delivery" ? "order" : "drone";
    const narrowed = [this.exception && `is “${this.exception.label}”`, this.status && `is ${this.status}`, wanted && `has “${wanted}” in it`, this.within && "was ordered in that time"].filter(Boolean);
    if (!narrowed.length) return known ? "" : `No ${what} yet.`;
    return `None of the ${count(known)} ${what}s that this page knows ${narrowed.join(" and ")}.`;
  }
}

const lived = (d) => ((d.ended_at ? Date.parse(d.ended_at) : now()) - Date.parse(d.created_at)) / 1000;
const LAST = "\uffff"; // what has no such value comes after all that do
const DELIVERY_STATUSES = ["pending", "assigned", "in-progress", "delivered", "cancelled", "failed"];

export class DeliveryTable extends Table {
  constructor(world, hands) {
    super("delivery", world, DELIVERY_STATUSES, DELIVERY_ACTIONS, hands);
    this.columns = [
      { class: "mono", key: (d) => d.id, say: (d) => shortId(d.id) },
      { key: (d) => d.status, say: (d) => d.status, node: (d) => badge(d.status) },
      { class: "mono", key: (d) => d.drone_id || LAST, say: (d) => d.drone_id || "–" },
      { class: "num", key: (d) => d.weight, say: (d) => d.weight.toFixed(1) },
      { class: "num", key: lived, say: (d) => duration(lived(d)) },
      { key: (d) => (d.eta && !d.ended_at ? d.eta.at : LAST), say: (d) => (d.eta && !d.ended_at ? clock(d.eta.at) : "–") },
    ];
  }

  // An older order than this page knows is asked of the system.
  find() {
    this.hands.onSearch(this.search.value.trim(), this.status);
  }

  all() {
    return [...this.world.deliveries.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  text(d) {
    return `${d.id} ${d.drone_id || ""}`;
  }
}

export class DroneTable extends Table {
  constructor(world, hands) {
    super("drone", world, ["idle", "busy", "charging", "retiring", "inactive"], DRONE_ACTIONS, hands);
    this.columns = [
      { class: "mono", key: (d) => d.id, say: (d) => d.id },
      { key: (d) => d.type, say: (d) => d.type },
      { key: (d) => d.status, say: (d) => d.status, node: (d) => badge(d.status) },
      { key: (d) => d.battery_pct, say: (d) => String(Math.round(d.battery_pct)), node: (d) => meter(d.battery_pct) },
      { class: "mono", key: (d) => d.delivery_id || LAST, say: (d) => (d.delivery_id ? shortId(d.delivery_id) : "–") },
    ];
  }

  find() {
    const id = this.search.value.trim();
    if (this.world.drones.has(id)) this.hands.onChoose({ kind: "drone", id });
  }

  all() {
    return [...this.world.drones.values()].map((drone) => drone.news).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  text(d) {
    return `${d.id} ${d.type} ${d.delivery_id || ""}`;
  }
}
