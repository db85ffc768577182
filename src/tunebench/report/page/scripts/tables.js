// A heading sorts its table: numbers by size, the largest first unless less is better.
function sortTable(button) {
  const head = button.closest("th"), heads = [...head.parentNode.children];
  const body = one("tbody", head.closest("table")), index = heads.indexOf(head);
  const before = head.getAttribute("aria-sort");
  const first = head.dataset.first === "up" ? "ascending" : "descending";
  const opposite = before === "ascending" ? "descending" : "ascending";
  for (const each of heads) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", before ? opposite : first);
  const sign = head.getAttribute("aria-sort") === "ascending" ? 1 : -1;
  const keyed = [...body.rows].map(row => {
    const cell = row.cells[index], text = cell?.dataset.value ?? cell?.textContent ?? "";
    return { row, text, value: text.trim() ? Number(text) : NaN };
  });
  const order = (a, b) =>
    isNaN(a.value) || isNaN(b.value)
      ? isNaN(a.value) - isNaN(b.value) || sign * a.text.localeCompare(b.text)
      : sign * (a.value - b.value);
  body.append(...keyed.sort(order).map(each => each.row));
}
