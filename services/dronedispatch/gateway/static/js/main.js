// Ties the parts of the dashboard together.

import * as api from "./api.js";
import { BatteryLog } from "./battery_log.js";
import { ActionDialog } from "./bulk.js";
import { Card } from "./card.js";
import { $, h, setText } from "./dom.js";
import { ExceptionBar } from "./exception_bar.js";
import { FigureTiles } from "./figures.js";
import { FocusKeeper } from "./focus.js";
import { clock, setLocal, zone } from "./format.js";
import { SystemHealth } from "./health.js";
import { CityMap } from "./map.js";
import { NoFlyDrawing } from "./no_fly.js";
import { now, told } from "./now.js";
import { OrderForm } from "./order_form.js";
import { Pace } from "./pace.js";
import { startTheme } from "./palette.js";
import { Place } from "./place.js";
import { Search } from "./search.js";
import { OperatorSession } from "./session.js";
import { Stream } from "./stream.js";
import { DeliveryTable, DroneTable } from "./tables.js";
import { World } from "./world.js";

const TABLES_MS = 400;
const FIGURES_OLD_MS = 6000; // three times what a gateway waits between two
let lastFigures = null;
let figuresAt = 0; // performance.now() of the last ones
let following = null; // the id of the drone that stays in the middle
const LEGEND = [
  ["idle", "idle"], ["busy", "busy"], ["charging", "charging"], ["retiring", "retiring"], ["inactive", "inactive"],
  ["nofly", "no-fly", "square"], ["charge", "charge point", "square"], ["pending", "waiting order", "square"],
];

startTheme($("#theme"));
const world = new World();
const focus = new FocusKeeper();
const tiles = new FigureTiles($("#figures"));
const map = new CityMap($(".map"), world, {
  onChoose: choose,
  onPlace: (pos) => (noFly.active ? noFly.add(pos) : form.pick(pos)),
  onCornerMoved: (at, pos) => noFly.move(at, pos),
  onCornerBack: () => noFly.takeCornerBack(),
});
const batteries = new BatteryLog();
const session = new OperatorSession($("#operator"), $("#sign-in"));
const action = new ActionDialog($("#action"), { session, onChanged: (one) => take([one]) });
const noFly = new NoFlyDrawing($("#no-fly"), $("#no-fly-open"), world, {
  session,
  onCity: (city, etag) => world.setCity(city, etag) && map.refresh(),
  onSketch: showSketch,
});
const hands = {
  onChoose: choose,
  onEnter: enter,
  onLeave: leaveCard,
  act: (what, ids) => action.open(what, ids),
  onSearch: () => search.begin(),
  locate,
  follow: (id) => (following = id),
  batteries,
};
const deliveries = new DeliveryTable(world, hands);
const drones = new DroneTable(world, hands);
const card = new Card($("#card"), world, hands);
const place = new Place((what) => choose(what, true));
const search = new Search($("#system-search"), $("#delivery-search"), {
  onChoose: choose,
  onFound: take,
  onSpan: drawTables,
  status: () => deliveries.status,
  isDrone: (id) => world.drones.has(id),
});
for (const table of [deliveries, drones]) {
  $("[data-clear]", table.empty).addEventListener("click", () => {
    table.search.value = "";
    search.clear();
    table.setStatus(null);
    bar.clear();
  });
}
const form = new OrderForm($("#order-form"), world, { onPlaced: showPlaced, onDraft: () => map.refresh() });
for (const [tone, text, shape] of LEGEND) $("#legend").append(h("span", { tone }, h("i", { class: shape || "" }), text));
const health = new SystemHealth($("#health"), $("#health-reasons"), () => drawExceptions());
const bar = new ExceptionBar($("#exceptions"), { onFilter: filter, onPress: openException, onSystem: () => health.open(true) });
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

