// Pieces of a card that are written in place.

import { h, setText } from "./dom.js";

// Names and values. A value is a text, or {key, node}: the node is made anew when its key is another one. Null: not shown.
export class Facts {
  constructor() {
    this.node = h("dl", {});
    this.rows = new Map();
  }

  set(name, value) {
    let row = this.rows.get(name);
    if (!row) {
      row = { name: h("dt", {}, name), value: h("dd", {}), said: undefined };
      this.rows.set(name, row);
      this.node.append(row.name, row.value);
    }
    const none = value === null || value === undefined;
    row.name.hidden = row.value.hidden = none;
    if (none) return;
    if (typeof value === "string") setText(row.value, value);
    else if (row.said !== value.key) row.value.replaceChildren(value.node());
    row.said = typeof value === "string" ? value : value.key;
  }
}

// A list of which lines are written in place and only the rest is added or removed. A line: {time, text, href}.
export class Lines {
  constructor(title) {
    this.list = h("ol", {});
    this.node = h("section", {}, h("h4", {}, title), this.list);
    this.rows = [];
  }

  set(lines) {
    this.node.hidden = lines.length === 0;
    while (this.rows.length > lines.length) this.rows.pop().node.remove();
    lines.forEach((line, at) => {
      if (!this.rows[at]) this.add();
      const row = this.rows[at];
      setText(row.time, line.time);
      const target = line.href ? row.link : row.text;
      row.link.hidden = !line.href;
      row.text.hidden = Boolean(line.href);
      if (line.href) row.link.setAttribute("href", line.href);
      setText(target, line.text);
    });
  }

  add() {
    const row = { time: h("time", {}), text: h("span", {}), link: h("a", {}) };
    row.node = h("li", {}, row.time, row.text, row.link);
    this.rows.push(row);
    this.list.append(row.node);
  }
}

// Says to a screen reader that the status of what is chosen has changed, and nothing else.
export class Announcer {
  constructor(node) {
    this.node = node;
    this.key = null;
    this.said = null;
  }

  status(key, text) {
    if (this.key === key && this.said !== text) setText(this.node, text);
    this.key = key;
    this.said = text;
  }
}
