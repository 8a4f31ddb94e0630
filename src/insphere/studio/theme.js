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
// The boxes of a table get names, which its component does not give them.
let naming;
new MutationObserver(() => {
  naming = naming || requestAnimationFrame(() => {
    naming = 0;
    for (const box of document.querySelectorAll(".q-table [role=checkbox]:not([aria-label])")) {
      const row = box.closest("tbody tr");
      const words = row && [...row.cells].slice(1, 4).map((cell) => cell.innerText.trim()).filter(Boolean);
      box.setAttribute("aria-label", row ? `Select ${words.join(", ")}` : "Select all");
    }
  });
}).observe(document.documentElement, { childList: true, subtree: true });
