// One action on one or many: first what it would do to each, then a result for each, then the way back where there is one.

import { $, h, onClosed, setText } from "./dom.js";
import { LAST_MOMENT, shortId } from "./format.js";

const AT_ONCE = 6; // a browser opens six connections to a host
const CHOSEN_MAX = 200;
const TRIES = 4; // of a change, while others change something else of the same record

export class ActionDialog {
  // `hands`: {session, onChanged(record, kind)}.
  constructor(dialog, hands) {
    this.dialog = dialog;
    this.hands = hands;
    this.title = $("h2", dialog);
    this.hint = $(".hint", dialog);
    this.fieldBox = $("[data-part=field]", dialog);
    this.list = $("tbody", dialog);
    this.sum = $("[data-part=sum]", dialog);
    this.apply = $("[data-part=apply]", dialog);
    this.back = $("[data-part=undo]", dialog);
    this.again = $("[data-part=again]", dialog);
    $("form", dialog).addEventListener("submit", (event) => {
      event.preventDefault();
      this.carryOut();
    });
    this.back.addEventListener("click", () => this.takeBack());
    this.again.addEventListener("click", () => this.preview());
    $("[data-close]", dialog).addEventListener("click", () => dialog.close());
    onClosed(dialog, () => (this.round += 1));
    this.round = 0; // counts what is shown: an answer to an earlier one is passed over
  }

  async open(action, ids) {
    const { session } = this.hands;
    if (action.operator && !session.signedIn && !(await session.wanted())) return;
    this.action = action;
    this.rows = ids.slice(0, CHOSEN_MAX).map((id) => ({ id, say: h("td", {}), before: null }));
    setText(this.title, this.rows.length === 1 ? `${action.title}: ${named(action, ids[0])}` : `${action.title}: ${this.rows.length} chosen`);
    setText(this.hint, ids.length > CHOSEN_MAX ? `The first ${CHOSEN_MAX} of ${ids.length}.` : "");
    this.list.replaceChildren(...this.rows.map((row) => h("tr", { "data-id": row.id }, h("td", { class: "mono", title: row.id }, named(action, row.id)), row.say)));
    this.field(action.field);
    setText(this.apply, action.apply);
    this.apply.classList.toggle("danger", Boolean(action.danger));
    this.dialog.showModal();
    await this.preview();
  }

  field(field) {
    this.input = null;
    this.fieldBox.replaceChildren();
    if (!field) return;
    this.input = h("input", { name: field.name, type: field.type, min: field.min, ...(field.type === "datetime-local" ? { max: LAST_MOMENT, step: 60 } : { max: field.max, step: 1 }) });
    this.input.addEventListener("input", () => this.showPreview());
    this.fieldBox.append(h("label", {}, field.label(), this.input));
  }

  value() {
    return this.input ? this.action.field.parse(this.input.value) : undefined;
  }

  async preview() {
    const round = (this.round += 1);
    this.stage("preview");
    for (const row of this.rows) {
      row.before = row.seen = row.result = row.trouble = null;
      setText(row.say, "reading…");
    }
    await each(this.rows, async (row) => {
      try {
        row.seen = await this.action.read(row.id);
        row.before = row.seen.one;
      } catch (refused) {
        row.trouble = refused.message;
      }
    });
    if (round !== this.round) return;
    const first = this.rows.find((row) => row.before);
    if (this.input && first) this.input.value = this.action.field.value(first.before);
    this.showPreview();
  }

  showPreview() {
    for (const row of this.rows) {
      const said = row.before ? this.action.preview(row.before, this.value()) : { may: false, text: row.trouble || "reading…" };
      row.may = said.may;
      setText(row.say, said.text);
      row.say.className = said.may ? "" : "off";
    }
    const may = this.rows.filter((row) => row.may).length;
    this.apply.disabled = may === 0;
    this.again.hidden = !this.rows.some((row) => row.trouble);
    setText(this.sum, may === this.rows.length ? "" : `${may} of ${this.rows.length} will be changed.`);
  }

