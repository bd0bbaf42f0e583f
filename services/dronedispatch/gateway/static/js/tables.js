// The two tables. Rows are kept and rewritten in place, so that neither a click nor the scroll position is lost.

import { badge, h, meter, setText } from "./dom.js";
import { clock, count, duration, shortId } from "./format.js";

const ROWS_MAX = 250;

class Table {
  constructor(name, world, statuses, onChoose) {
    this.world = world;
    this.kind = name;
    this.onChoose = onChoose;
    this.pane = document.querySelector(`#pane-${name === "delivery" ? "deliveries" : "drones"}`);
    this.body = document.querySelector(`#${name}-table tbody`);
    this.tally = document.querySelector(`#${name}-tally`);
    this.search = document.querySelector(`#${name}-search`);
    this.status = null;
    this.exception = null; // {label, ids}: these alone are shown
    this.rows = [];
    this.order = { column: null, sign: 1 };
    this.heads();
    this.search.addEventListener("input", () => this.draw());
    this.search.addEventListener("keydown", (event) => event.key === "Enter" && this.find());
    this.chips(document.querySelector(`#${name}-chips`), statuses);
  }

  // A click on a heading sorts by it, a second one turns the order round, a third one gives the usual order back.
  heads() {
    this.sorters = [...this.body.parentElement.querySelectorAll("thead th")].map((head, i) => {
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
      button.addEventListener("click", () => {
        this.status = this.status === status ? null : status;
        for (const one of this.buttons) one.setAttribute("aria-pressed", String(one.dataset.status === this.status));
        this.draw();
      });
      bar.append(button);
      return button;
    });
  }

  // A whole id need not be in the table: an old delivery is read from the store.
  find() {
    const id = this.search.value.trim();
    const whole = this.kind === "delivery" ? id.length === 26 : this.world.drones.has(id);
    if (whole) this.onChoose({ kind: this.kind, id: this.kind === "delivery" ? id.toUpperCase() : id });
  }

  // Show those of an exception alone; null: all.
  only(exception) {
    this.exception = exception && { label: exception.label, ids: new Set(exception.ids) };
  }

  draw() {
    if (this.pane.hidden) return;
    const wanted = this.search.value.trim().toLowerCase();
    const all = this.all();
    const found = all.filter((one) => (!this.exception || this.exception.ids.has(one.id)) && (!this.status || one.status === this.status) && (!wanted || this.text(one).toLowerCase().includes(wanted)));
    const shown = this.sorted(found).slice(0, ROWS_MAX);
    while (this.rows.length < shown.length) this.addRow();
    while (this.rows.length > shown.length) this.rows.pop().element.remove();
    shown.forEach((one, i) => this.fill(this.rows[i], one));
    const cut = found.length > shown.length ? `, the first ${ROWS_MAX} shown` : "";
    setText(this.tally, `${count(found.length)} of ${count(all.length)}${cut}`);
  }

  addRow() {
    const cells = this.columns.map((column) => h("td", { class: column.class }));
    const row = { element: h("tr", { tabindex: 0 }, ...cells), cells, said: [], id: null };
    const choose = () => this.onChoose({ kind: this.kind, id: row.id });
    row.element.addEventListener("click", choose);
    row.element.addEventListener("keydown", (event) => event.key === "Enter" && choose());
    this.rows.push(row);
    this.body.append(row.element);
  }

  fill(row, one) {
    row.id = one.id;
    row.element.dataset.id = one.id;
    const chosen = this.world.chosen;
    row.element.classList.toggle("chosen", Boolean(chosen) && chosen.kind === this.kind && chosen.id === one.id);
    this.columns.forEach((column, i) => {
      const said = column.say(one);
      if (row.said[i] === said) return;
      row.said[i] = said;
      if (column.node) row.cells[i].replaceChildren(column.node(one));
      else row.cells[i].textContent = said;
    });
  }
}

const lived = (d) => ((d.ended_at ? Date.parse(d.ended_at) : Date.now()) - Date.parse(d.created_at)) / 1000;
const LAST = "\uffff"; // what has no such value comes after all that do

export class DeliveryTable extends Table {
  constructor(world, onChoose) {
    super("delivery", world, ["pending", "assigned", "in-progress", "delivered", "cancelled", "failed"], onChoose);
    this.columns = [
      { class: "mono", key: (d) => d.id, say: (d) => shortId(d.id) },
      { key: (d) => d.status, say: (d) => d.status, node: (d) => badge(d.status) },
      { class: "mono", key: (d) => d.drone_id || LAST, say: (d) => d.drone_id || "–" },
      { class: "num", key: (d) => d.weight, say: (d) => d.weight.toFixed(1) },
      { class: "num", key: lived, say: (d) => duration(lived(d)) },
      { key: (d) => (d.eta && !d.ended_at ? d.eta.at : LAST), say: (d) => (d.eta && !d.ended_at ? clock(d.eta.at) : "–") },
    ];
  }

  all() {
    return [...this.world.deliveries.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  text(d) {
    return `${d.id} ${d.drone_id || ""}`;
  }
}

export class DroneTable extends Table {
  constructor(world, onChoose) {
    super("drone", world, ["idle", "busy", "charging", "retiring", "inactive"], onChoose);
    this.columns = [
      { class: "mono", key: (d) => d.id, say: (d) => d.id },
      { key: (d) => d.type, say: (d) => d.type },
      { key: (d) => d.status, say: (d) => d.status, node: (d) => badge(d.status) },
      { key: (d) => d.battery_pct, say: (d) => String(Math.round(d.battery_pct)), node: (d) => meter(d.battery_pct) },
      { class: "mono", key: (d) => d.delivery_id || LAST, say: (d) => (d.delivery_id ? shortId(d.delivery_id) : "–") },
    ];
  }

  all() {
    return [...this.world.drones.values()].map((drone) => drone.news).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  text(d) {
    return `${d.id} ${d.type} ${d.delivery_id || ""}`;
  }
}
