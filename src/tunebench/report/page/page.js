"use strict";
// The reader's view of the page: what is chosen lives in the URL's fragment, so that a link shows it.
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const all = (css, from = document) => [...from.querySelectorAll(css)];
  const one = (css, from = document) => from.querySelector(css);
  const runs = new Map(page.runs.map(run => [run.id, run]));
  const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  const number = name => (state.get(name) && isFinite(state.get(name)) ? Number(state.get(name)) : null);
  const dataset = () => state.get("data") || page.figures[0]?.dataset || page.runs[0]?.dataset;
  const axesOf = () => page.axes[dataset()] || [];
  const measure = (run, name) => (Object.hasOwn(run.measures, name) ? run.measures[name] : null);
  const short = value => Number(value.toPrecision(3)).toLocaleString("en");

  // which runs meet the reader's needs, and which of them costs least --------------------------
  const requests = () => number("requests") ?? page.requests;
  const times = (amount, factor) => amount.map(each => (each === null ? Infinity : each * factor));
  const monthly = run => (run.each === null ? null : times(run.each, requests())[0]);
  function bill(run) { // both with their intervals: independent errors add as squares
    if (run.once === null || run.each === null) return null;
    const [once, each] = [times(run.once, 1), times(run.each, requests())], total = once[0] + each[0];
    const error = end => Math.hypot(once[end] - once[0], each[end] - each[0]);
    return [total, total - error(1), total + error(2)];
  }
  const cost = run => bill(run)?.[0] ?? null;
  const money = value => (page.priced ? `$${short(value)}` : `${short(value)} s of the machine`);
  const within = (value, most) => most === null || (value !== null && value !== undefined && value <= most);
  const meets = run =>
    run.dataset === dataset() && run.score !== null &&
    (number("quality") === null || run.score >= number("quality")) &&
    within(measure(run, state.get("percentile") || one("[data-state=percentile]")?.value)?.[0], number("latency")) &&
    within(measure(run, "inference_peak_memory_bytes")?.[0], number("memory")) &&
    within(monthly(run), number("budget"));
  const order = run => [cost(run) === null ? Infinity : cost(run), run.rows, -run.score];
  const cheaper = (a, b) => order(a).map((x, i) => x - order(b)[i]).find(x => x) ?? 0;
  // not shown to cost more than the cheapest, nor trained on more rows: as `tunebench best` has it
  function asCheap(run, least) {
    const [own, other] = [bill(run), bill(least)];
    if (run === least || !own || !other || run.rows > least.rows) return run === least;
    return own[0] - other[0] - Math.hypot(own[0] - own[1], other[2] - other[0]) <= 0;
  }
  function cheapest() {
    const met = page.runs.filter(meets);
    const good = number("quality") === null ? met.filter(run => run.good) : met;
    const asked = good.length ? good : met, [least] = [...asked].sort(cheaper);
    return asked.filter(run => asCheap(run, least)).sort((a, b) => b.score - a.score)[0];
  }
  function verdict(shown) {
    const run = cheapest(), total = page.runs.filter(each => each.dataset === dataset() && each.score !== null).length;
    if (!run) return total ? "No run meets all of this." : "No run has a score.";
    const [, low, , text] = measure(run, axesOf()[0].name);
    const price = cost(run) === null ? "what it costs was not measured"
      : `${money(cost(run))} for training${page.priced ? ", labels" : ""} and ${requests().toLocaleString("en")} requests`;
    const unsure = number("quality") !== null && low < number("quality") ? "; its interval reaches below what you need" : "";
    const kind = number("quality") === null ? "Cheapest of those as good as the best" : "Cheapest that meets this";
    return `${shown} of ${total} runs meet this. ${kind}: ${run.label}, ${axesOf()[0].title} ${text}, ${price}${unsure}.`;
  }

  // charts -------------------------------------------------------------------------------------
  const fill = (part, values) =>
    Array.isArray(part) ? part.map(each => fill(each, values))
      : part && typeof part === "object" ? Object.fromEntries(Object.entries(part).map(([key, each]) => [key, fill(each, values)]))
        : typeof part === "string" && /^<.+>$/.test(part) ? values[part.slice(1, -1)] : part;
  async function draw(host, name, values) {
    const width = host.clientWidth, narrow = width < 500;
    if (!width) return;
    const sizes = { width, label_width: narrow ? 130 : 280, cell_label_width: narrow ? 80 : 160 };
    const spec = { ...fill(page.specs[name], { ...page.common, ...sizes, ...values }), config: page.specs.config };
    host.drawn?.finalize();
    host.drawn = await vegaEmbed(host, spec, { actions: false, renderer: "svg", ast: true, tooltip: { theme: "custom" } });
    host.drawn.view.addEventListener("click", (_, item) => item?.datum?.other !== undefined && compare(item.datum));
  }
  function point(run, x, y) {
    const [at, up] = [measure(run, x.name), measure(run, y.name)];
    const place = (letter, [value, low, high, text], sign) =>
      ({ [letter]: value, [`${letter}_low`]: low, [`${letter}_high`]: high, [`${letter}_text`]: text, [`${letter}_sign`]: sign });
    return at && up && { run: run.id, label: run.label, method: run.method, ...place("x", at, x.more ? -1 : 1), ...place("y", up, y.more ? 1 : -1) };
  }
  function costValues(figure) {
    const axis = (letter, name) => axesOf().find(each => each.name === name) || axesOf().find(each => each.title === figure.values[`${letter}_title`]);
    const [x, y] = [axis("x", state.get("x")), axis("y", state.get("y"))];
    one(`#${CSS.escape(figure.id)} figcaption .said`).textContent = `${y.title} against ${x.title}: no other run beats those on the line in both`;
    return { rows: page.runs.filter(meets).map(run => point(run, x, y)).filter(Boolean),
      x_title: x.title, x_scale: x.scale, x_ticks: x.ticks, y_title: y.title, y_scale: y.scale, y_ticks: y.ticks };
  }
  function figureValues(figure) {
    if (figure.chart === "cost") return costValues(figure);
    const groups = Object.keys(figure.groups), group = groups.includes(state.get("group")) ? state.get("group") : groups[0];
    if (group) one(`#${CSS.escape(figure.id)} figcaption .said`).textContent = figure.groups[group];
    const shown = id => id === null || id === undefined || meets(runs.get(id));
    return { ...figure.values, rows: figure.rows.filter(row => shown(row.run) && shown(row.other) && (!group || row.group === group)) };
  }
  async function drawAll() {
    for (const figure of page.figures.filter(each => each.dataset === dataset())) {
      await draw(one(`#${CSS.escape(figure.id)} .live`), figure.chart, figureValues(figure));
    }
    await drawRun();
    root.dataset.drawn = String(Number(root.dataset.drawn || 0) + 1); // for those who wait for it
  }

  // one run: confusion, labels, reliability -------------------------------------------------------
  const shownRun = () => {
    const own = page.runs.filter(run => run.dataset === dataset() && run.score !== null);
    return own.find(run => run.key === state.get("run")) || own.find(run => run.chosen) || own[0];
  };
  async function drawRun() {
    const run = shownRun(), detail = run && page.details[run.id];
    for (const box of all("[data-detail]")) box.hidden = !detail?.[box.dataset.detail]?.[box.dataset.detail === "confusion" ? "cells" : "length"];
    if (!detail) return;
    all(".of-run").forEach(each => { each.textContent = run.label; });
    if (detail.confusion) {
      one("#left-out").textContent = detail.confusion.left_out ? `The ${detail.confusion.labels.length} labels that are confused most; ${detail.confusion.left_out} more are in confusion.csv, below.` : "";
      await draw(one("[data-detail=confusion] .live"), "confusion", { ...detail.confusion, rows: confused(detail.confusion) });
    }
    if (detail.reliability.length) {
      one("#reliable").textContent = detail.reliable;
      await draw(one("[data-detail=reliability] .live"), "reliability", { rows: detail.reliability });
    }
    one("#by-label tbody").replaceChildren(...detail.labels.map(([label, ...scores]) => {
      const row = document.createElement("tr");
      row.append(cell(label, "th"), ...scores.map(score => cell(score === null ? "" : score, "td")));
      return row;
    }));
  }
  const confused = ({ labels, answers, totals, cells }) => cells.map(([row, column, rows]) =>
    ({ gold: labels[row], answer: answers[column], rows, right: labels[row] === answers[column], share: rows / totals[row] }));
  function cell(text, tag = "td", lang = "auto") {
    const made = document.createElement(tag);
    if (tag === "th") made.scope = "row";
    made.dir = lang;
    made.textContent = text;
    return made;
  }

  // test rows to read ----------------------------------------------------------------------------
  function compare({ run, other }) {
    set({ run: runs.get(run).key, other: runs.get(other).key, kind: "", row: "" });
    one("#rows").scrollIntoView();
  }
  function option(value, text, chosen) {
    const made = new Option(text, value, false, value === chosen);
    return made;
  }
  function fillChoices() {
    const own = page.runs.filter(run => run.dataset === dataset() && run.score !== null), run = shownRun();
    for (const each of all("[data-choice=run]")) each.replaceChildren(...own.map(each => option(each.key, each.label, run?.key)));
    one("[data-choice=other]")?.replaceChildren(option("", "no other run"), ...own.filter(each => each !== run).map(each => option(each.key, each.label, state.get("other"))));
    const rows = page.rows[dataset()];
    one("[data-choice=kind]")?.replaceChildren(option("", "all"), ...(rows?.kinds || []).map(kind => option(kind, kind, state.get("kind"))));
    const labels = page.details[run?.id]?.confusion ? [...new Set((rows?.rows || []).map(row => row.gold))].sort() : [];
    one("[data-choice=label]")?.replaceChildren(option("", "all"), ...labels.map(label => option(label, label, state.get("label"))));
    for (const letter of ["x", "y"]) {
      const drawn = page.figures.find(each => each.chart === "cost" && each.dataset === dataset())?.values[`${letter}_title`];
      one(`[data-choice=${letter}]`)?.replaceChildren(...axesOf().map(axis => option(axis.name, axis.title, state.get(letter) || axesOf().find(each => each.title === drawn)?.name)));
    }
    const groups = page.figures.find(each => each.chart === "pairs" && each.dataset === dataset())?.groups || {};
    one("[data-choice=group]")?.replaceChildren(...Object.keys(groups).map(group => option(group, group, state.get("group"))));
    const latencies = axesOf().filter(axis => axis.name.startsWith("latency"));
    one("[data-choice=percentile]")?.replaceChildren(...latencies.reverse().map(axis => option(axis.name, axis.title.split(" ")[1].replace(",", ""), state.get("percentile"))));
  }
  function pattern(field) {
    try {
      field.setCustomValidity("");
      return new RegExp(state.get("find") || "", "iu");
    } catch (error) {
      field.setCustomValidity(error.message);
      field.reportValidity();
      return /(?:)/;
    }
  }
  function showRows() {
    const rows = page.rows[dataset()], run = shownRun(), table = one("#explorer");
    if (!table) return;
    const mine = rows?.answers[run?.id], other = page.runs.find(each => each.key === state.get("other"));
    const theirs = other && rows?.answers[other.id];
    const written = answer => (typeof answer === "number" ? rows.labels[answer] : answer);
    const found = pattern(one("[data-state=find]"));
    const kept = (rows?.rows || []).map((row, index) => ({ ...row, mine: mine?.[index], theirs: theirs?.[index] })).filter(row =>
      row.mine && (!state.get("label") || row.gold === state.get("label")) &&
      (!state.get("kind") || rows.kinds[row.mine[1]] === state.get("kind")) &&
      (!theirs || row.mine[0] !== row.theirs[0] || row.id === state.get("row")) &&
      found.test(`${row.text}\n${row.gold}\n${written(row.mine[0])}`));
    const right = rows?.kinds.indexOf("right") ?? -1, summaries = !page.details[run?.id]?.confusion;
    kept.sort((a, b) => (a.mine[1] === right) - (b.mine[1] === right) || (summaries ? a.mine[2] - b.mine[2] : b.mine[2] - a.mine[2]));
    one("tbody", table).replaceChildren(...kept.map(row => {
      const made = document.createElement("tr"), link = document.createElement("a"), head = cell("", "th", "ltr");
      const answer = ([text, kind, share]) => `${written(text) || "(nothing)"}${share === null ? "" : ` (${share}%)`}${rows.kinds[kind] === "right" ? " ✓" : summaries ? "" : ` ✗ ${rows.kinds[kind]}`}`;
      link.textContent = row.id;
      link.href = `#${new URLSearchParams([...state].filter(([name]) => name !== "row").concat([["row", row.id]]))}`;
      head.append(link);
      made.className = row.id === state.get("row") ? "linked" : "";
      made.append(head, cell(row.text), cell(row.gold), cell(answer(row.mine)));
      if (theirs) made.append(cell(answer(row.theirs)));
      return made;
    }));
    one("#other-answer").hidden = !theirs;
    one("#other-answer").textContent = theirs ? other.label : "";
    one("#my-answer").textContent = run ? run.label : "answer";
    one("#rows-found").textContent = !rows ? "No text of this data set is on the page." : theirs
      ? `${kept.length} of the ${rows.rows.length} rows here are answered otherwise by ${other.label}.`
      : `${kept.length} of ${rows.rows.length} rows, the worst first; the test set has ${rows.total.toLocaleString("en")}.`;
    one(".linked", table)?.scrollIntoView({ block: "center" });
  }

  // tables ---------------------------------------------------------------------------------------
  function sortTable(button) {
    const head = button.closest("th"), body = one("tbody", head.closest("table")), index = [...head.parentNode.children].indexOf(head);
    const down = head.getAttribute("aria-sort") === "descending" || (!head.hasAttribute("aria-sort") && head.dataset.first === "up");
    for (const each of head.parentNode.children) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "ascending" : "descending");
    const keyed = [...body.rows].map(row => {
      const cell = row.cells[index], text = cell?.dataset.value ?? cell?.textContent ?? "";
      return { row, text, value: text === "" ? NaN : Number(text) };
    });
    const by = (a, b) => isNaN(a.value) || isNaN(b.value)
      ? (isNaN(a.value) - isNaN(b.value)) || (down ? 1 : -1) * a.text.localeCompare(b.text)
      : (down ? 1 : -1) * (a.value - b.value);
    body.append(...keyed.sort(by).map(each => each.row));
  }

  // from the state to the page ---------------------------------------------------------------------
  let waiting;
  function update({ chosen = true } = {}) {
    for (const each of all("[data-dataset]")) each.hidden = each.dataset.dataset !== dataset();
    if (chosen) fillChoices();
    for (const field of all("[data-state]")) {
      if (field.type === "radio") field.checked = field.value === dataset();
      else if (field !== document.activeElement && state.get(field.dataset.state) !== null) field.value = state.get(field.dataset.state);
    }
    const met = new Set(page.runs.filter(meets).map(run => run.id));
    for (const row of all("tr[data-run]")) row.hidden = !met.has(Number(row.dataset.run)) && Boolean(runs.get(Number(row.dataset.run)).score !== null);
    one("#verdict").textContent = verdict(met.size);
    showRows();
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 60);
  }
  function set(changes) {
    for (const [name, value] of Object.entries(changes)) value ? state.set(name, value) : state.delete(name);
    history.replaceState(null, "", state.size ? `#${state}` : location.pathname + location.search);
    update();
  }
  document.addEventListener("input", event => {
    const field = event.target.closest("[data-state]");
    if (!field) return;
    const forget = field.dataset.state === "data" ? { run: "", other: "", label: "", kind: "", row: "", x: "", y: "", group: "", percentile: "" } : { row: "" };
    set({ ...forget, [field.dataset.state]: field.value });
  });
  document.addEventListener("click", event => {
    const button = event.target.closest("th button"), pair = event.target.closest("[data-pair]");
    if (button) sortTable(button);
    if (pair) compare({ run: Number(pair.dataset.pair.split(" ")[0]), other: Number(pair.dataset.pair.split(" ")[1]) });
    const jump = event.target.closest("nav a");
    if (jump) { event.preventDefault(); one(jump.getAttribute("href")).scrollIntoView(); }
    if (event.target.closest("#forget")) { for (const each of all("#needs input")) each.value = ""; set({ quality: "", latency: "", requests: "", budget: "", memory: "" }); }
  });
  addEventListener("hashchange", () => {
    for (const name of [...state.keys()]) state.delete(name);
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) state.set(name, value);
    update();
  });
  let width = innerWidth;
  addEventListener("resize", () => { if (width !== innerWidth) { width = innerWidth; clearTimeout(waiting); waiting = setTimeout(drawAll, 200); } });
  root.classList.add("js");
  update();
})();
