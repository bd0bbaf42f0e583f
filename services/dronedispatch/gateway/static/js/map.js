// The three canvases (ground, lines, drones) and the hands on them: pan, zoom, choose, place.

import { h } from "./dom.js";
import { drawGround } from "./ground.js";
import { gripAt } from "./no_fly_sketch.js";
import { onTheme } from "./palette.js";
import { drawLines, drawSky, radius } from "./sky.js";

const REACH_PX = 16;
const LINES_MS = 100; // routes and trails change with the drones, and need not be as smooth

// The reason why `draw` failed, null when it did not; the console hears of each trouble once.
function attempt(draw, before) {
  try {
    draw();
    return null;
  } catch (error) {
    if (!before) console.error(error);
    return error.message;
  }
}

export class CityMap {
  // `hands`: {onChoose(what), onPlace(pos), onCornerMoved(at, pos), onCornerBack()}.
  constructor(root, world, hands) {
    this.world = world;
    this.hands = hands;
    this.placing = false;
    this.layers = { routes: true, trails: true, batteries: true, orders: true };
    this.ground = root.querySelector("#ground");
    this.sky = root.querySelector("#sky");
    this.lines = h("canvas", { id: "lines" });
    this.sky.before(this.lines);
    this.linesDrawn = 0; // when
    this.framesDrawn = 0; // how many
    this.scaleBar = root.querySelector("#scale span");
    this.stale = true;
    this.groundTrouble = null; // why the last drawing is not whole
    this.skyTrouble = null;
    this.pointers = new Map();
    new ResizeObserver(() => this.resize()).observe(root);
    onTheme(() => this.refresh());
    this.listen(root);
    this.switches(root.querySelector("#layers"));
    this.resize();
    requestAnimationFrame((now) => this.frame(now));
  }

  refresh() {
    this.stale = true;
  }

  setPlacing(on) {
    this.placing = on;
    this.sky.classList.toggle("placing", on);
    this.aim();
  }

  aim() {
    this.world.crosshair = this.placing && this.sky.matches(":focus-visible");
    this.stale = true;
  }

