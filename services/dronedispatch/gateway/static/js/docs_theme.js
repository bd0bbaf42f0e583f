// The documentation page follows the system's choice of light or dark.

const system = matchMedia("(prefers-color-scheme: dark)");
const apply = () => { document.documentElement.dataset.theme = system.matches ? "dark" : "light"; };
system.addEventListener("change", apply);
apply();
