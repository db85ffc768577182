// Which runs meet the reader's needs, and which of them to use.
const requests = () => number("requests") ?? page.requests;
const times = (amount, factor) => amount.map(end => (end === null ? Infinity : end * factor));
const monthly = run => (run.each === null ? null : times(run.each, requests())[0]);

// [cost in all, low, high] of training, labels and requests: independent errors add as squares
function bill(run) {
  if (run.once === null || run.each === null) return null;
  const once = times(run.once, 1), each = times(run.each, requests());
  const total = once[0] + each[0];
  const error = end => Math.hypot(once[end] - once[0], each[end] - each[0]);
  return [total, total - error(1), total + error(2)];
}
const cost = run => bill(run)?.[0] ?? null;

const atLeast = (value, least) => least === null || value >= least;
const atMost = (value, most) => most === null || (typeof value === "number" && value <= most);
function meets(run) {
  const percentile = state.get("percentile") || one("[data-state=percentile]").value;
  return (
    run.dataset === dataset() &&
    run.score !== null &&
    atLeast(run.score, number("quality")) &&
    atMost(measure(run, percentile)?.[0], number("latency")) &&
    atMost(measure(run, "inference_peak_memory_bytes")?.[0], number("memory")) &&
    atMost(monthly(run), number("budget"))
  );
}

let met = []; // the runs that do, since what is chosen changed last

// as `tunebench best` has it: of the runs that are not shown to cost more than the cheapest, nor
// trained on more rows, the one with the highest score
function toUse() {
  const good = number("quality") === null ? met.filter(run => run.good) : met;
  const asked = good.length ? good : met;
  const [least] = [...asked].sort(byCost);
  return asked.filter(run => asCheap(run, least)).sort((a, b) => b.score - a.score)[0];
}
function byCost(a, b) {
  const order = run => [cost(run) ?? Number.MAX_VALUE, run.rows, -run.score];
  const [left, right] = [order(a), order(b)];
  return left.map((value, index) => value - right[index]).find(Boolean) ?? 0;
}
function asCheap(run, least) {
  const [own, other] = [bill(run), bill(least)];
  if (run === least || !own || !other || run.rows > least.rows) return run === least;
  return own[0] - other[0] - Math.hypot(own[0] - own[1], other[2] - other[0]) <= 0;
}

const short = value => Number(value.toPrecision(3)).toLocaleString("en");
const money = value => (page.priced ? `$${short(value)}` : `${duration(value)} of the machine`);
const duration = seconds =>
  seconds >= 7200 ? `${short(seconds / 3600)} h`
    : seconds >= 120 ? `${short(seconds / 60)} min`
      : `${short(seconds)} s`;
function verdict() {
  const run = toUse(), total = scored().length;
  if (!run) return total ? "No run meets all of this." : "No run has a score.";
  const [, low, , text] = measure(run, axes()[0].name);
  const asked = number("quality");
  const kind = asked === null && run.good ? "as good as the best" : "that meet this";
  const unsure = asked !== null && low < asked ? "; its interval reaches below what you need" : "";
  const price = cost(run) === null
    ? "what it costs was not measured"
    : `${money(cost(run))} for training${axisNamed("usd_for_labels") ? ", labels" : ""} and ` +
      `${requests().toLocaleString("en")} requests`;
  return `${met.length} of ${total} runs meet this. ` +
    `Cheapest of those ${kind}, as far as can be told: ` +
    `${run.label}, ${axes()[0].title.split(",")[0]} ${text}, ${price}${unsure}.`;
}
