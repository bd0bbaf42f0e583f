// The no-fly area that is being drawn, over the map: its corners, and the drones and routes that it would touch.

import { palette } from "./palette.js";

const GRIP_PX = 12;

// The number of the corner that a pointer at these pixels takes hold of, or -1.
export function gripAt(view, ring, px, py) {
  return ring.findIndex((corner) => {
    const at = view.metres(corner.lat, corner.lon);
    return Math.hypot(view.px(at.x) - px, view.py(at.y) - py) < GRIP_PX;
  });
}

// `sketch`: {ring, touched: {inside, routes} or null}.
export function drawSketch(ctx, world, { ring, touched }) {
  const view = world.projection;
  const points = ring.map(({ lat, lon }) => view.metres(lat, lon)).map(({ x, y }) => [view.px(x), view.py(y)]);
  ctx.strokeStyle = palette.nofly;
  ctx.lineWidth = 2;
  for (const id of touched?.routes || []) way(ctx, view, world.drones.get(id));
  for (const id of [...(touched?.routes || []), ...(touched?.inside || [])]) {
    const drone = world.drones.get(id);
    if (!drone) continue;
    ctx.beginPath();
    ctx.arc(view.px(drone.x), view.py(drone.y), 13, 0, 7);
    ctx.stroke();
  }
  if (points.length === 0) return;
  ctx.beginPath();
  for (const [px, py] of points) ctx.lineTo(px, py);
  ctx.closePath();
  ctx.fillStyle = palette["nofly-fill"];
  ctx.fill();
  ctx.setLineDash([6, 4]);
  ctx.stroke();
  ctx.setLineDash([]);
  for (const [px, py] of points) {
    ctx.beginPath();
    ctx.arc(px, py, 5, 0, 7);
    ctx.fillStyle = palette.panel;
    ctx.fill();
    ctx.stroke();
  }
}

function way(ctx, view, drone) {
  if (!drone) return;
  ctx.beginPath();
  ctx.moveTo(view.px(drone.x), view.py(drone.y));
  for (const point of drone.route) ctx.lineTo(view.px(point.x), view.py(point.y));
  ctx.stroke();
}

// Where the Enter key puts a corner or an end of an order: the middle of the map.
export function drawCrosshair(ctx, view) {
  const [px, py] = [view.width / 2, view.height / 2];
  for (const [colour, width] of [[palette.halo, 4], [palette.ink, 1.5]]) {
    ctx.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      ctx.moveTo(px + 4 * dx, py + 4 * dy);
      ctx.lineTo(px + 14 * dx, py + 14 * dy);
    }
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.stroke();
  }
}