// By keyboard: past the bar and the map, to the search of the open table, into the card and back to where it was opened.
$("#skip").addEventListener("click", () => $(".tabs [aria-selected=true]").focus());
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, dialog");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if ($("#pane-drones").hidden) openTab("deliveries");
  ($("#pane-drones").hidden ? deliveries : drones).search.focus();
});

function enter(what) {
  choose(what);
  $("#card h3")?.focus({ preventScroll: true });
}

function leaveCard() {
  const { chosen } = world;
  const within = card.root.contains(document.activeElement);
  choose(null);
  const table = chosen?.kind === "drone" ? drones : deliveries;
  if (within) (table.pane.hidden ? $("#sky") : table.grid.here()).focus();
}

function filter(exception) {
  deliveries.only(exception?.kind === "delivery" ? exception : null);
  drones.only(exception?.kind === "drone" ? exception : null);
}

function openException(kind) {
  drawExceptions();
  if (kind) openTab(kind === "drone" ? "drones" : "deliveries");
  else drawTables();
}

function drawExceptions() {
  const seen = {
    deliveries: [...world.deliveries.values()],
    drones: [...world.drones.values()].map((drone) => drone.news),
    figures: lastFigures,
    health: health?.document,
  };
  bar.draw(seen, now());
}

function openTab(name) {
  for (const tab of tabs) {
    tab.setAttribute("aria-selected", String(tab.dataset.tab === name));
    tab.tabIndex = tab.dataset.tab === name ? 0 : -1;
    $(`#pane-${tab.dataset.tab}`).hidden = tab.dataset.tab !== name;
  }
  showSketch();
  drawTables();
}

// A click on the map sets a corner of a no-fly area, or an end of a new order, or chooses.
function showSketch() {
  map.setPlacing(noFly.active || !$("#pane-order").hidden);
  map.refresh();
}

// `quiet`: the address says it already.
function choose(what, quiet = false) {
  world.choose(what && what.kind, what && what.id);
  if (!quiet) place.show(what);
  if (what && what.kind === "delivery" && !world.deliveries.has(what.id)) readDelivery(what.id);
  if (what && what.kind === "drone" && !world.drones.has(what.id)) readDrone(what.id);
  map.refresh();
  drawTables();
}

function take(list) {
  world.setDeliveries(list);
  drawTables();
}

async function readDelivery(id) {
  try {
    take([await api.delivery(id)]);
  } catch (refused) {
    missing("delivery", id, refused, `There is no order ${id}.`, `Order ${id}`);
  }
}

// A drone that the map has not been told of yet comes with the next whole picture, or there is none.
async function readDrone(id) {
  try {
    await api.drone(id);
  } catch (refused) {
    missing("drone", id, refused, `There is no drone ${id}.`, `Drone ${id}`);
  }
}

// What could not be read is asked for again while its card is open; what does not exist is not.
function missing(kind, id, refused, none, name) {
  const gone = refused.problem.status === 404;
  card.missing = { kind, id, text: gone ? none : `${name} cannot be read now: ${refused.message}` };
  drawTables();
  if (gone) return;
  setTimeout(() => {
    const { chosen } = world;
    if (chosen?.kind === kind && chosen.id === id) choose(chosen, true);
  }, TRY_AGAIN_MS);
}

function locate(id) {
  const drone = world.drones.get(id);
  if (!drone) return;
  const view = world.projection;
  [view.x, view.y, view.touched] = [drone.x, drone.y, true];
  view.scale = Math.max(view.scale, 0.12);
  map.refresh();
}

async function showPlaced(id) {
  await readDelivery(id);
  choose({ kind: "delivery", id });
}

function drawTables() {
  deliveries.within = search.within;
  deliveries.draw();
  drones.draw();
  card.draw();
  noFly.draw();
  focus.look();
}

// `state`: live, connecting or stale. What the pill says is what the page knows, not what the socket says.
function say(state, text = state) {
  $("#link").dataset.state = state;
  document.body.dataset.news = state;
  setText($("#link b"), text);
}

