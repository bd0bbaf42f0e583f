// The theme's colours for the canvases: the style sheet is the only place that names one.

const NAMES = [
  "map", "map-grid", "zone", "zone-fill", "nofly", "nofly-fill", "charge", "label", "halo", "ink", "muted", "panel", "accent",
  "idle", "busy", "charging", "retiring", "inactive", "silent", "pending", "assigned", "in-progress", "delivered", "cancelled", "failed",
];

export const palette = {};
const listeners = [];

function read() {
  const style = getComputedStyle(document.documentElement);
  for (const name of NAMES) palette[name] = style.getPropertyValue(`--${name}`).trim();
  for (const listener of listeners) listener();
}

export const onTheme = (listener) => listeners.push(listener);

export function startTheme(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is forbidden: the system's choice will do
    }
  };
  const apply = () => {
    document.documentElement.dataset.theme = chosen() || (system.matches ? "dark" : "light");
    read();
  };
  button.addEventListener("click", () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("theme", next);
    } catch {
      document.documentElement.dataset.theme = next;
      read();
      return;
    }
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}
