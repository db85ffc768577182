// Test rows to read: of one run, or those that two runs answer otherwise.
function compare(run, other) {
  set({ run: runs.get(run).key, other: runs.get(other).key, kind: "", label: "", row: "" });
  one("#rows").scrollIntoView();
}

function pattern() {
  const field = one("[data-state=find]");
  try {
    field.setCustomValidity("");
    return new RegExp(state.get("find") || "", "iu");
  } catch (error) {
    field.setCustomValidity(error.message);
    field.reportValidity();
    return /(?:)/;
  }
}

function keptRows(held, run, other) {
  const found = pattern(), right = held.kinds.indexOf("right");
  const written = answer => (typeof answer === "number" ? held.labels[answer] : answer);
  const answered = (of, index) => {
    const [answer, kind, share] = held.answers[of.id][index];
    return { answer: written(answer), kind: held.kinds[kind], right: kind === right, share };
  };
  const rows = held.rows.map((row, index) => ({
    ...row, mine: answered(run, index), theirs: other && answered(other, index),
  }));
  const kept = rows.filter(row =>
    (!state.get("label") || row.gold === state.get("label")) &&
    (!state.get("kind") || row.mine.kind === state.get("kind")) &&
    (!row.theirs || row.mine.answer !== row.theirs.answer || row.id === state.get("row")) &&
    found.test(`${row.text}\n${row.gold}\n${row.mine.answer}`));
  // the surest errors first, or the summaries that share least
  const surest = right < 0 ? 1 : -1;
  return kept.sort((a, b) =>
    a.mine.right - b.mine.right || surest * (a.mine.share - b.mine.share));
}

function showRows() {
  const table = one("#explorer"), held = page.rows[dataset()], run = shownRun();
  if (!table) return;
  const other = held && runNamed(state.get("other"));
  const kept = held && run ? keptRows(held, run, other) : [];
  one("tbody", table).replaceChildren(...kept.map(shownRow));
  one("#my-answer").textContent = run ? run.label : "answer";
  one("#other-answer").hidden = !other;
  one("#other-answer").textContent = other ? other.label : "";
  one("#rows-found").textContent = counted(held, kept.length, other);
  one(".linked", table)?.scrollIntoView({ block: "center" });
}
function counted(held, count, other) {
  if (!held) return "No text of this data set is on the page.";
  const total = held.total.toLocaleString("en");
  return other
    ? `${count} of the ${held.rows.length} rows here are answered otherwise by ${other.label}.`
    : `${count} of ${held.rows.length} rows, the worst first; the test set has ${total}.`;
}
function shownRow(row) {
  const link = document.createElement("a");
  const others = [...state].filter(([name]) => name !== "row");
  link.href = `#${new URLSearchParams([...others, ["row", row.id]])}`;
  link.append(row.id);
  const answers = [row.mine, row.theirs].filter(Boolean).map(said);
  const made = tableRow(link, [row.text, row.gold, ...answers]);
  made.className = row.id === state.get("row") ? "linked" : "";
  return made;
}
function said({ answer, kind, right, share }) {
  const sure = share === null ? "" : ` (${share}%)`;
  const wrong = kind.startsWith("ROUGE") ? "" : ` ✗ ${kind}`;
  return `${answer || "(nothing)"}${sure}${right ? " ✓" : wrong}`;
}
