// Drones as small pictures, drawn once for each colour, class and heading: a frame then copies them, at any number.

import { onTheme, palette } from "./palette.js";

const HEADINGS = 36; // one each ten degrees
const SIZE = { light: 0.85, medium: 1, heavy: 1.2 };
const ARROW = [[0, 1.15], [0.78, -0.85], [0, -0.45], [-0.78, -0.85]];

const kept = new Map();
onTheme(() => kept.clear());

export const isMoving = (drone) => (drone.news.speed_mps || 0) > 0.1;
export const toneOf = (drone) => (drone.news.decommissioned ? "inactive" : drone.news.status);
export const sizeOf = (drone) => SIZE[drone.news.type] || 1;

export function drawDrone(ctx, px, py, drone, r, ratio) {
  const moving = isMoving(drone);
  const step = moving ? ((Math.round((drone.heading * HEADINGS) / 360) % HEADINGS) + HEADINGS) % HEADINGS : 0;
  const tone = toneOf(drone);
  const key = `${tone} ${drone.news.type} ${moving} ${step} ${r.toFixed(1)} ${ratio}`;
  let picture = kept.get(key);
  if (!picture) {
    if (kept.size > 4000) kept.clear(); // zooming makes new sizes
    picture = paint(tone, drone, moving, (step * 2 * Math.PI) / HEADINGS, r, ratio);
    kept.set(key, picture);
  }
  ctx.drawImage(picture.bitmap, px - picture.half, py - picture.half, 2 * picture.half, 2 * picture.half);
}

function paint(tone, drone, moving, angle, r, ratio) {
  const parked = drone.news.status === "inactive" || drone.news.decommissioned;
  const size = r * (moving ? 1.5 : parked ? 0.5 : 0.78) * sizeOf(drone);
  const half = Math.ceil(size * 1.25 + 2);
  const side = Math.ceil(2 * half * ratio);
  const canvas = new OffscreenCanvas(side, side);
  const ctx = canvas.getContext("2d");
  ctx.scale(side / (2 * half), side / (2 * half));
  ctx.translate(half, half);
  ctx.beginPath();
  if (moving) {
    const sin = Math.sin(angle);
    const cos = Math.cos(angle);
    for (const [right, ahead] of ARROW) ctx.lineTo((right * cos + ahead * sin) * size, (right * sin - ahead * cos) * size);
    ctx.closePath();
  } else {
    ctx.arc(0, 0, size, 0, 7);
  }
  ctx.fillStyle = palette[tone];
  ctx.fill();
  ctx.lineWidth = moving && r < 4.5 ? 0.6 : 1.2;
  ctx.lineJoin = "round";
  ctx.strokeStyle = palette.halo;
  ctx.stroke();
  return { bitmap: canvas.transferToImageBitmap(), half };
}
