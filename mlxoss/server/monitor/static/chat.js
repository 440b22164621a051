// A chat with the model. What it writes becomes text nodes, never markup.

import { $, count, estimate, make, rate, request, seconds } from "./parts.js";

// A bit of Markdown: fenced blocks, `code` and **bold**; all else is as it was written.

function toNodes(text) {
  const parts = text.split(/^[ \t]*```(.*)\n?/m);
  const nodes = [];
  for (let at = 0; at < parts.length; at += 2) {
    if ((at / 2) % 2) nodes.push(make("pre", "", make("code", "", parts[at].replace(/\n$/, ""))));
    else nodes.push(...parts[at].split(/\n{2,}/).filter((each) => each.trim()).map(toParagraph));
  }
  return nodes;
}

function toParagraph(text) {
  const pieces = text.trim().split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/);
  return make("p", "", ...pieces.map((piece, at) => {
    if (at % 2 === 0) return piece;
    return piece[0] === "`" ? make("code", "", piece.slice(1, -1)) : make("b", "", piece.slice(2, -2));
  }));
}

// The chat

let history = [];
let running = null;

class Answer {
  constructor() {
    this.text = this.reasoning = "";
    this.startedAt = performance.now();
    this.firstAt = null;
    this.summary = make("summary", "", "Reasoning…");
    this.thoughts = make("div");
    this.details = make("details", "", this.summary, this.thoughts);
    this.details.hidden = true;
    this.body = make("div", "text");
    this.note = make("p", "note");
    this.element = make("article", "message assistant busy", this.details, this.body, this.note);
  }

  take(chunk) {
    if (chunk.error) throw new Error(chunk.error.message);
    if (chunk.usage) this.usage = chunk.usage;
    if (chunk.prompt_progress) this.wait(chunk.prompt_progress);
    const delta = chunk.choices[0]?.delta ?? {};
    if (!delta.content && !delta.reasoning) return;
    if (this.firstAt === null) this.note.textContent = "";
    this.firstAt ??= performance.now();
    this.text += delta.content ?? "";
    this.reasoning += delta.reasoning ?? "";
    this.frame ??= requestAnimationFrame(() => this.show());
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
      this.details.hidden = !this.reasoning;
      this.thoughts.textContent = this.reasoning;
      this.summary.textContent = this.text ? "Reasoning" : "Reasoning…";
      this.body.replaceChildren(...toNodes(this.text));
    });
  }

  end(message, isFailure = false) {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.show();
    this.summary.textContent = "Reasoning";
    this.element.classList.remove("busy");
    this.note.classList.toggle("failure", isFailure);
    keepingTheEndInView(() => { this.note.textContent = message ?? this.figures(); });
  }

  figures() {
    if (!this.usage || !this.firstAt) return "";
    const { completion_tokens: tokens } = this.usage;
    const spent = (performance.now() - this.firstAt) / 1000;
    const first = seconds((this.firstAt - this.startedAt) / 1000);
    return `${count(tokens)} tokens · first after ${first} · ${rate((tokens - 1) / Math.max(spent, 0.001))} tokens/s`;
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

async function complete(answer, messages, signal) {
  const response = await request("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    signal,
    body: JSON.stringify({
      model: $("model").textContent || "any",
      messages,
      reasoning_effort: $("effort").value,
      stream: true,
      stream_options: { include_usage: true },
      return_progress: true,
    }),
  });
  if (!response.ok) throw new Error((await response.json()).error.message);
  for await (const chunk of events(response.body)) answer.take(chunk);
}

async function ask(question) {
  const answer = new Answer();
  running = new AbortController();
  const messages = history;
  messages.push({ role: "user", content: question });
  $("empty").hidden = true;
  $("messages").append(make("article", "message user", question), answer.element);
  $("messages").scrollTop = $("messages").scrollHeight;
  setBusy(true);
  try {
    await complete(answer, messages, running.signal);
    answer.end();
  } catch (error) {
    const isStopped = error.name === "AbortError";
    answer.end(isStopped ? "Stopped." : error.message, !isStopped);
  }
  if (answer.text) messages.push({ role: "assistant", content: answer.text });
  else messages.pop();
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