  // A dialog that is closed does not stop what it has begun, and another may be opened meanwhile: the action is kept.
  async carryOut() {
    const { action } = this;
    const value = this.value();
    const round = (this.round += 1);
    this.stage("running");
    if (!(await this.allowed(action))) {
      if (round !== this.round) return;
      this.stage("preview");
      this.showPreview();
      return;
    }
    const todo = this.rows.filter((row) => row.may);
    await each(todo, (row) => this.one(row, () => changed(action, action.act, row.id, value, row.seen), "done", action));
    if (round !== this.round) return;
    const done = todo.filter((row) => row.result);
    setText(this.sum, `${done.length} done, ${todo.length - done.length} not.`);
    this.stage("done", done.length > 0 && Boolean(this.action.undo), done.length < todo.length);
  }

  async takeBack() {
    const { action } = this;
    const round = (this.round += 1);
    this.stage("running");
    const done = this.rows.filter((row) => row.result);
    if (!(await this.allowed(action))) {
      if (round === this.round) this.stage("done", true, done.length < this.rows.length);
      return;
    }
    const act = action.undoWith || action.act;
    await each(done, (row) => {
      const seen = row.result;
      row.result = null;
      return this.one(row, () => changed(action, act, row.id, action.undo(row.before), seen), "taken back", action);
    });
    if (round !== this.round) return;
    const undone = done.filter((row) => row.result);
    setText(this.sum, `${undone.length} taken back, ${done.length - undone.length} not.`);
    this.stage("done", false, true);
  }

  // A session may have ended since the dialog was opened.
  async allowed(action) {
    return !action.operator || this.hands.session.wanted();
  }

  async one(row, act, word, action) {
    setText(row.say, "…");
    try {
      row.result = await act();
      row.say.className = "done";
      setText(row.say, action.kind === "drone" ? `${word}: the dispatcher carries it out` : `${word}`);
      if (row.result.one) this.hands.onChanged(row.result.one);
    } catch (refused) {
      row.say.className = "failed";
      setText(row.say, sentence(refused));
      if (refused.problem?.status === 401) this.hands.session.ended();
    }
  }

  // "preview": may be applied; "running": nothing may be pressed; "done": may be taken back, or looked at anew.
  stage(name, undo = false, again = false) {
    this.apply.hidden = name === "done";
    this.apply.disabled = true;
    this.back.hidden = !undo;
    this.again.hidden = !again;
    if (this.input) this.input.disabled = name !== "preview";
    // a button that goes, or may not be pressed, would take the focus with it
    if (name === "preview") (this.input || this.title).focus();
    else (undo ? this.back : this.title).focus();
  }
}

const named = (action, id) => (action.kind === "delivery" ? shortId(id) : id);

// `act` on the record that was seen. The system moves an order on while somebody looks at it: where what is to be changed
// still stands as it was seen, the change is tried on the newer record; a value that another has set is left to its owner.
async function changed(action, act, id, value, seen) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await act(id, value, seen.etag);
    } catch (refused) {
      if (refused.problem?.status !== 412 || !action.undo || tries === TRIES) throw refused;
      const now = await action.read(id);
      if (action.undo(now.one) !== action.undo(seen.one)) throw refused;
      seen = now;
    }
  }
}

function sentence(refused) {
  const { status } = refused.problem || {};
  if (status === 412) return "not done: it has changed since you looked";
  if (status === 401) return "not done: the session has ended, sign in again";
  if (refused.unknown !== false) return `perhaps done: ${refused.message}; look again`;
  return `not done: ${refused.message}`;
}

// `work` on every item, AT_ONCE of them at a time.
async function each(items, work) {
  const queue = [...items];
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, queue.length) }, async () => {
    while (queue.length) await work(queue.shift());
  }));
}
