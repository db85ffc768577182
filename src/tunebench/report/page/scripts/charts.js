// The charts of the data set, drawn from the specifications that made the static pictures.
function fill(part, values) {
  if (Array.isArray(part)) return part.map(each => fill(each, values));
  if (part && typeof part === "object") {
    return Object.fromEntries(Object.entries(part).map(([key, each]) => [key, fill(each, values)]));
  }
  const hole = typeof part === "string" && /^<(.+)>$/.exec(part);
  return hole ? values[hole[1]] : part;
}

// pixels of a chart with a line for each value of a field, which its `usermeta` names
function heightOf({ usermeta: lines }, rows) {
  const count = lines ? new Set(rows.map(row => row[lines.rows_of])).size : 0;
  return lines && lines.step * Math.max(1, Math.min(count, lines.most ?? count));
}

async function draw(host, name, values) {
  const width = host.clientWidth, narrow = width < 500;
  if (!width) return;
  const sizes = { width, label_width: narrow ? 130 : 280, cell_label_width: narrow ? 80 : 160 };
  const height = heightOf(page.specs[name], values.rows);
  const filled = fill(page.specs[name], { ...page.common, ...sizes, height, ...values });
  host.drawn?.finalize();
  // `ast`: expressions are interpreted, since the page's policy lets nothing evaluate text; errors
  // are logged, and not that a layer has no rows, as one without a fitted law
  const options = { actions: false, renderer: "svg", ast: true, logLevel: 1 };
  host.drawn = await vegaEmbed(host, { ...filled, config: page.specs.config }, options);
  one("svg", host).ariaHidden = "true"; // the host has a name; the tables have the numbers
  host.drawn.view.addEventListener("click", (_, item) => {
    if (item?.datum?.other !== undefined) compare(item.datum.run, item.datum.other);
  });
}

const say = (figure, text) => { one(`#${figure.id} .said`).textContent = text; };
const shownIn = row =>
  [row.run, row.other].every(id => id === null || id === undefined || met.includes(runs.get(id)));

function valuesOf(figure) {
  if (figure.chart === "cost") return costValues(figure);
  const groups = Object.keys(figure.groups);
  const group = groups.includes(state.get("group")) ? state.get("group") : groups[0];
  if (group) say(figure, figure.groups[group]);
  const rows = figure.rows.filter(row => shownIn(row) && (!group || row.group === group));
  return { ...figure.values, rows };
}

const drawnAxis = letter =>
  axisNamed(state.get(letter)) ||
  axes().find(axis => axis.title === figureOf("cost")?.values[`${letter}_title`]);
function costValues(figure) {
  const [x, y] = [drawnAxis("x"), drawnAxis("y")];
  const title = `${y.title} against ${x.title}: no other run beats those on the line in both`;
  say(figure, title[0].toUpperCase() + title.slice(1));
  return {
    rows: met.map(run => pointOf(run, x, y)).filter(Boolean),
    x_title: x.title, x_scale: x.scale, x_ticks: x.ticks,
    y_title: y.title, y_scale: y.scale, y_ticks: y.ticks,
  };
}
function pointOf(run, x, y) {
  const [at, up] = [measure(run, x.name), measure(run, y.name)];
  if (!at || !up) return null;
  const place = (letter, [value, low, high, text], sign) => ({
    [letter]: value, [`${letter}_low`]: low, [`${letter}_high`]: high,
    [`${letter}_text`]: text, [`${letter}_sign`]: sign,
  });
  return {
    run: run.id, label: run.label, method: run.method,
    ...place("x", at, x.more ? -1 : 1), ...place("y", up, y.more ? 1 : -1),
  };
}

async function drawAll() {
  for (const figure of figuresOf()) {
    await draw(one(`#${figure.id} .live`), figure.chart, valuesOf(figure));
  }
  await drawRun();
  const root = document.documentElement; // counts for whoever waits for the charts
  root.dataset.drawn = Number(root.dataset.drawn || 0) + 1;
}
