// The key figures with their last two minutes.

import { h, setText } from "./dom.js";
import { count, duration } from "./format.js";

const KEPT = 60;
const TITLES = { flying: "Drones on an order, to the pick-up or with the parcel", rate: "Created in the last 60 s", "to-assign": "Mean from created to assigned", "to-deliver": "Mean from created to delivered" };
const TILES = [
  ["pending", "Pending", "pending", (f) => f.pending],
  ["assigned", "Assigned", "assigned", (f) => f.assigned],
  ["flying", "Flying", "busy", (f) => f.drones.busy || 0],
  ["delivered", "Delivered", "delivered", (f) => f.delivered],
  ["idle", "Idle drones", "idle", (f) => f.drones.idle || 0],
  ["charging", "Charging", "charging", (f) => f.drones.charging || 0],
  ["rate", "Orders / min", "accent", (f) => f.orders_per_minute],
  ["to-assign", "To assign", "assigned", (f) => f.to_assign_mean_s, duration],
  ["to-deliver", "To deliver", "delivered", (f) => f.to_deliver_mean_s, duration],
];

export class FigureTiles {
  constructor(root) {
    this.tiles = TILES.map(([id, title, tone, read, show = count]) => {
      const value = h("p", { id: `figure-${id}` }, "–");
      const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
      const chart = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      chart.setAttribute("viewBox", "0 0 60 20");
      chart.setAttribute("preserveAspectRatio", "none");
      chart.setAttribute("aria-hidden", "true");
      chart.append(line);
      root.append(h("div", { class: "figure", tone, title: TITLES[id] }, h("h2", {}, title), value, chart));
      return { value, line, read, show, past: [] };
    });
  }

  show(figures) {
    for (const tile of this.tiles) {
      const now = tile.read(figures);
      setText(tile.value, now === null || now === undefined ? "–" : tile.show(now));
      if (now === null || now === undefined) continue;
      tile.past.push(now);
      if (tile.past.length > KEPT) tile.past.shift();
      tile.line.setAttribute("points", points(tile.past));
    }
  }
}

function points(past) {
  const high = Math.max(...past);
  const low = Math.min(...past);
  const span = high - low || 1;
  const flat = high === low;
  return past.map((value, i) => `${60 - past.length + i + 1},${flat ? 17 : (18 - (16 * (value - low)) / span).toFixed(1)}`).join(" ");
}
