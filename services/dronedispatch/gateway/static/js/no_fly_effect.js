// What a no-fly area would do before it is one: who is touched by it, and why the system would refuse it. Pure.
// A ring is a list of {lat, lon}, open (its last corner is not its first); a degree is straight enough within a city.

import { polygons } from "./projection.js";

const OPEN = new Set(["pending", "assigned", "in-progress"]);
export const CORNERS_MAX = 200; // what a hand draws; larger areas come from a file

// A text with a line "latitude, longitude" for each corner. `wrong`: a sentence for the first line that is none, or null.
export function cornersOf(text) {
  const ring = [];
  const lines = text.split("\n").map((line) => line.trim());
  for (const [at, line] of lines.entries()) {
    if (line === "") continue;
    const numbers = line.split(/[\s,;]+/).filter(Boolean).map(Number);
    const [lat, lon] = numbers;
    if (numbers.length !== 2 || !numbers.every(Number.isFinite)) return { ring, wrong: `Line ${at + 1} must be “latitude, longitude”, such as 41.89020, 12.49220` };
    if (Math.abs(lat) > 85 || Math.abs(lon) > 180) return { ring, wrong: `Line ${at + 1}: latitude is -85 to 85, longitude -180 to 180` };
    ring.push({ lat, lon });
  }
  return { ring, wrong: ring.length > CORNERS_MAX ? `At most ${CORNERS_MAX} corners are drawn by hand` : null };
}

export const textOf = (ring) => ring.map(({ lat, lon }) => `${lat.toFixed(5)}, ${lon.toFixed(5)}`).join("\n");

const edgesOf = (ring) => ring.map((corner, at) => [corner, ring[(at + 1) % ring.length]]);
const side = (a, b, c) => Math.sign((b.lon - a.lon) * (c.lat - a.lat) - (b.lat - a.lat) * (c.lon - a.lon));
const meet = (a, b, c, d) => side(a, b, c) !== side(a, b, d) && side(c, d, a) !== side(c, d, b);

export function holds(ring, at) {
  let inside = false;
  for (const [a, b] of edgesOf(ring)) {
    if (a.lat > at.lat !== b.lat > at.lat && at.lon < a.lon + ((b.lon - a.lon) * (at.lat - a.lat)) / (b.lat - a.lat)) inside = !inside;
  }
  return inside;
}

function crossesItself(ring) {
  const edges = edgesOf(ring);
  return edges.some(([a, b], i) => edges.some(([c, d], j) => j > i + 1 && !(i === 0 && j === edges.length - 1) && meet(a, b, c, d)));
}

const boxOf = (ring) => ({
  south: Math.min(...ring.map((one) => one.lat)),
  north: Math.max(...ring.map((one) => one.lat)),
  west: Math.min(...ring.map((one) => one.lon)),
  east: Math.max(...ring.map((one) => one.lon)),
});
const inBox = (box, at) => at.lat >= box.south && at.lat <= box.north && at.lon >= box.west && at.lon <= box.east;
const apart = (box, a, b) => (a.lat < box.south && b.lat < box.south) || (a.lat > box.north && b.lat > box.north) || (a.lon < box.west && b.lon < box.west) || (a.lon > box.east && b.lon > box.east);

const ringsOf = (feature) => polygons(feature.geometry).map((rings) => rings.map((ring) => ring.slice(0, -1).map(([lon, lat]) => ({ lat, lon }))));

function leavesTheCity(boundary, ring, box) {
  const parts = ringsOf(boundary);
  if (!ring.every((corner) => parts.some(([outer, ...holes]) => holds(outer, corner) && !holes.some((hole) => holds(hole, corner))))) return true;
  const walls = parts.flat().flatMap(edgesOf).filter(([a, b]) => !apart(box, a, b));
  if (walls.some(([a, b]) => edgesOf(ring).some(([c, d]) => meet(a, b, c, d)))) return true;
  return parts.some(([, ...holes]) => holes.some((hole) => holds(ring, hole[0])));
}

// Why the system would refuse it, a sentence each; it may refuse it for more (a charge point that would be walled in).
export function refusals(city, ring) {
  const found = [];
  const box = boxOf(ring);
  const of = (kind) => city.features.filter((feature) => feature.properties.kind === kind);
  if (crossesItself(ring)) found.push("its line crosses itself");
  if (of("boundary").some((boundary) => leavesTheCity(boundary, ring, box))) found.push("it reaches over the boundary of the city");
  for (const point of of("charge_point")) {
    const [lon, lat] = point.geometry.coordinates;
    if (inBox(box, { lat, lon }) && holds(ring, { lat, lon })) found.push(`the charge point ${point.properties.name || point.properties.id} is inside`);
  }
  return found;
}

function crossed(ring, box, way) {
  return way.slice(1).some((to, at) => !apart(box, way[at], to) && (holds(ring, to) || edgesOf(ring).some(([a, b]) => meet(a, b, way[at], to))));
}

// `drones`, `deliveries`: as the API shows them. Ids: `orders` that are fetched or delivered inside, `inside`: drones that are
// there now, `routes`: the other drones, whose way goes through it.
export function touched({ drones, deliveries }, ring) {
  const box = boxOf(ring);
  const within = (at) => inBox(box, at) && holds(ring, at);
  const ends = (one) => (one.status === "in-progress" ? [one.destination] : [one.origin, one.destination]);
  const orders = deliveries.filter((one) => OPEN.has(one.status) && ends(one).some(within)).map((one) => one.id);
  const inside = drones.filter((one) => within(one.pos)).map((one) => one.id);
  const there = new Set(inside);
  const routes = drones.filter((one) => !there.has(one.id) && crossed(ring, box, [one.pos, ...(one.route || [])])).map((one) => one.id);
  return { orders, inside, routes };
}
