// A chat with the model. What it writes becomes text nodes, never markup.

import { Call, Citations, Reasoning } from "./calls.js";
import { $, count, estimate, make, rate, request, seconds } from "./parts.js";

// A bit of Markdown: fenced blocks, `code` and **bold**, and numbers in the place of citations;
// all else is as it was written.

function toNodes(text, citations) {
  const parts = text.split(/^[ \t]*```(.*)\n?/m);
  const nodes = [];
  for (let at = 0; at < parts.length; at += 2) {
    const part = parts[at];
    if ((at / 2) % 2) nodes.push(make("pre", "", make("code", "", part.replace(/\n$/, ""))));
    else nodes.push(...part.split(/\n{2,}/).filter((each) => each.trim()).map((each) => toParagraph(each, citations)));
  }
  return nodes;
}

function toParagraph(text, citations) {
  const pieces = text.trim().split(/(`[^`\n]+`|\*\*[^*\n]+\*\*|\uE000\d+\uE001)/);
  return make("p", "", ...pieces.map((piece, at) => {
    if (at % 2 === 0) return piece;
    if (piece[0] === "\uE000") return citations.toNode(Number(piece.slice(1, -1)));
    return piece[0] === "`" ? make("code", "", piece.slice(1, -1)) : make("b", "", piece.slice(2, -2));
  }));
}

// The chat

let history = [];
let running = null;

class Answer {
  constructor() {
    this.text = "";
    this.startedAt = performance.now();
    this.firstAt = null;
    this.steps = new Map();
    this.citations = new Citations();
    this.led = make("div", "led");
    this.plots = make("div", "plots");
    this.body = make("div", "text");
    this.sources = make("ol", "sources");
    this.note = make("p", "note");
    this.sources.hidden = this.plots.hidden = true;
    this.sources.setAttribute("aria-label", "Sources");
    this.element = make("article", "message assistant busy", this.led, this.plots, this.body, this.sources, this.note);
  }

  take(event) {
    const { type, item, output_index: at } = event;
    if (type === "error") throw new Error(event.message);
    if (type === "response.failed") throw new Error(event.response.error.message);
    if (type === "response.completed" || type === "response.incomplete") this.response = event.response;
    else if (type === "mlxoss.prompt_progress") this.wait(event.prompt_progress);
    else if (type === "response.output_item.added") this.begin(at, item);
    else if (type === "response.output_item.done") this.steps.get(at)?.end(item);
    else if (type === "response.output_text.annotation.added") this.cite(event);
    else if (type === "response.output_text.delta" || type === "response.reasoning_text.delta") this.add(event);
    else if (this.steps.get(at)?.take === undefined) return;
    else this.steps.get(at).take(event);
    this.frame ??= requestAnimationFrame(() => this.show());
  }

  // What comes before the answer are steps: reasoning, preambles of calls, and calls.
  begin(at, item) {
    const isCall = Call.isOne(item);
    if (!isCall && item.type !== "reasoning" && item.phase !== "commentary") return;
    const step = isCall ? new Call(item) : new Reasoning();
    this.steps.set(at, step);
    this.led.append(step.element);
  }

  add({ output_index: at, delta }) {
    if (this.firstAt === null) this.note.textContent = "";
    this.firstAt ??= performance.now();
    if (this.steps.has(at)) this.steps.get(at).add(delta);
    else this.text += delta;
  }

  cite({ output_index: at, annotation }) {
    if (!this.steps.has(at)) this.citations.add(annotation);
  }

  // A prompt of 60,000 tokens takes minutes; one of a moment needs no words.
  wait({ total, cache, processed, time_ms: spent }) {
    const left = (spent / 1000) * (total - processed) / Math.max(processed - cache, 1);
    if (spent / 1000 + left < 1) return;
    this.note.textContent =
      `prompt: ${count(processed)} of ${count(total)} tokens, ${estimate(left)} left`;
  }

  show() {
    this.frame = null;
    keepingTheEndInView(() => {
      for (const step of this.steps.values()) step.show();
      const plots = this.calls.flatMap((call) => call.plots);
      if (plots.length !== this.plots.childElementCount) this.plots.replaceChildren(...plots);
      this.plots.hidden = !plots.length;
      this.body.replaceChildren(...toNodes(this.citations.mark(this.text), this.citations));
    });
  }

