// The data, and what the reader has chosen: it lives in the address, so that a link shows it.
const page = JSON.parse(document.getElementById("data").textContent);
const runs = new Map(page.runs.map(run => [run.id, run]));
const all = (css, from = document) => [...from.querySelectorAll(css)];
const one = (css, from = document) => from.querySelector(css);

const state = new URLSearchParams();
function readAddress() {
  for (const name of [...state.keys()]) state.delete(name);
  const chosen = location.hash.includes("=") ? location.hash.slice(1) : "";
  for (const [name, value] of new URLSearchParams(chosen)) state.set(name, value);
}
readAddress();

const dataset = () => {
  const asked = state.get("data");
  return Object.hasOwn(page.axes, asked) ? asked : page.runs[0]?.dataset;
};
const number = name => {
  const value = state.get(name);
  return value && isFinite(value) ? Number(value) : null;
};
const axes = () => page.axes[dataset()] || [];
const axisNamed = name => axes().find(axis => axis.name === name);
const scored = () => page.runs.filter(run => run.dataset === dataset() && run.score !== null);
const runNamed = key => scored().find(run => run.key === key);
const shownRun = () =>
  runNamed(state.get("run")) || scored().find(run => run.chosen) || scored()[0];
const figuresOf = () => page.figures.filter(figure => figure.dataset === dataset());
const figureOf = chart => figuresOf().find(figure => figure.chart === chart);
// [value, low, high, text], or null where it was not measured
const measure = (run, name) => (Object.hasOwn(run.measures, name) ? run.measures[name] : null);
