// A new order: two points on the map, a weight, a priority.

import * as api from "./api.js";
import { h } from "./dom.js";
import { clock, kept, shortId, zone } from "./format.js";

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
      this.mark(new Map());
      this.changed();
    });
    form.addEventListener("input", ({ target }) => {
      this.accept(target.name.split(".")[0]);
      this.readDraft();
    });
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
    this.mark(new Map());
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
    if (this.sending) return;
    const button = this.form.querySelector("[type=submit]");
    this.sending = true;
    button.setAttribute("aria-disabled", "true"); // `disabled` would take the focus away
    try {
      const placed = await api.placeOrder(this.body());
      this.mark(new Map());
      this.say("delivered", `Order ${shortId(placed.id)} is stored. ${placed.eta ? `Expected by ${clock(placed.eta.at)} ${zone()}: ${kept(placed.eta.confidence)}.` : ""}`);
      this.world.draft = { origin: null, destination: null };
      for (const name of ["origin.lat", "origin.lon", "destination.lat", "destination.lon"]) this.form.elements[name].value = "";
      this.changed();
      this.onPlaced(placed.id);
    } catch (refused) {
      this.mark(wrongFields(refused.problem));
      this.say("failed", wrongText(refused));
    } finally {
      this.sending = false;
      button.removeAttribute("aria-disabled");
    }
  }

  // What was wrong with a field is not said of its next value.
  accept(field) {
    for (const input of this.form.querySelectorAll("[aria-invalid=true]")) {
      if (input.name.split(".")[0] !== field) continue;
      input.setAttribute("aria-invalid", "false");
      input.removeAttribute("aria-describedby");
      input.parentElement.querySelector(".wrong")?.remove();
    }
  }

  say(tone, text) {
    this.answer.hidden = false;
    this.answer.style.setProperty("--tone", `var(--${tone})`);
    this.answer.textContent = text;
  }

  // `wrong`: field -> what is wrong with it; a field that is an object stands for all in it.
  mark(wrong) {
    for (const note of this.form.querySelectorAll(".wrong")) note.remove();
    for (const input of this.form.querySelectorAll("input, select")) {
      const field = [...wrong.keys()].find((one) => input.name === one || input.name.startsWith(`${one}.`));
      input.setAttribute("aria-invalid", String(field !== undefined));
      input.removeAttribute("aria-describedby");
      if (field === undefined) continue;
      const id = `wrong-${input.name.replace(".", "-")}`;
      input.setAttribute("aria-describedby", id);
      input.parentElement.append(h("span", { class: "wrong", id }, wrong.get(field)));
    }
    this.form.querySelector("[aria-invalid=true]")?.focus();
  }
}

// All that a problem document names, not only the first.
function wrongFields(problem) {
  const errors = problem.errors || (problem.field ? [{ field: problem.field, detail: problem.detail }] : []);
  return new Map(errors.map((error) => [error.field, error.detail]));
}

function wrongText(refused) {
  if (refused.unknown) return `Perhaps placed: ${refused.message}. Place it again as it is: it becomes one order, not two.`;
  const errors = refused.problem.errors || [];
  return errors.length > 1 ? errors.map((error) => `${error.field}: ${error.detail}`).join("; ") : refused.message;
}
