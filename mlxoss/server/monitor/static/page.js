// What the server does, second by second.

import { $, KEY, bytes, count, estimate, make, rate, request, seconds, short } from "./parts.js";

const POLL_MS = 1000;
const TREND_POINTS = 120;

const trend = [];

function showHealth(health) {
  const { memory = {}, prefix_cache: cache = {}, store = {} } = health;
  $("model").textContent = health.model;
  const texts = {
    decode: rate(health.decode_tokens_per_s),
    prefill: `${rate(health.prefill_tokens_per_s)} tokens/s`,
    running: `${health.active_requests} of ${health.max_active_requests}`,
    paused: `${count(health.paused_requests)} (${count(health.pauses)} pauses)`,
    waiting: `${health.queued_requests} of ${health.max_queued_requests}`,
    oldest: seconds(health.oldest_wait_s),
    refused: count(health.refused_requests),
    process: bytes(memory.process_bytes),
    mlx: bytes(memory.active_bytes),
    peak: bytes(memory.peak_bytes),
    cache: cache.limit_bytes ? `${bytes(cache.bytes)} of ${bytes(cache.limit_bytes)}` : "–",
    kept: store.bytes === undefined ? "–" : `${count(store.responses)} · ${bytes(store.bytes)}`,
    context: `${count(health.context_tokens)} tokens`,
    uptime: seconds(health.uptime_s),
  };
  for (const [id, text] of Object.entries(texts)) $(id).textContent = text;
  $("prefix").hidden = !cache.limit_bytes;
  $("prefix").value = cache.limit_bytes ? cache.bytes / cache.limit_bytes : 0;
  showSlots(health.active_requests, health.max_active_requests);
  showTrend(health.decode_tokens_per_s);
  showTools(health.tools ?? {});
  showProblems(health);
}

// What is enabled, and what was done with it: the browser's functions are counted one by one.
function showTools({ python, browser, mcp = [], calls = {} }) {
  const enabled = Object.entries({ python, browser, mcp: mcp.length }).filter(([, is]) => is);
  $("tooling").hidden = !python && !browser;
  $("leaves").hidden = !browser;
  $("toolbox").hidden = !enabled.length;
  const rows = enabled.flatMap(([tool]) => {
    const own = Object.entries(calls).filter(([name]) => name.split(".")[0] === tool);
    return (own.length ? own : [[tool, { calls: 0 }]]).flatMap(toToolRow);
  });
  $("called").replaceChildren(...rows);
}

function toToolRow([name, { calls, seconds: spent, failures }]) {
  const failed = failures ? ` · ${count(failures)} failed` : "";
  const text = calls ? `${count(calls)} · ${seconds(spent)}${failed}` : "none";
  return [make("dt", "", name), make("dd", "", text)];
}

function showSlots(busy, all) {
  const slots = Array.from({ length: all }, (_, at) => make("i", at < busy ? "busy" : ""));
  $("slots").replaceChildren(...slots);
}

function showTrend(value) {
  trend.push(value);
  if (trend.length > TREND_POINTS) trend.shift();
  const top = Math.max(...trend, 1);
  const from = TREND_POINTS - trend.length;
  const points = trend.map((each, at) => `${from + at},${(30 - (each / top) * 27).toFixed(2)}`);
  const [area, line] = $("trend").children;
  line.setAttribute("d", `M${points.join("L")}`);
  area.setAttribute("d", `M${from},32L${points.join("L")}L${TREND_POINTS - 1},32Z`);
}

function showProblems(health) {
  const failed = health.error ? [{ message: health.error, remedy: "" }] : [];
  const shown = [...failed, ...health.problems];
  const text = JSON.stringify(shown);
  if ($("problems").dataset.shown === text) return;
  $("problems").dataset.shown = text;
  const items = shown.map((each) => make("li", "", each.message, make("span", "", each.remedy)));
  $("problems").replaceChildren(...items);
}

function showRequests({ data, running }) {
  $("none").hidden = data.length > 0;
  $("requests").replaceChildren(...data.flatMap(toRows));
  $("now").hidden = running.length === 0;
  $("underway").replaceChildren(...running.map(toItem));
}