  end(message, isFailure = false) {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.show();
    this.element.classList.remove("busy");
    this.note.classList.toggle("failure", isFailure);
    keepingTheEndInView(() => {
      for (const step of this.steps.values()) step.stop();
      this.sources.replaceChildren(...this.citations.toList());
      this.sources.hidden = !this.sources.childElementCount;
      this.note.textContent = message ?? this.figures();
    });
  }

  get calls() {
    return [...this.steps.values()].filter((step) => step instanceof Call);
  }

  figures() {
    const tokens = this.response?.usage?.output_tokens;
    if (!tokens || !this.firstAt) return "";
    const ran = this.calls.reduce((sum, call) => sum + call.spent, 0);
    const spent = (performance.now() - this.firstAt - ran) / 1000;
    const first = seconds((this.firstAt - this.startedAt) / 1000);
    const inTools = ran < 100 ? "" : ` · ${seconds(ran / 1000)} in tools`;
    return `${count(tokens)} tokens · first after ${first}${inTools} · ${rate((tokens - 1) / Math.max(spent, 0.001))} tokens/s`;
  }

  // What the next request says of this answer: images were for the eyes, and are large.
  toItems() {
    if (!this.response) return this.text ? [{ role: "assistant", content: this.text }] : [];
    return this.response.output.map((item) => {
      if (item.type !== "code_interpreter_call") return item;
      return { ...item, outputs: (item.outputs ?? []).filter(({ type }) => type === "logs") };
    });
  }
}

function keepingTheEndInView(change) {
  const box = $("messages");
  const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  change();
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}

async function* events(stream) {
  let rest = "";
  for await (const text of read(stream.pipeThrough(new TextDecoderStream()))) {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const line = block.split("\n").find((each) => each.startsWith("data: "));
      if (line && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
    }
  }
}

async function* read(stream) {
  const reader = stream.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
}

const TOOLS = [{ type: "code_interpreter", container: { type: "auto" } }, { type: "web_search" }];
const INCLUDE = ["reasoning.encrypted_content", "code_interpreter_call.outputs", "web_search_call.action.sources"];

// The server keeps nothing: items go back, reasoning sealed. It leaves out tools that are off.
async function complete(answer, items, signal) {
  const response = await request("/v1/responses", {
    method: "POST",
    headers: { "content-type": "application/json" },
    signal,
    body: JSON.stringify({
      model: $("model").textContent || "any",
      input: items,
      reasoning: { effort: $("effort").value },
      tools: $("use-tools").checked ? TOOLS : [],
      include: INCLUDE,
      store: false,
      stream: true,
      return_progress: true,
    }),
  });
  if (!response.ok) throw new Error((await response.json()).error.message);
  for await (const event of events(response.body)) answer.take(event);
}

async function ask(question) {
  const answer = new Answer();
  running = new AbortController();
  const items = history;
  const said = { role: "user", content: question };
  $("empty").hidden = true;
  $("messages").append(make("article", "message user", question), answer.element);
  $("messages").scrollTop = $("messages").scrollHeight;
  setBusy(true);
  try {
    await complete(answer, [...items, said], running.signal);
    answer.end();
  } catch (error) {
    const isStopped = error.name === "AbortError";
    answer.end(isStopped ? "Stopped." : error.message, !isStopped);
  }
  const told = answer.toItems();
  if (told.length) items.push(said, ...told);
  running = null;
  setBusy(false);
}

function setBusy(isBusy) {
  $("stop").hidden = !isBusy;
  $("send").hidden = isBusy;
  $("messages").setAttribute("aria-busy", String(isBusy));
  $("question").focus();
}

const stop = () => running?.abort();

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question || running) return;
  $("question").value = "";
  ask(question);
});
if (!CSS.supports("field-sizing", "content")) {
  $("question").addEventListener("input", ({ target }) => {
    target.style.height = "auto";
    target.style.height = `${target.scrollHeight + 2}px`;
  });
}
$("question").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("ask").requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
});
$("stop").addEventListener("click", stop);
$("fresh").addEventListener("click", () => {
  stop();
  history = [];
  $("messages").replaceChildren($("empty"));
  $("empty").hidden = false;
  $("question").focus();
});