  resize() {
    const box = this.sky.getBoundingClientRect();
    const ratio = Math.min(devicePixelRatio || 1, 2);
    this.ratio = ratio;
    for (const canvas of [this.ground, this.lines, this.sky]) {
      canvas.width = Math.round(box.width * ratio);
      canvas.height = Math.round(box.height * ratio);
      canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    this.world.projection.resize(box.width, box.height);
    this.stale = true;
  }

  // One loop for the life of the page: what cannot be drawn is said (`trouble`), and the next frame comes all the same.
  frame(now) {
    const began = performance.now();
    const { stale } = this;
    this.stale = false;
    if (stale) {
      this.groundTrouble = attempt(() => {
        drawGround(this.ground.getContext("2d"), this.world);
        this.measure();
      }, this.groundTrouble);
    }
    if (stale || now < this.world.movingUntil + 400 || this.drawn !== this.world.version) {
      this.skyTrouble = attempt(() => {
        this.world.move(now);
        if (stale || now - this.linesDrawn >= LINES_MS) {
          drawLines(this.lines.getContext("2d"), this.world, this.layers);
          this.linesDrawn = now;
        }
        drawSky(this.sky.getContext("2d"), this.world, this.layers, this.ratio);
      }, this.skyTrouble);
      this.drawn = this.world.version;
      this.framesDrawn += 1;
    }
    this.cost = performance.now() - began;
    requestAnimationFrame((next) => this.frame(next));
  }

  get trouble() {
    return this.groundTrouble || this.skyTrouble;
  }

  measure() {
    const metres = [50, 100, 200, 500, 1000, 2000, 5000, 10000].find((m) => m * this.world.projection.scale > 60) || 10000;
    this.scaleBar.style.width = `${Math.round(metres * this.world.projection.scale)}px`;
    this.scaleBar.textContent = metres < 1000 ? `${metres} m` : `${metres / 1000} km`;
  }

  switches(bar) {
    for (const name of Object.keys(this.layers)) {
      const button = h("button", { class: "chip", type: "button", "aria-pressed": "true" }, name);
      button.addEventListener("click", () => {
        this.layers[name] = !this.layers[name];
        button.setAttribute("aria-pressed", String(this.layers[name]));
        this.stale = true;
      });
      bar.append(button);
    }
  }

  listen(root) {
    const view = this.world.projection;
    const act = (change) => () => {
      change();
      this.stale = true;
    };
    root.querySelector("#zoom-in").addEventListener("click", act(() => view.zoom(1.5)));
    root.querySelector("#zoom-out").addEventListener("click", act(() => view.zoom(1 / 1.5)));
    root.querySelector("#zoom-fit").addEventListener("click", act(() => view.fit()));
    this.sky.addEventListener("wheel", (event) => {
      event.preventDefault();
      view.zoom(Math.exp(-event.deltaY * 0.0016), event.offsetX, event.offsetY);
      this.stale = true;
    }, { passive: false });
    this.sky.addEventListener("pointerdown", (event) => this.down(event));
    this.sky.addEventListener("pointermove", (event) => this.moved(event));
    this.sky.addEventListener("pointerup", (event) => this.up(event));
    this.sky.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    this.sky.addEventListener("keydown", (event) => this.key(event));
    for (const name of ["focus", "blur", "pointerdown"]) this.sky.addEventListener(name, () => this.aim());
  }

  down(event) {
    this.sky.setPointerCapture(event.pointerId);
    const { sketch, projection } = this.world;
    const corner = sketch ? gripAt(projection, sketch.ring, event.offsetX, event.offsetY) : -1;
    this.pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY, far: 0, corner });
  }

  moved(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.sky.classList.toggle("over", !this.placing && this.find(event.offsetX, event.offsetY) !== null);
      return;
    }
    const dx = event.offsetX - before.x;
    const dy = event.offsetY - before.y;
    const far = before.far + Math.abs(dx) + Math.abs(dy);
    const { corner } = before;
    if (corner >= 0 && far > 4) {
      const at = this.world.projection.at(event.offsetX, event.offsetY);
      this.hands.onCornerMoved(corner, this.world.projection.degrees(at.x, at.y));
    } else if (this.pointers.size === 1 && far > 4) {
      this.sky.classList.add("dragging");
      this.world.projection.pan(dx, dy);
    } else if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const was = Math.hypot(before.x - other.x, before.y - other.y);
      const is = Math.hypot(event.offsetX - other.x, event.offsetY - other.y);
      if (was > 0) this.world.projection.zoom(is / was, other.x, other.y);
    }
    this.pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY, far, corner });
    this.stale = true;
  }

  up(event) {
    const pressed = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    this.sky.classList.remove("dragging");
    if (!pressed || pressed.far > 8) return;
    const view = this.world.projection;
    const at = view.at(event.offsetX, event.offsetY);
    if (this.placing) this.hands.onPlace(view.degrees(at.x, at.y));
    else this.hands.onChoose(this.find(event.offsetX, event.offsetY));
  }

  key(event) {
    const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    const view = this.world.projection;
    if (steps[event.key]) view.pan(...steps[event.key]);
    else if (event.key === "+" || event.key === "=") view.zoom(1.3);
    else if (event.key === "-") view.zoom(1 / 1.3);
    else if (event.key === "0") view.fit();
    else if (event.key === "Enter" && this.placing) this.hands.onPlace(view.degrees(view.x, view.y));
    else if (event.key === "Backspace" && this.world.sketch) this.hands.onCornerBack();
    else if (event.key === "Escape" && !this.world.sketch) this.hands.onChoose(null);
    else return;
    event.preventDefault();
    this.stale = true;
  }

  // The drone, or else the waiting order, nearest to a pixel.
  find(px, py) {
    const view = this.world.projection;
    let best = null;
    let reach = Math.max(REACH_PX, radius(view, this.world.drones.size) * 1.6);
    for (const [id, drone] of this.world.drones) {
      const away = Math.hypot(view.px(drone.x) - px, view.py(drone.y) - py);
      if (away < reach) [best, reach] = [{ kind: "drone", id }, away];
    }
    if (best || !this.layers.orders) return best;
    for (const delivery of this.world.deliveries.values()) {
      if (delivery.status !== "pending") continue;
      const at = view.metres(delivery.origin.lat, delivery.origin.lon);
      const away = Math.hypot(view.px(at.x) - px, view.py(at.y) - py);
      if (away < reach) [best, reach] = [{ kind: "delivery", id: delivery.id }, away];
    }
    return best;
  }
}
