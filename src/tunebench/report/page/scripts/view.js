// From what is chosen to what is shown, and from what the reader does to what is chosen.
const option = (value, text, chosen) => new Option(text, value, false, value === chosen);
const choose = (name, options) => {
  for (const field of all(`[data-choice=${name}]`)) {
    field.replaceChildren(...options.map(([value, text, chosen]) => option(value, text, chosen)));
  }
};
function fillChoices() {
  const run = shownRun(), held = page.rows[dataset()], labelled = page.details[run?.id]?.confusion;
  const named = (list, name) => list.map(each => [each, each, state.get(name)]);
  const keyed = (list, chosen) => list.map(each => [each.key, each.label, chosen]);
  const labels = labelled && held ? [...new Set(held.rows.map(row => row.gold))].sort() : [];
  const others = scored().filter(each => each !== run);
  const latencies = axes().filter(axis => axis.name.startsWith("latency")).reverse();
  choose("run", keyed(scored(), run?.key));
  choose("other", [["", "no other run"], ...keyed(others, state.get("other"))]);
  choose("kind", [["", "all"], ...named(held?.kinds || [], "kind")]);
  choose("label", [["", "all"], ...named(labels, "label")]);
  choose("group", named(Object.keys(figureOf("pairs")?.groups || {}), "group"));
  const percentile = axis => [axis.name, /p\d+/.exec(axis.title)[0], state.get("percentile")];
  choose("percentile", latencies.map(percentile));
  for (const letter of ["x", "y"]) {
    choose(letter, axes().map(axis => [axis.name, axis.title, drawnAxis(letter)?.name]));
  }
}

let waiting;
const redraw = milliseconds => {
  clearTimeout(waiting);
  waiting = setTimeout(drawAll, milliseconds);
};
function update({ needsAlone = false } = {}) {
  if (!needsAlone) {
    for (const part of all("[data-dataset]")) part.hidden = part.dataset.dataset !== dataset();
    fillChoices();
    showRows();
  }
  met = page.runs.filter(meets);
  for (const field of all("[data-state]")) {
    if (field.type === "radio") field.checked = field.value === dataset();
    else if (field.tagName === "INPUT" && field !== document.activeElement) {
      field.value = state.get(field.dataset.state) ?? "";
    }
  }
  for (const row of all("tr[data-run]")) {
    const run = runs.get(Number(row.dataset.run));
    row.hidden = run.score !== null && !met.includes(run);
  }
  one("#verdict").textContent = verdict();
  redraw(60);
}
function set(changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (value) state.set(name, value);
    else state.delete(name);
  }
  history.replaceState(null, "", state.size ? `#${state}` : location.pathname + location.search);
  update({ needsAlone: Object.keys(changes).every(name => NEEDS.includes(name)) });
}

const NEEDS = ["quality", "latency", "percentile", "requests", "budget", "memory"];
const OF_DATASET = ["run", "other", "label", "kind", "row", "x", "y", "group", "percentile"];
const without = names => Object.fromEntries(names.map(name => [name, ""]));
document.addEventListener("input", event => {
  const field = event.target.closest("[data-state]");
  if (!field) return;
  const name = field.dataset.state;
  const forgotten = name === "data" ? OF_DATASET : NEEDS.includes(name) ? [] : ["row"];
  set({ ...without(forgotten), [name]: field.value });
});
document.addEventListener("click", event => {
  const within = css => event.target.closest(css);
  if (within("th button")) sortTable(within("th button"));
  if (within("[data-pair]")) compare(...within("[data-pair]").dataset.pair.split(" ").map(Number));
  if (within("#forget")) set(without(NEEDS));
  if (within("nav a")) {
    event.preventDefault(); // the address keeps what is chosen
    one(within("nav a").hash).scrollIntoView();
  }
});
addEventListener("hashchange", () => {
  readAddress();
  update();
});
let width = innerWidth;
addEventListener("resize", () => {
  if (width !== innerWidth) redraw(200);
  width = innerWidth;
});
document.documentElement.classList.add("js");
update();
