// What is known of city, drones and deliveries, and the smooth motion between two positions.

import { polygons, Projection } from "./projection.js";

const TRAIL_STEP_M = 60; // between two points that are kept
const TRAIL_M = 3500;
const DELIVERIES_MAX = 3000;
const OPEN = new Set(["pending", "assigned", "in-progress"]);

export const isOpen = (delivery) => OPEN.has(delivery.status);

export class World {
  constructor() {
    this.projection = new Projection();
    this.features = [];
    this.drones = new Map();
    this.deliveries = new Map();
    this.interval = 1000; // ms between two positions of a drone, as measured
    this.chosen = null; // {kind: "drone" | "delivery", id}
    this.draft = { origin: null, destination: null };
    this.sketch = null; // a no-fly area that is being drawn: {ring, touched}
    this.crosshair = false; // the Enter key sets a point in the middle of the map
    this.version = 0; // counts changes that tables show
    this.movingUntil = 0;
    this.cityVersion = null; // of what is drawn
    this.wantedCity = null; // the newest that the page was told of
  }

  // Whether `version` ("epoch-n"; "0": the built-in city) is newer than the city that is drawn.
  isOlderThan(version) {
    return this.cityVersion === null || newer(version, this.cityVersion);
  }

  wantCity(version) {
    if (version && (this.wantedCity === null || newer(version, this.wantedCity))) this.wantedCity = version;
  }

  get cityBehind() {
    return this.cityVersion === null || (this.wantedCity !== null && newer(this.wantedCity, this.cityVersion));
  }

  // False: it is older than the one that is drawn, or than one that the page was told of.
  setCity(city, version) {
    if (this.cityVersion !== null && newer(this.cityVersion, version)) return false;
    if (this.wantedCity !== null && newer(this.wantedCity, version)) return false;
    this.cityVersion = version;
    this.features = city.features;
    const boundary = city.features.find((feature) => feature.properties.kind === "boundary");
    if (boundary) this.projection.setCity(polygons(boundary.geometry).flat(2));
    for (const drone of this.drones.values()) this.replace(drone);
    return true;
  }

  setDrones(list, whole, now) {
    if (whole) {
      const known = new Set(list.map((one) => one.id));
      for (const id of this.drones.keys()) if (!known.has(id)) this.drones.delete(id);
    }
    for (const news of list) this.setDrone(news, now);
    this.version += 1;
  }

  setDrone(news, now) {
    const to = this.projection.metres(news.pos.lat, news.pos.lon);
    let drone = this.drones.get(news.id);
    if (!drone) {
      drone = { x: to.x, y: to.y, from: to, to, t0: now, t1: now, trail: [], told: now, heading: news.heading_deg || 0 };
      this.drones.set(news.id, drone);
    } else if (to.x !== drone.to.x || to.y !== drone.to.y) {
      const gap = now - drone.told;
      if (gap > 40 && gap < 4000) this.interval += (gap - this.interval) * 0.02;
      const far = Math.hypot(to.x - drone.x, to.y - drone.y) > 12000 || now - drone.told > 20000;
      drone.from = far ? to : { x: drone.x, y: drone.y };
      drone.to = to;
      drone.t0 = now;
      drone.t1 = now + Math.min(2500, Math.max(120, this.interval * 1.08));
      this.movingUntil = Math.max(this.movingUntil, drone.t1);
      if (far) drone.trail.length = 0;
      extend(drone.trail, drone.from);
      drone.told = now;
    } else if (drone.trail.length && now - drone.told > 3000) {
      drone.trail.length = 0; // it has stood for a while: its trail has faded
    }
    drone.news = news;
    drone.route = (news.route || []).map((pos) => this.projection.metres(pos.lat, pos.lon));
  }

  replace(drone) {
    const to = this.projection.metres(drone.news.pos.lat, drone.news.pos.lon);
    Object.assign(drone, { x: to.x, y: to.y, from: to, to, t0: 0, t1: 0, trail: [] });
    drone.route = (drone.news.route || []).map((pos) => this.projection.metres(pos.lat, pos.lon));
  }

  // Where every drone is drawn at `now`.
  move(now) {
    for (const drone of this.drones.values()) {
      if (now >= drone.t1) {
        drone.x = drone.to.x;
        drone.y = drone.to.y;
      } else {
        const share = Math.max(0, (now - drone.t0) / (drone.t1 - drone.t0));
        drone.x = drone.from.x + (drone.to.x - drone.from.x) * share;
        drone.y = drone.from.y + (drone.to.y - drone.from.y) * share;
      }
      const turn = ((((drone.news.heading_deg || 0) - drone.heading) % 360) + 540) % 360 - 180;
      drone.heading += turn * 0.2;
    }
  }

  setDeliveries(list) {
    for (const news of list) {
      const known = this.deliveries.get(news.id);
      if (known && known.history.length > news.history.length) continue; // an older copy came later
      this.deliveries.delete(news.id); // told last, forgotten last
      this.deliveries.set(news.id, news);
    }
    if (this.deliveries.size > DELIVERIES_MAX) this.forget();
    this.version += 1;
  }

  // Take `list`, read just now, as the whole truth of what is open; returns the ids that are open here and not in it.
  reconcile(list) {
    const open = [...this.deliveries.values()].filter(isOpen).map((one) => one.id);
    const listed = new Set(list.map((one) => one.id));
    this.setDeliveries(list);
    return open.filter((id) => !listed.has(id));
  }

  drop(ids) {
    for (const id of ids) this.deliveries.delete(id);
    this.version += 1;
  }

  setStatus(event) {
    const known = this.deliveries.get(event.delivery_id);
    if (!known) return; // the whole document follows
    this.deliveries.set(event.delivery_id, { ...known, status: event.status, drone_id: event.drone_id || known.drone_id });
    this.version += 1;
  }

  forget() {
    const ended = [...this.deliveries.values()].filter((one) => !isOpen(one) && one.id !== this.chosen?.id);
    for (const one of ended.slice(0, Math.max(0, ended.length - DELIVERIES_MAX / 2))) this.deliveries.delete(one.id);
  }

  choose(kind, id) {
    this.chosen = kind ? { kind, id } : null;
    this.version += 1;
  }
}

// A trail is as long at any speed: points come closer or are skipped, the oldest go.
function extend(trail, point) {
  const last = trail[trail.length - 1];
  const step = last ? Math.hypot(point.x - last.x, point.y - last.y) : 0;
  if (last && step < TRAIL_STEP_M) return;
  trail.push({ x: point.x, y: point.y, step });
  let length = trail.reduce((sum, one) => sum + one.step, 0) - trail[0].step;
  while (trail.length > 2 && length > TRAIL_M) {
    trail.shift();
    length -= trail[0].step;
  }
}

// Versions are "epoch-n"; "0" is before all of them.
function newer(one, other) {
  const [a, b] = [one, other].map((text) => String(text).split(/\D+/).map(Number));
  for (let at = 0; at < Math.max(a.length, b.length); at += 1) {
    if ((a[at] || 0) !== (b[at] || 0)) return (a[at] || 0) > (b[at] || 0);
  }
  return false;
}
