// Light or dark is kept by the browser alone; charts follow the size of the window.
document.documentElement.lang = "en";
window.insphereTheme = (next) => {
  if (next) localStorage.setItem("insphere-theme", next);
  const kept = localStorage.getItem("insphere-theme");
  const dark = kept ? kept === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  if (window.Quasar) Quasar.Dark.set(dark);
  return dark;
};
window.insphereToggle = () =>
  insphereTheme(document.body.classList.contains("body--dark") ? "light" : "dark");
document.addEventListener("DOMContentLoaded", () => setTimeout(() => insphereTheme(), 0));
let waiting;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => document.querySelectorAll(".js-plotly-plot").forEach((plot) => {
    const part = window.getElement && getElement(Number(plot.id.slice(1)));
    if (part && part.Plotly && plot.offsetParent) part.Plotly.Plots.resize(plot);
  }), 150);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => insphereTheme());
// In a group of which one is chosen, arrow keys go to the next and choose it.
addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const group = event.target.closest && event.target.closest("[role=radiogroup]");
  if (!step || !group) return;
  const all = [...group.querySelectorAll("[role=radio]:not([disabled])")];
  const next = all[(all.indexOf(event.target) + step + all.length) % all.length];
  next.focus();
  next.click();
  event.preventDefault();
});
// Boxes of tables and fields for files get names, which their components do not give them.
let naming;
new MutationObserver(() => {
  naming = naming || requestAnimationFrame(() => {
    naming = 0;
    for (const box of document.querySelectorAll(".q-table [role=checkbox]:not([aria-label])")) {
      const row = box.closest("tbody tr");
      const words = row && [...row.cells].slice(1, 4).map((cell) => cell.innerText.trim()).filter(Boolean);
      box.setAttribute("aria-label", row ? `Select ${words.join(", ")}` : "Select all");
    }
    // The field for a file is the control, not the button around it, which may hold no other.
    for (const input of document.querySelectorAll(".q-uploader__input[tabindex='-1']")) {
      const around = input.closest("[role=button]");
      input.setAttribute("aria-label", "Choose a file");
      input.tabIndex = 0;
      if (!around) continue;
      around.setAttribute("role", "group");
      around.setAttribute("aria-label", "Choose a file");
      around.tabIndex = -1;
    }
  });
}).observe(document.documentElement, { childList: true, subtree: true });