function sayNews({ state, age_ms }) {
  if (state === "stale") say(state, `stale: nothing heard for ${Math.round(age_ms / 1000)} s`);
  else if (map.trouble) say("connecting", `not all is drawn: ${map.trouble}`);
  else if (state === "live" && world.cityBehind) say("connecting", "reading the new city");
  else if (state === "live" && lastFigures && performance.now() - figuresAt > FIGURES_OLD_MS) say("connecting", `key figures of ${clock(lastFigures.at)}`);
  else say(state);
}

// Beside the clock, and at every field for a moment.
function sayZone() {
  for (const one of document.querySelectorAll(".zone")) setText(one, zone());
}

const TRY_AGAIN_MS = 1000;

// `work` until it succeeds, one at a time: whoever asks meanwhile waits for the same, and for once more after it.
function persistently(work) {
  let running = null;
  let again = false;
  return () => {
    again = true;
    running ??= (async () => {
      while (again) {
        again = false;
        try {
          await work();
        } catch (error) {
          if (!(error instanceof api.Refused)) console.error(error);
          again = true;
          await new Promise((done) => setTimeout(done, TRY_AGAIN_MS));
        }
      }
      running = null;
    })();
    return running;
  };
}

// The city is at least as new as the page was told: another gateway may answer with an older one.
const readCityAgain = persistently(async () => {
  const { city, etag } = await api.zones();
  if (world.setCity(city, etag)) map.refresh();
  if (world.cityBehind) throw new api.Refused({ title: "an older city" });
});

function readCity(version) {
  world.wantCity(version);
  return readCityAgain();
}

// What the lists say is the whole truth of what is open: an order that they do not name has ended, or is asked for.
async function readLists() {
  const missing = world.reconcile(await api.someDeliveries());
  const found = await Promise.allSettled(missing.slice(0, 100).map((id) => api.delivery(id)));
  world.setDeliveries(found.filter((one) => one.status === "fulfilled").map((one) => one.value));
  world.drop(missing.filter((id, at) => !found[at] || found[at].reason?.problem?.status === 404));
  drawTables();
  const unread = found.find((one) => one.status === "rejected" && one.reason.problem?.status !== 404);
  if (unread) throw unread.reason; // it may be open still: it stays, and all is read again
}

const readListsAgain = persistently(readLists);
const rows = new Pace(drawTables);

function showFigures(figures) {
  lastFigures = figures;
  figuresAt = performance.now();
  tiles.show(figures);
}

const stream = new Stream(
  {
    delivery: (event) => {
      world.setStatus(event);
      rows.ask();
    },
    deliveries: (event) => {
      world.setDeliveries(event.deliveries);
      rows.ask();
    },
    drones: (event) => {
      world.setDrones(event.drones, event.whole, performance.now());
      batteries.note(event.drones, Date.now());
    },
    figures: showFigures,
    zones: (event) => readCity(event.version),
    beat: (event) => {
      told(event.at);
      if (world.isOlderThan(event.zones)) readCity(event.zones);
    },
    reset: () => {
      readListsAgain();
      readCity();
    },
  },
  sayNews,
  () => [
    ["drones", { drones: [...world.drones.values()].map((drone) => drone.news), whole: true }],
    ...(lastFigures ? [["figures", lastFigures]] : []),
  ],
);
readCity();
readListsAgain();

$("#clock").addEventListener("click", () => {
  setLocal(zone() === "UTC");
  sayZone();
  drawTables();
});
choose(place.read(), true);

let seen = -1;
setInterval(() => {
  setText($("#clock .time"), clock(new Date(now()).toISOString()));
  sayZone();
  if (following && world.drones.has(following)) locate(following);
  const second = Math.floor(Date.now() / 1000); // ages grow even when nothing happens
  if (seen !== world.version + second) {
    drawExceptions();
    drawTables();
  }
  seen = world.version + second;
}, TABLES_MS);

// For tests and for the curious: what the page knows.
window.droneDispatch = { world, map, stream, health, session };
