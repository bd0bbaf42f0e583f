// The document, touched only where it differs. Text is always text: nothing that comes over the network becomes markup.

export const $ = (selector, within = document) => within.querySelector(selector);

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "onclick") element.addEventListener("click", value);
    else if (name === "tone") element.style.setProperty("--tone", `var(--${value})`);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A browser tells that a dialog has closed when it comes to it: by then the dialog may be open again, and that telling is old.
export function onClosed(dialog, then) {
  dialog.addEventListener("close", () => dialog.open || then());
}

// Copies `text`, and says so on itself for a moment.
export function copyButton(text, label, word = "copy") {
  const button = h("button", { class: "copy", type: "button", "aria-label": label, title: label }, word);
  button.addEventListener("click", async () => {
    const said = await copied(typeof text === "function" ? text() : text);
    setText(button, said ? "copied" : "select it");
    setTimeout(() => setText(button, word), 1500);
  });
  return button;
}

// Plain HTTP from another machine has no clipboard: then a field that is selected, the old way.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = h("textarea", { "aria-hidden": "true", style: "position:fixed;opacity:0" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

export const badge = (status) => h("span", { class: "badge", tone: status }, h("i"), status);

export function toneOfBattery(percent) {
  if (percent < 15) return "failed";
  return percent < 40 ? "pending" : "delivered";
}

export function meter(percent) {
  if (percent === null || percent === undefined) return h("span", {}, "–");
  const bar = h("b");
  bar.style.width = `${Math.max(0, Math.min(100, percent))}%`;
  return h("span", { class: "meter", tone: toneOfBattery(percent) }, h("i", {}, bar), `${Math.round(percent)} %`);
}
