// One run at a time: what it takes for what, whether it is as right as it is sure, its labels.
async function drawRun() {
  const run = shownRun(), detail = run && page.details[run.id];
  const held = {
    confusion: detail?.confusion?.cells.length,
    reliability: detail?.reliability.length,
    labels: detail?.labels.length,
  };
  for (const box of all("[data-detail]")) box.hidden = !held[box.dataset.detail];
  if (!detail) return;
  for (const name of all(".of-run")) name.textContent = run.label;
  if (held.confusion) {
    one("#left-out").textContent = leftOut(detail.confusion);
    const values = { ...detail.confusion, rows: confused(detail.confusion) };
    await draw(one("[data-detail=confusion] .live"), "confusion", values);
  }
  if (held.reliability) {
    one("#reliable").textContent = detail.reliable;
    const values = { rows: detail.reliability };
    await draw(one("[data-detail=reliability] .live"), "reliability", values);
  }
  one("#by-label tbody").replaceChildren(...detail.labels.map(([label, ...scores]) =>
    tableRow(label, scores.map(score => score ?? ""))));
}
function leftOut({ labels, left_out: more }) {
  const shown = `The ${labels.length} labels that are confused most`;
  return more ? `${shown}; ${more} more are in confusion.csv, below.` : "";
}
const confused = ({ labels, answers, totals, cells }) =>
  cells.map(([row, column, rows]) => ({
    gold: labels[row], answer: answers[column], rows,
    right: labels[row] === answers[column], share: rows / totals[row],
  }));

// text of the data is only ever text: never markup
function tableCell(text, tag = "td") {
  const made = document.createElement(tag);
  if (tag === "th") made.scope = "row";
  made.dir = "auto";
  made.append(text);
  return made;
}
function tableRow(head, texts) {
  const made = document.createElement("tr");
  made.append(tableCell(head, "th"), ...texts.map(text => tableCell(text)));
  return made;
}
