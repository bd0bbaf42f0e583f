// A new order: two points on the map, a weight, a priority.

import * as api from "./api.js";
import { h } from "./dom.js";
import { clock, shortId } from "./format.js";

export class OrderForm {
  constructor(form, world, { onPlaced, onDraft }) {
    this.form = form;
    this.world = world;
    this.onPlaced = onPlaced;
    this.onDraft = onDraft;
    this.hint = form.querySelector("#order-hint");
    this.answer = form.querySelector("#order-answer");
    for (let p = 0; p < 10; p += 1) form.elements.priority.append(h("option", { value: p }, p === 0 ? "0 – normal" : p === 9 ? "9 – most urgent" : String(p)));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    form.addEventListener("reset", () => {
      this.world.draft = { origin: null, destination: null };
      this.answer.hidden = true;
      this.mark(null);
      this.changed();
    });
    form.addEventListener("input", () => this.readDraft());
  }

  // A click on the map: the origin, then the destination, then a new order begins.
  pick(pos) {
    const draft = this.world.draft;
    if (draft.origin && !draft.destination) draft.destination = pos;
    else this.world.draft = { origin: pos, destination: null };
    for (const end of ["origin", "destination"]) {
      const at = this.world.draft[end];
      this.form.elements[`${end}.lat`].value = at ? at.lat.toFixed(5) : "";
      this.form.elements[`${end}.lon`].value = at ? at.lon.toFixed(5) : "";
    }
    this.mark(null);
    this.changed();
  }

  readDraft() {
    for (const end of ["origin", "destination"]) {
      const lat = Number.parseFloat(this.form.elements[`${end}.lat`].value);
      const lon = Number.parseFloat(this.form.elements[`${end}.lon`].value);
      this.world.draft[end] = Number.isFinite(lat) && Number.isFinite(lon) ? { lat, lon } : null;
    }
    this.changed();
  }

  changed() {
    const { origin, destination } = this.world.draft;
    const text = !origin ? "Click the map: first the origin, then the destination." : !destination ? "Now click the destination." : "Ready. A further click begins anew.";
    this.hint.textContent = text;
    this.world.version += 1;
    this.onDraft();
  }

  body() {
    const number = (name) => {
      const text = this.form.elements[name].value.trim().replace(",", ".");
      return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text; // nonsense goes to the server as it is, and it says why not
    };
    return {
      origin: { lat: number("origin.lat"), lon: number("origin.lon") },
      destination: { lat: number("destination.lat"), lon: number("destination.lon") },
      weight: number("weight"),
      priority: Number(this.form.elements.priority.value),
    };
  }

  async submit() {
    const button = this.form.querySelector("[type=submit]");
    button.disabled = true;
    try {
      const placed = await api.placeOrder(this.body());
      this.mark(null);
      this.say("delivered", `Order ${shortId(placed.id)} is stored. Expected by ${clock(placed.eta.at)} UTC (${Math.round(placed.eta.confidence * 100)} % of such promises are kept).`);
      this.world.draft = { origin: null, destination: null };
      for (const name of ["origin.lat", "origin.lon", "destination.lat", "destination.lon"]) this.form.elements[name].value = "";
      this.changed();
      this.onPlaced(placed.id);
    } catch (refused) {
      this.mark(refused.problem.field || null);
      this.say("failed", refused.message);
    } finally {
      button.disabled = false;
    }
  }

  say(tone, text) {
    this.answer.hidden = false;
    this.answer.style.setProperty("--tone", `var(--${tone})`);
    this.answer.textContent = text;
  }

  mark(field) {
    for (const input of this.form.querySelectorAll("input, select")) {
      const wrong = field !== null && (input.name === field || input.name.startsWith(`${field}.`));
      input.setAttribute("aria-invalid", String(wrong));
    }
  }
}
