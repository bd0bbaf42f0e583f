// Nothing that vanishes takes the focus with it: the focus goes to what is left where it was.

const STOPS = "a[href], button, summary, input[type=checkbox], [tabindex]"; // no text field: it would raise a phone's keyboard

const usable = (element) => element.isConnected && element.getClientRects().length > 0 && !element.disabled;

export class FocusKeeper {
  constructor() {
    this.last = null; // {element, way: what it is in, from near to far}
    this.outside = null; // the same, of what had the focus before a dialog
    document.addEventListener("focusin", ({ target }) => this.note(target));
    document.addEventListener("focusout", () => setTimeout(() => this.look()));
    document.addEventListener("close", () => setTimeout(() => this.look()), true); // a dialog's: it does not bubble
  }

  note(element) {
    const way = [];
    for (let one = element.parentElement; one && one !== document.body; one = one.parentElement) way.push(one);
    this.last = { element, way };
    if (!element.closest("dialog")) this.outside = this.last;
  }

  // Who presses on an empty place gives the focus away: nothing has vanished then, and when it vanishes later, that takes
  // nobody's focus. What had it before a dialog is kept for the dialog's end.
  look() {
    if (document.activeElement !== document.body) return;
    if (this.last && usable(this.last.element)) {
      if (this.outside === this.last) this.outside = null;
      this.last = null;
      return;
    }
    const left = [this.last, this.outside].filter(Boolean).flatMap(({ element, way }) => [element, ...way]);
    for (const one of left) {
      if (!usable(one)) continue;
      const stop = one.matches(STOPS) ? one : [...one.querySelectorAll(STOPS)].find(usable);
      stop?.focus({ preventScroll: true });
      if (document.activeElement !== document.body) return;
    }
  }
}
