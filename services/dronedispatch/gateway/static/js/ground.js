// The map under the drones: drawn when the view, the city or the theme changes, not with every frame.

import { palette } from "./palette.js";
import { polygons } from "./projection.js";

export function drawGround(ctx, world) {
  const view = world.projection;
  ctx.fillStyle = palette.map;
  ctx.fillRect(0, 0, view.width, view.height);
  grid(ctx, view);
  const of = (kind) => world.features.filter((feature) => feature.properties.kind === kind);
  for (const zone of of("zone")) area(ctx, view, zone, { fill: palette["zone-fill"], line: palette.zone, width: 1, dash: [5, 5] });
  for (const zone of of("zone")) zoneLabel(ctx, view, zone);
  for (const boundary of of("boundary")) area(ctx, view, boundary, { line: palette.zone, width: 2 });
  for (const ban of of("no_fly")) noFly(ctx, view, ban);
  for (const point of of("charge_point")) chargePoint(ctx, view, point);
}

function grid(ctx, view) {
  const step = [250, 500, 1000, 2000, 5000, 10000].find((metres) => metres * view.scale > 46) || 20000;
  const low = view.at(0, view.height);
  const high = view.at(view.width, 0);
  ctx.strokeStyle = palette["map-grid"];
  ctx.lineWidth = 1;
  ctx.beginPath();
  for (let x = Math.ceil(low.x / step) * step; x < high.x; x += step) {
    ctx.moveTo(Math.round(view.px(x)) + 0.5, 0);
    ctx.lineTo(Math.round(view.px(x)) + 0.5, view.height);
  }
  for (let y = Math.ceil(low.y / step) * step; y < high.y; y += step) {
    ctx.moveTo(0, Math.round(view.py(y)) + 0.5);
    ctx.lineTo(view.width, Math.round(view.py(y)) + 0.5);
  }
  ctx.stroke();
}

// every ring of a Polygon or MultiPolygon: filled by "evenodd", a hole stays open
function trace(ctx, view, geometry) {
  ctx.beginPath();
  for (const ring of polygons(geometry).flat()) {
    ring.forEach(([lon, lat], i) => {
      const { x, y } = view.metres(lat, lon);
      if (i) ctx.lineTo(view.px(x), view.py(y));
      else ctx.moveTo(view.px(x), view.py(y));
    });
    ctx.closePath();
  }
}

// the outer ring with the most corners: where a label goes
function mainRing(geometry) {
  return polygons(geometry).map((rings) => rings[0]).reduce((a, b) => (b.length > a.length ? b : a));
}

function area(ctx, view, feature, { fill, line, width, dash = [] }) {
  trace(ctx, view, feature.geometry);
  if (fill) {
    ctx.fillStyle = fill;
    ctx.fill("evenodd");
  }
  ctx.setLineDash(dash);
  ctx.strokeStyle = line;
  ctx.lineWidth = width;
  ctx.stroke();
  ctx.setLineDash([]);
}

function middle(view, ring) {
  const points = ring.slice(0, -1).map(([lon, lat]) => view.metres(lat, lon));
  const x = points.reduce((sum, p) => sum + p.x, 0) / points.length;
  const y = points.reduce((sum, p) => sum + p.y, 0) / points.length;
  return { x: view.px(x), y: view.py(y), top: Math.min(...points.map((p) => view.py(p.y))), left: Math.min(...points.map((p) => view.px(p.x))), right: Math.max(...points.map((p) => view.px(p.x))) };
}

// As much of a name as is no wider than its area: the next one's stands beside it.
export function fitting(ctx, text, width) {
  const wide = (one) => ctx.measureText(one).width;
  if (wide(text) <= width) return text;
  const letters = [...text];
  letters.length = Math.max(0, Math.ceil((letters.length * width) / wide(text)));
  while (letters.length && wide(`${letters.join("")}…`) > width) letters.pop();
  return letters.length ? `${letters.join("")}…` : "";
}

function zoneLabel(ctx, view, zone) {
  const at = middle(view, mainRing(zone.geometry));
  ctx.font = "600 11px ui-sans-serif, system-ui, sans-serif";
  ctx.textAlign = "left";
  ctx.fillStyle = palette.label;
  ctx.globalAlpha = 0.75;
  ctx.fillText(fitting(ctx, (zone.properties.name || zone.properties.id).toUpperCase(), at.right - at.left - 16), at.left + 10, at.top + 20);
  ctx.globalAlpha = 1;
}

function noFly(ctx, view, ban) {
  const ring = mainRing(ban.geometry);
  ctx.save();
  trace(ctx, view, ban.geometry);
  ctx.fillStyle = palette["nofly-fill"];
  ctx.fill("evenodd");
  ctx.clip("evenodd");
  const points = ring.map(([lon, lat]) => view.metres(lat, lon));
  const left = Math.min(...points.map((p) => view.px(p.x)));
  const right = Math.max(...points.map((p) => view.px(p.x)));
  const top = Math.min(...points.map((p) => view.py(p.y)));
  const bottom = Math.max(...points.map((p) => view.py(p.y)));
  ctx.strokeStyle = palette.nofly;
  ctx.globalAlpha = 0.35;
  ctx.lineWidth = 1;
  ctx.beginPath();
  for (let x = left - (bottom - top); x < right; x += 7) {
    ctx.moveTo(x, bottom);
    ctx.lineTo(x + (bottom - top), top);
  }
  ctx.stroke();
  ctx.restore();
  area(ctx, view, ban, { line: palette.nofly, width: 1.4 });
  if (right - left > 60) {
    const at = middle(view, ring);
    label(ctx, ban.properties.name || ban.properties.id, at.x, bottom + 13, palette.nofly);
  }
}

export function label(ctx, text, x, y, colour) {
  ctx.font = "550 11px ui-sans-serif, system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.lineWidth = 3;
  ctx.strokeStyle = palette.halo;
  ctx.globalAlpha = 0.8;
  ctx.strokeText(text, x, y);
  ctx.globalAlpha = 1;
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}

function chargePoint(ctx, view, point) {
  const [lon, lat] = point.geometry.coordinates;
  const { x, y } = view.metres(lat, lon);
  const px = view.px(x);
  const py = view.py(y);
  const r = view.scale > 0.03 ? 9 : 7;
  ctx.beginPath();
  ctx.roundRect(px - r, py - r, 2 * r, 2 * r, 4);
  ctx.fillStyle = palette.panel;
  ctx.fill();
  ctx.lineWidth = 1.6;
  ctx.strokeStyle = palette.charge;
  ctx.stroke();
  ctx.beginPath(); // a bolt
  for (const [dx, dy] of [[0.15, -0.7], [-0.45, 0.15], [-0.02, 0.15], [-0.15, 0.7], [0.45, -0.15], [0.02, -0.15]]) ctx.lineTo(px + dx * r, py + dy * r);
  ctx.closePath();
  ctx.fillStyle = palette.charge;
  ctx.fill();
  if (view.scale > 0.05) label(ctx, `${point.properties.name || point.properties.id} · ${point.properties.capacity}`, px, py + r + 13, palette.charge);
}
