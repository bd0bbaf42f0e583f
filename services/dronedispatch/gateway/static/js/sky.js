// Everything that moves, in two layers: the lines under the drones, which change a few times a second, and the drones, which
// change with every frame. Above CROWD drones only the chosen one's route and trail are drawn: of all they are a scribble.

import { label } from "./ground.js";
import { drawCrosshair, drawSketch } from "./no_fly_sketch.js";
import { palette } from "./palette.js";
import { drawDrone, isMoving, sizeOf, toneOf } from "./sprites.js";
import { isOpen } from "./world.js";

export const CROWD = 150;

// Orders, routes, trails.
export function drawLines(ctx, world, layers) {
  const view = world.projection;
  ctx.clearRect(0, 0, view.width, view.height);
  if (layers.orders) orders(ctx, view, world);
  const chosen = chosenDrone(world);
  const drones = world.drones.size > CROWD ? (chosen ? [chosen] : []) : [...world.drones.values()];
  if (layers.routes) routes(ctx, view, drones, 0.5);
  if (layers.trails) trails(ctx, view, drones);
}

// The drones, and what is chosen.
export function drawSky(ctx, world, layers, ratio = 1) {
  const view = world.projection;
  ctx.clearRect(0, 0, view.width, view.height);
  const r = radius(view, world.drones.size);
  chosenBelow(ctx, view, world);
  const shown = [];
  for (const drone of world.drones.values()) {
    const px = view.px(drone.x);
    const py = view.py(drone.y);
    if (px < -20 || py < -20 || px > view.width + 20 || py > view.height + 20) continue;
    shown.push(drone);
    if (!isMoving(drone)) drawDrone(ctx, px, py, drone, r, ratio);
  }
  for (const drone of shown) if (isMoving(drone)) drawDrone(ctx, view.px(drone.x), view.py(drone.y), drone, r, ratio);
  if (layers.batteries && r >= 4.4) for (const drone of shown) battery(ctx, view, drone, r);
  draft(ctx, view, world);
  if (world.sketch) drawSketch(ctx, world, world.sketch);
  if (world.crosshair) drawCrosshair(ctx, view);
  chosenAbove(ctx, view, world, r, ratio);
}

export function radius(view, count) {
  const crowd = count > 2000 ? 2.2 : count > 600 ? 3 : count > 200 ? 4 : 5.4;
  return Math.max(crowd, Math.min(9, crowd * (view.scale / 0.035) ** 0.35));
}

function orders(ctx, view, world) {
  for (const delivery of world.deliveries.values()) {
    if (delivery.status !== "pending") continue;
    const at = view.metres(delivery.origin.lat, delivery.origin.lon);
    const px = view.px(at.x);
    const py = view.py(at.y);
    ctx.beginPath();
    ctx.moveTo(px, py - 5);
    ctx.lineTo(px + 5, py);
    ctx.lineTo(px, py + 5);
    ctx.lineTo(px - 5, py);
    ctx.closePath();
    ctx.fillStyle = palette.pending;
    ctx.fill();
    ctx.strokeStyle = palette.halo;
    ctx.lineWidth = 1;
    ctx.stroke();
  }
}

