// The exceptions with their counts; a click shows those alone, a second click all again.

import { h, setText } from "./dom.js";
import { exceptions } from "./exceptions.js";
import { count } from "./format.js";

export class ExceptionBar {
  // `hands.onFilter`: told with each drawing {kind, label, ids} of what alone is to be shown, or null for all.
  // `hands.onPress`: a filter was chosen ("delivery", "drone") or taken away (null). `hands.onSystem`: look at the system.
  constructor(root, hands) {
    this.root = root;
    this.hands = hands;
    this.active = null; // the name of the filter
    this.buttons = new Map();
    this.quiet = h("span", { class: "calm" }, "Nothing out of the ordinary");
    root.append(this.quiet);
  }

  // `seen`: {deliveries, drones, figures, health}.
  draw(seen, now) {
    const found = exceptions(seen, now);
    const names = new Set(found.map((one) => one.name));
    for (const [name, button] of this.buttons) {
      if (names.has(name)) continue;
      button.element.remove();
      this.buttons.delete(name);
    }
    for (const one of found) this.show(one);
    this.quiet.hidden = found.some((one) => one.kind === "system" || one.ids.length);
    this.hands.onFilter(found.find((one) => one.name === this.active) || null);
  }

  show(one) {
    const button = this.buttons.get(one.name) || this.add(one);
    const idle = one.kind !== "system" && one.ids.length === 0;
    setText(button.count, one.kind === "system" ? "!" : count(one.ids.length));
    button.element.title = one.about;
    button.element.classList.toggle("none", idle);
    button.element.setAttribute("aria-pressed", String(this.active === one.name));
  }

  add(one) {
    const number = h("b", {});
    const element = h("button", { class: "chip exception", type: "button", tone: one.tone, "aria-pressed": "false", "data-exception": one.name }, h("i"), number, ` ${one.label}`);
    element.addEventListener("click", () => this.press(one));
    if (one.kind === "system") this.root.prepend(element);
    else this.root.insertBefore(element, this.quiet);
    const button = { element, count: number };
    this.buttons.set(one.name, button);
    return button;
  }

  press(one) {
    if (one.kind === "system") {
      this.hands.onSystem();
      return;
    }
    this.active = this.active === one.name ? null : one.name;
    this.hands.onPress(this.active && one.kind);
  }

  // Show all again.
  clear() {
    this.active = null;
    this.hands.onPress(null);
  }
}
