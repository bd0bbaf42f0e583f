// The figures of the last hours, as the system keeps them: a reload forgets nothing. What is not known is a hole in the line.

import { $, h, onClosed, setText } from "./dom.js";
import { count, duration } from "./format.js";
import { now } from "./now.js";

const SPANS = [["1 h", 1], ["3 h", 3], ["12 h", 12], ["24 h", 24], ["7 days", 168]];
const AGAIN_MS = 30_000;
const WIDTH = 300;
const HEIGHT = 84;
const CHARTS = [
  ["Orders placed and delivered", count, [["accent", "placed", (p) => p.orders], ["delivered", "delivered", (p) => p.delivered]]],
  ["Open orders", count, [["pending", "pending", (p) => p.pending], ["assigned", "assigned", (p) => p.assigned], ["in-progress", "in progress", (p) => p.in_progress]]],
  ["Time to assign, mean", duration, [["assigned", "to assign", (p) => p.to_assign_mean_s]]],
  ["Time to deliver, mean", duration, [["delivered", "to deliver", (p) => p.to_deliver_mean_s]]],
  ["Drones", count, [["busy", "busy", (p) => drones(p, "busy")], ["idle", "idle", (p) => drones(p, "idle")], ["charging", "charging", (p) => drones(p, "charging")]]],
];

const drones = (point, status) => (point.drones ? point.drones[status] || 0 : null);

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

class Chart {
  constructor([title, say, lines]) {
    this.say = say;
    this.lines = lines;
    this.picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.high = h("span", { class: "high" });
    this.key = h("p", { class: "key" });
    this.title = title;
    this.element = h("figure", { class: "chart" }, h("figcaption", {}, title, this.high), this.picture, this.key);
  }

  draw(points) {
    const known = this.lines.map(([tone, name, read]) => [tone, name, points.map(read)]);
    const values = known.flatMap(([, , list]) => list.filter((value) => value !== null));
    const high = Math.max(1e-9, ...values);
    setText(this.high, values.length ? `max ${this.say(high)}` : "nothing recorded");
    this.picture.replaceChildren(
      svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1, class: "base" }),
      ...known.map(([tone, , list]) => svg("path", { d: path(list, high), style: `stroke: var(--${tone})` })),
    );
    const last = known.map(([tone, name, list]) => [tone, `${name} ${this.said(list)}`]);
    this.key.replaceChildren(...last.map(([tone, text]) => h("span", { tone }, h("i"), text)));
    this.picture.setAttribute("aria-label", `${this.title}: ${last.map(([, text]) => text).join(", ")}`);
  }

  said(list) {
    const value = list.findLast((one) => one !== null);
    return value === undefined ? "–" : this.say(value);
  }
}

function path(list, high) {
  let pen = "M";
  return list.map((value, i) => {
    if (value === null) {
      pen = "M";
      return "";
    }
    const x = list.length < 2 ? 0 : (i * WIDTH) / (list.length - 1);
    const piece = `${pen}${x.toFixed(1)} ${(HEIGHT - 2 - ((HEIGHT - 6) * value) / high).toFixed(1)}`;
    const alone = pen === "M" && (list[i + 1] === null || list[i + 1] === undefined);
    pen = "L";
    return alone ? `${piece}h1` : piece;
  }).join("");
}

export class History {
  constructor(button, dialog) {
    this.button = button;
    this.dialog = dialog;
    this.hours = 3;
    this.charts = CHARTS.map((one) => new Chart(one));
    this.note = h("p", { class: "hint", role: "status" });
    this.spans = SPANS.map(([text, hours]) => {
      const chip = h("button", { class: "chip", type: "button", "aria-pressed": String(hours === this.hours) }, text);
      chip.addEventListener("click", () => this.span(hours));
      return [chip, hours];
    });
    const csv = h("button", { type: "button", id: "history-csv" }, "CSV");
    csv.addEventListener("click", () => this.save());
    const close = h("button", { type: "button", "aria-label": "Close" }, "×");
    close.addEventListener("click", () => dialog.close());
    dialog.append(
      h("header", {}, h("h2", { id: "history-title" }, "The last hours"), h("span", { class: "grow" }), csv, close),
      h("div", { class: "chips", role: "group", "aria-label": "Span" }, ...this.spans.map(([chip]) => chip)),
      h("div", { class: "charts" }, ...this.charts.map((chart) => chart.element)),
      this.note,
    );
    button.addEventListener("click", () => this.open());
    onClosed(dialog, () => clearInterval(this.timer));
  }

  open() {
    this.dialog.showModal();
    this.read();
    clearInterval(this.timer);
    this.timer = setInterval(() => this.read(), AGAIN_MS);
  }

  span(hours) {
    this.hours = hours;
    for (const [chip, of] of this.spans) chip.setAttribute("aria-pressed", String(of === hours));
    this.read();
  }

  ask(accept) {
    const from = new Date(now() - this.hours * 3_600_000).toISOString();
    return fetch(`/figures?from=${encodeURIComponent(from)}`, { headers: { Accept: accept }, signal: AbortSignal.timeout(15_000) });
  }

  async read() {
    const asked = this.hours;
    try {
      const answer = await this.ask("application/json");
      if (!answer.ok) throw new Error(`the system answers ${answer.status}`);
      const series = await answer.json();
      if (asked !== this.hours) return; // another span was chosen meanwhile
      this.show(series);
    } catch (error) {
      setText(this.note, `Not read: ${error.message}. It is tried again.`);
    }
  }

  show(series) {
    for (const chart of this.charts) chart.draw(series.points);
    const known = series.points.filter((point) => point.minutes > 0).length;
    const unsure = series.points.filter((point) => point.minutes > 0 && !point.whole).length;
    setText(this.note, `${count(series.points.length)} points of ${duration(series.step_s)}, ${count(known)} recorded`
      + (unsure ? `, of which ${count(unsure)} may lack something.` : "."));
  }

  async save() {
    try {
      const answer = await this.ask("text/csv");
      if (!answer.ok) throw new Error(`the system answers ${answer.status}`);
      const link = h("a", { href: URL.createObjectURL(await answer.blob()), download: "figures.csv" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    } catch (error) {
      setText(this.note, `Not saved: ${error.message}.`);
    }
  }
}

new History($("#history-open"), $("#history"));
