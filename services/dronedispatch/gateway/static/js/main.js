// Ties the parts of the dashboard together.

import * as api from "./api.js";
import { Card } from "./card.js";
import { $, h, setText } from "./dom.js";
import { FigureTiles } from "./figures.js";
import { CityMap } from "./map.js";
import { OrderForm } from "./order_form.js";
import { startTheme } from "./palette.js";
import { listen } from "./stream.js";
import { DeliveryTable, DroneTable } from "./tables.js";
import { World } from "./world.js";

const TABLES_MS = 400;
const LEGEND = [
  ["idle", "idle"], ["busy", "busy"], ["charging", "charging"], ["retiring", "retiring"], ["inactive", "inactive"],
  ["nofly", "no-fly", "square"], ["charge", "charge point", "square"], ["pending", "waiting order", "square"],
];

startTheme($("#theme"));
const world = new World();
const tiles = new FigureTiles($("#figures"));
const map = new CityMap($(".map"), world, { onChoose: choose, onPlace: (pos) => form.pick(pos) });
const deliveries = new DeliveryTable(world, choose);
const drones = new DroneTable(world, choose);
const card = new Card($("#card"), world, choose);
const form = new OrderForm($("#order-form"), world, { onPlaced: showPlaced, onDraft: () => map.refresh() });
for (const [tone, text, shape] of LEGEND) $("#legend").append(h("span", { tone }, h("i", { class: shape || "" }), text));
const tabs = [...document.querySelectorAll(".tabs button")];
for (const tab of tabs) {
  tab.addEventListener("click", () => openTab(tab.dataset.tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: tabs.length - 1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step) % tabs.length];
    next.focus();
    openTab(next.dataset.tab);
  });
}

function openTab(name) {
  for (const tab of tabs) {
    tab.setAttribute("aria-selected", String(tab.dataset.tab === name));
    $(`#pane-${tab.dataset.tab}`).hidden = tab.dataset.tab !== name;
  }
  map.setPlacing(name === "order");
  drawTables();
}

function choose(what) {
  world.choose(what && what.kind, what && what.id);
  if (what && what.kind === "delivery" && !world.deliveries.has(what.id)) readDelivery(what.id);
  map.refresh();
  drawTables();
}

async function readDelivery(id) {
  try {
    world.setDeliveries([await api.delivery(id)]);
    drawTables();
  } catch (refused) {
    say("connecting", refused.message);
  }
}

async function showPlaced(id) {
  await readDelivery(id);
  choose({ kind: "delivery", id });
}

function drawTables() {
  deliveries.draw();
  drones.draw();
  card.draw();
}

function say(state, text = { live: "live", connecting: "reconnecting", lost: "no connection" }[state]) {
  $("#link").dataset.state = state;
  setText($("#link b"), text);
}

async function readCity() {
  world.setCity(await api.zones());
  map.refresh();
}

async function readLists() {
  world.setDeliveries(await api.someDeliveries());
  drawTables();
}

// Until the first answers are here nothing can be drawn: try until they come.
async function begin() {
  for (;;) {
    try {
      await readCity();
      await readLists();
      return;
    } catch (refused) {
      say("connecting", refused.message);
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
}

listen(
  {
    delivery: (event) => world.setStatus(event),
    deliveries: (event) => world.setDeliveries(event.deliveries),
    drones: (event) => world.setDrones(event.drones, event.whole, performance.now()),
    figures: (event) => tiles.show(event),
    zones: () => readCity().catch((refused) => say("connecting", refused.message)),
    reset: () => readLists().catch((refused) => say("connecting", refused.message)),
  },
  say,
);
begin();

let seen = -1;
setInterval(() => {
  setText($("#clock"), `${new Date().toISOString().slice(11, 19)} UTC`);
  const second = Math.floor(Date.now() / 1000); // ages grow even when nothing happens
  if (seen !== world.version + second) drawTables();
  seen = world.version + second;
}, TABLES_MS);

// For tests and for the curious: what the page knows.
window.droneDispatch = { world, map };