function routes(ctx, view, drones, alpha) {
  ctx.globalAlpha = alpha;
  ctx.lineWidth = 1.2;
  ctx.setLineDash([4, 4]);
  for (const status of ["busy", "charging", "retiring"]) {
    ctx.strokeStyle = palette[status];
    ctx.beginPath();
    for (const drone of drones) {
      if (drone.news.status !== status || !drone.route.length || !isMoving(drone)) continue;
      ctx.moveTo(view.px(drone.x), view.py(drone.y));
      for (const point of drone.route) ctx.lineTo(view.px(point.x), view.py(point.y));
    }
    ctx.stroke();
  }
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

function trails(ctx, view, drones) {
  ctx.lineWidth = 2;
  ctx.lineCap = "round";
  const pieces = 3; // of falling strength
  for (const status of ["busy", "charging", "retiring", "idle"]) {
    ctx.strokeStyle = palette[status];
    for (let piece = 0; piece < pieces; piece += 1) {
      ctx.globalAlpha = (0.5 * (piece + 1)) / pieces;
      ctx.beginPath();
      for (const drone of drones) {
        if (drone.news.status !== status || drone.trail.length < 2 || !isMoving(drone)) continue;
        const points = [...drone.trail, drone];
        const from = Math.floor((points.length * piece) / pieces);
        const to = Math.floor((points.length * (piece + 1)) / pieces);
        ctx.moveTo(view.px(points[from].x), view.py(points[from].y));
        for (let i = from + 1; i <= Math.min(to, points.length - 1); i += 1) ctx.lineTo(view.px(points[i].x), view.py(points[i].y));
      }
      ctx.stroke();
    }
  }
  ctx.globalAlpha = 1;
}

function battery(ctx, view, drone, r) {
  const percent = drone.news.battery_pct;
  if (drone.news.status === "inactive" && percent >= 40) return; // parked and full: nothing to tell
  const px = view.px(drone.x);
  const py = view.py(drone.y);
  const size = r * (isMoving(drone) ? 1.5 : 0.95) * sizeOf(drone) + 2.6;
  ctx.lineWidth = 1.6;
  ctx.beginPath();
  ctx.arc(px, py, size, -Math.PI / 2, -Math.PI / 2 + (2 * Math.PI * percent) / 100);
  ctx.strokeStyle = palette[percent < 15 ? "failed" : percent < 40 ? "pending" : "delivered"];
  const calm = drone.news.status === "idle" || drone.news.status === "inactive";
  ctx.globalAlpha = calm && percent >= 40 ? 0.38 : 0.9; // what stands still and is well does not ask for the eye
  ctx.stroke();
  ctx.globalAlpha = 1;
}

function pin(ctx, view, pos, colour, square) {
  const at = view.metres(pos.lat, pos.lon);
  const px = view.px(at.x);
  const py = view.py(at.y);
  ctx.beginPath();
  if (square) ctx.rect(px - 5, py - 5, 10, 10);
  else ctx.arc(px, py, 6, 0, 7);
  ctx.fillStyle = colour;
  ctx.fill();
  ctx.lineWidth = 2;
  ctx.strokeStyle = palette.halo;
  ctx.stroke();
  return { px, py };
}

function trip(ctx, view, from, to, colour) {
  const a = view.metres(from.lat, from.lon);
  const b = view.metres(to.lat, to.lon);
  ctx.beginPath();
  ctx.moveTo(view.px(a.x), view.py(a.y));
  ctx.lineTo(view.px(b.x), view.py(b.y));
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1.6;
  ctx.setLineDash([2, 5]);
  ctx.stroke();
  ctx.setLineDash([]);
}

function draft(ctx, view, world) {
  const { origin, destination } = world.draft;
  if (origin && destination) trip(ctx, view, origin, destination, palette.accent);
  if (origin) pin(ctx, view, origin, palette.accent, false);
  if (destination) pin(ctx, view, destination, palette.delivered, true);
}

function parcelOf(world) {
  if (!world.chosen) return null;
  if (world.chosen.kind === "delivery") return world.deliveries.get(world.chosen.id) || null;
  const drone = world.drones.get(world.chosen.id);
  return (drone && drone.news.delivery_id && world.deliveries.get(drone.news.delivery_id)) || null;
}

function chosenBelow(ctx, view, world) {
  const parcel = parcelOf(world);
  if (!parcel) return;
  trip(ctx, view, parcel.origin, parcel.destination, palette[parcel.status]);
  pin(ctx, view, parcel.origin, palette.accent, false);
  pin(ctx, view, parcel.destination, palette.delivered, true);
}

export function chosenDrone(world) {
  if (!world.chosen) return null;
  if (world.chosen.kind === "drone") return world.drones.get(world.chosen.id) || null;
  const parcel = world.deliveries.get(world.chosen.id);
  return (parcel && isOpen(parcel) && world.drones.get(parcel.drone_id)) || null;
}

function chosenAbove(ctx, view, world, r, ratio) {
  const drone = chosenDrone(world);
  if (!drone) return;
  const px = view.px(drone.x);
  const py = view.py(drone.y);
  if (drone.route.length) {
    ctx.beginPath();
    ctx.moveTo(px, py);
    for (const point of drone.route) ctx.lineTo(view.px(point.x), view.py(point.y));
    ctx.strokeStyle = palette[toneOf(drone)];
    ctx.lineWidth = 2.2;
    ctx.stroke();
  }
  drawDrone(ctx, px, py, drone, r, ratio);
  battery(ctx, view, drone, r);
  ctx.beginPath();
  ctx.arc(px, py, r * 1.6 + 9, 0, 7);
  ctx.lineWidth = 2;
  ctx.strokeStyle = palette.accent;
  ctx.stroke();
  label(ctx, drone.news.id, px, py - r * 1.6 - 12, palette.ink);
}
