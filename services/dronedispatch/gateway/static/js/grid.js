// The rows of a table: each belongs to its record for as long as it is shown, so that focus stays with its order; the whole
// grid is one stop of the Tab key, and arrow keys move in it.

import { h } from "./dom.js";

const PAGE = 10;

export class Grid {
  // `columns()`: [{class, say, node}]; `hands`: {onChoose(id), onEnter(id) by keyboard, onPick(id, picked)}; `heads`: the buttons of the headings.
  constructor(table, columns, heads, hands) {
    this.body = table.tBodies[0];
    this.columns = columns;
    this.heads = heads;
    this.hands = hands;
    this.rows = new Map(); // id -> {element, cells, said, box}
    this.order = []; // the ids that are shown
    this.current = null; // the id that Tab comes to
    table.setAttribute("role", "grid");
    table.addEventListener("keydown", (event) => this.key(event));
    table.addEventListener("focusin", (event) => this.entered(event));
    for (const head of heads) head.tabIndex = -1;
  }

  // Show `records`, in this order. `chosen`: the id of the open card; `picked`: a Set of ids.
  draw(records, chosen, picked) {
    const wanted = new Set(records.map((one) => one.id));
    const focused = this.body.contains(document.activeElement) ? document.activeElement.closest("tr") : null;
    const lost = focused && !wanted.has(focused.dataset.id) ? this.order.indexOf(focused.dataset.id) : -1;
    for (const [id, row] of this.rows) {
      if (wanted.has(id)) continue;
      row.element.remove();
      this.rows.delete(id);
    }
    this.order = records.map((one) => one.id);
    this.place(records, lost < 0 ? focused : null);
    for (const one of records) this.fill(this.rows.get(one.id), one, chosen, picked);
    if (!wanted.has(this.current)) this.current = this.order[Math.max(0, Math.min(lost, this.order.length - 1))] ?? null;
    this.stops();
    if (lost >= 0) this.focus(this.current);
  }

  // A row that has the focus is never moved: that would take it away. The others are moved around it.
  place(records, focused) {
    let next = this.body.firstElementChild;
    for (const one of records) {
      const row = this.rows.get(one.id) || this.add(one.id);
      if (row.element === focused) {
        while (next !== focused) {
          const passed = next;
          next = next.nextElementSibling;
          this.body.append(passed);
        }
      }
      if (row.element === next) next = next.nextElementSibling;
      else this.body.insertBefore(row.element, next);
    }
  }

  add(id) {
    const box = h("input", { type: "checkbox", tabindex: "-1", "aria-label": `Choose ${id}` });
    const cells = this.columns().map((column) => h("td", { class: column.class }));
    const row = { element: h("tr", { tabindex: "-1", "data-id": id }, ...cells), cells, said: [], box, text: h("span", {}) };
    cells[0].append(h("label", { class: "pick" }, box), row.text);
    row.element.addEventListener("click", (event) => {
      if (event.target.closest(".pick")) return;
      this.hands.onChoose(id);
    });
    box.addEventListener("change", () => this.hands.onPick(id, box.checked));
    this.rows.set(id, row);
    return row;
  }

  fill(row, one, chosen, picked) {
    row.element.classList.toggle("chosen", chosen === one.id);
    row.element.setAttribute("aria-selected", String(picked.has(one.id)));
    row.box.checked = picked.has(one.id);
    this.columns().forEach((column, at) => {
      const said = column.say(one);
      if (row.said[at] === said) return;
      row.said[at] = said;
      const cell = at === 0 ? row.text : row.cells[at];
      if (column.node) cell.replaceChildren(column.node(one));
      else if (cell.firstChild?.nodeType === Node.TEXT_NODE) cell.firstChild.data = said;
      else cell.textContent = said;
    });
  }

  stops() {
    for (const [id, row] of this.rows) row.element.tabIndex = id === this.current ? 0 : -1;
    const none = this.order.length === 0;
    this.heads.forEach((head, at) => (head.tabIndex = none && at === 0 ? 0 : -1));
  }

  focus(id) {
    this.current = id;
    this.stops();
    const row = this.rows.get(id);
    if (row) row.element.focus();
    else this.heads[0].focus();
  }

  // What Tab comes to.
  here() {
    return this.rows.get(this.current)?.element || this.heads[0];
  }

  entered(event) {
    const row = event.target.closest("tbody tr");
    if (!row || row.dataset.id === this.current) return;
    this.current = row.dataset.id;
    this.stops();
  }

  key(event) {
    const head = this.heads.indexOf(event.target);
    if (head >= 0) {
      const to = { ArrowRight: head + 1, ArrowLeft: head - 1, Home: 0, End: this.heads.length - 1 }[event.key];
      if (to !== undefined) this.heads[Math.max(0, Math.min(this.heads.length - 1, to))].focus();
      else if (event.key === "ArrowDown" && this.order.length) this.focus(this.order[0]);
      else return;
      event.preventDefault();
      return;
    }
    const id = event.target.closest("tbody tr")?.dataset.id;
    if (!id) return;
    const at = this.order.indexOf(id);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + PAGE, PageUp: at - PAGE, Home: 0, End: this.order.length - 1 }[event.key];
    if (event.key === "ArrowUp" && at === 0) this.heads[0].focus();
    else if (to !== undefined) this.focus(this.order[Math.max(0, Math.min(this.order.length - 1, to))]);
    else if (event.key === "Enter") this.hands.onEnter(id);
    else if (event.key === " ") this.hands.onPick(id, !this.rows.get(id).box.checked);
    else return;
    event.preventDefault();
  }
}