// A request that waits or runs: a prompt of 60,000 tokens is a bar and no silence.
function toItem(each) {
  const left = each.left_s >= 1 ? `, ${estimate(each.left_s)} left` : "";
  const what = make("span", "what", toBreakable(each.endpoint.replace(/^POST /, "")));
  const state = make("span", "state", each.state);
  if (each.state === "queued") {
    const begins = each.left_s >= 1 ? `, may begin in ${estimate(each.left_s)}` : "";
    const place = `${count(each.prompt_tokens)} tokens, place ${each.place}${begins}`;
    return make("li", "", what, state, make("span", "far", place));
  }
  if (each.state === "decode") {
    const written = `${count(each.completion_tokens)} tokens in ${seconds(each.age_s)}`;
    return make("li", "", what, state, make("span", "far", written));
  }
  const bar = make("progress");
  bar.max = each.prompt_tokens;
  bar.value = each.prefilled_tokens;
  bar.setAttribute("aria-label", "Prompt");
  const cached = each.cached_tokens ? `, ${count(each.cached_tokens)} cached` : "";
  const done = `${count(each.prefilled_tokens)} of ${count(each.prompt_tokens)} tokens`;
  return make("li", "", what, state, bar, make("span", "far", `${done}${cached}${left}`));
}

function toBreakable(path) {
  const whole = make("span");
  for (const piece of path.split(/(?<=\/)(?=\w)/)) whole.append(piece, make("wbr"));
  return whole;
}

function toRows(each) {
  const kind = each.status < 400 ? "" : each.status === 499 ? "left" : "bad";
  const status = make("span", `state ${kind}`, String(each.status));
  if (each.error) status.title = each.error;
  const cells = [
    ["", new Date(each.ended_at * 1000).toLocaleTimeString("en-GB")],
    ["", toBreakable(each.endpoint.replace(/^POST /, ""))],
    ["", status],
    ["n", count(each.prompt_tokens)],
    ["n wide", count(each.cached_tokens)],
    ["n", count(each.completion_tokens)],
    ["n wide", seconds(each.wait_s)],
    ["n wide", seconds(each.ttft_s)],
    ["n wide", seconds(each.total_s)],
    ["n", rate(each.decode_tokens_per_s)],
  ];
  const row = make("tr", "", ...cells.map(([className, content]) => make("td", className, content)));
  return each.preview === undefined ? [row] : [row, toWords(each.preview)];
}

// Only a server that was told to (debug_raw_preview_chars) sends any.
function toWords(text) {
  const cell = make("td", "", text);
  cell.colSpan = 10;
  return make("tr", "words", cell);
}

// Of one client all APIs together.
function showToday(rows) {
  const clients = new Map();
  for (const { client, input_tokens, cached_tokens, output_tokens } of rows) {
    const sums = clients.get(client) ?? [0, 0, 0];
    const more = [input_tokens, cached_tokens, output_tokens];
    clients.set(client, sums.map((sum, at) => sum + more[at]));
  }
  const lines = [...clients].sort(([, a], [, b]) => b[0] + b[2] - a[0] - a[2]);
  $("unused").hidden = lines.length > 0;
  $("today").replaceChildren(
    ...lines.map(([client, sums]) => {
      const cells = sums.map((sum) => make("td", "n", short(sum)));
      return make("tr", "", make("td", "", client), ...cells);
    }),
  );
}

// They change when a request has ended, and at midnight.
let counted;

async function countToday(list) {
  const state = `${list[0]?.id} ${list[0]?.ended_at} ${new Date().toDateString()}`;
  if (state === counted) return;
  showToday((await (await request("/mlxoss/usage")).json()).data);
  counted = state;
}

function showStatus(status) {
  $("status").dataset.status = status;
  if ($("status").textContent !== status) $("status").textContent = status;
}

let timer;

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    const health = await (await request("/health")).json();
    const isKnown = "version" in health;
    $("unlock").hidden = isKnown;
    $("wrong").hidden = isKnown || sessionStorage.getItem(KEY) === null;
    showStatus(health.status);
    if (isKnown) {
      showHealth(health);
      const requests = await (await request("/mlxoss/requests")).json();
      showRequests(requests);
      await countToday(requests.data);
    }
  } catch {
    showStatus("offline");
  }
  clearTimeout(timer);
  timer = setTimeout(poll, POLL_MS);
}

document.addEventListener("visibilitychange", poll);
$("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $("key").value.trim());
  $("key").value = "";
  poll();
});

poll();
