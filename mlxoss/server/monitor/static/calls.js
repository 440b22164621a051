// What led to an answer: reasoning, and calls of the server's tools, each folded; what it cites.
// All of it was written by models and strangers: it becomes text, and links that are checked.

import { make } from "./parts.js";

const IMAGE = /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$/;

// Nothing but pages of the web is linked.
export function toLink(url, ...children) {
  let target;
  try {
    target = new URL(url);
  } catch {
    return make("span", "", ...children);
  }
  if (!["http:", "https:"].includes(target.protocol)) return make("span", "", ...children);
  const link = make("a", "", ...children);
  link.href = target.href;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  return link;
}

function toHost(url) {
  try {
    return new URL(url).host || url;
  } catch {
    return url;
  }
}

const firstLine = (text) => (text ?? "").trim().split("\n", 1)[0];
const block = (className, text) => make("pre", className, make("code", "", text));

// A part of what led to the answer: its summary is a line, what it holds is folded away. What is
// not new is not shown anew: somebody may be reading it.
class Step {
  constructor(className) {
    this.isNew = false;
    this.summary = make("summary");
    this.inside = make("div");
    this.element = make("details", className, this.summary, this.inside);
  }

  // Nothing more comes.
  stop() {}

  say(what, detail, isBusy = false) {
    const words = make("span", "", `${what}${isBusy ? "…" : ""}`);
    this.summary.replaceChildren(words, ...(detail ? [" ", make("code", "detail", detail)] : []));
  }
}

export class Reasoning extends Step {
  constructor() {
    super("reasoning");
    this.text = "";
    this.element.hidden = true;
    this.say("Reasoning", "", true);
  }

  add(text) {
    this.text += text;
    this.isNew = true;
  }

  show() {
    if (!this.isNew) return;
    this.isNew = false;
    this.element.hidden = false;
    this.inside.textContent = this.text;
  }

  end() {
    this.stop();
  }

  stop() {
    this.show();
    this.say("Reasoning");
  }
}

const RUNS = new Set([
  "response.code_interpreter_call.interpreting",
  "response.web_search_call.searching",
  "response.mcp_call_arguments.done",
]);

// A call of code, of the browser or of an MCP server, from its first event to its whole item.
export class Call extends Step {
  constructor(item) {
    super("call");
    this.item = item;
    this.isBusy = this.isNew = true;
    this.startedAt = null;
    this.spent = 0;
    this.plots = [];
  }

  static isOne = ({ type }) => Object.hasOwn(TELLERS, type);

  // The code comes piece by piece; while it runs, time is not the model's.
  take({ type, delta }) {
    if (type === "response.code_interpreter_call_code.delta") {
      this.item = { ...this.item, code: (this.item.code ?? "") + delta };
      this.isNew = true;
    } else if (RUNS.has(type)) this.startedAt = performance.now();
  }

  end(item) {
    this.item = item;
    this.isBusy = false;
    this.isNew = true;
    this.plots = toPlots(item.outputs);
    this.spent = this.startedAt === null ? 0 : performance.now() - this.startedAt;
    this.show();
  }

  stop() {
    if (this.isBusy) this.end({ ...this.item, status: "incomplete" });
  }

  show() {
    if (!this.isNew) return;
    this.isNew = false;
    const { what, doing, detail, inside } = TELLERS[this.item.type](this.item);
    const { status, error } = this.item;
    const fault = error || status === "failed" ? " (failed)" : status === "incomplete" ? " (not finished)" : "";
    this.element.classList.toggle("failed", !this.isBusy && fault !== "");
    this.say(this.isBusy ? doing : `${what}${fault}`, detail, this.isBusy);
    this.inside.replaceChildren(...inside);
  }
}

function toPlots(outputs) {
  const urls = (outputs ?? []).filter(({ type }) => type === "image").map(({ url }) => url);
  return urls.filter((url) => IMAGE.test(url)).map((url) => {
    const image = make("img", "plot");
    image.alt = "What the code drew";
    image.src = url;
    return image;
  });
}

const TELLERS = {
  code_interpreter_call({ code, outputs }) {
    const logs = (outputs ?? []).filter(({ type }) => type === "logs").map((each) => each.logs);
    const said = logs.join("\n");
    const inside = [block("", code ?? ""), ...(said ? [block("output", said)] : [])];
    return { what: "Ran Python", doing: "Running Python", detail: firstLine(code), inside };
  },

  web_search_call({ action }) {
    const { type, url = "", query = "", pattern = "", sources } = action ?? {};
    if (type === "open_page") {
      const inside = [url ? toLink(url, url) : "An address that is not known."];
      return { what: "Opened", doing: "Opening", detail: toHost(url), inside };
    }
    if (type === "find_in_page") {
      const inside = [make("p", "", `“${pattern}” in `, toLink(url, url))];
      return { what: "Looked for", doing: "Looking", detail: pattern, inside };
    }
    const found = (sources ?? []).map((each) => make("li", "", toLink(each.url, each.url)));
    const inside = found.length ? [make("ol", "", ...found)] : [query];
    return { what: "Searched", doing: "Searching", detail: query, inside };
  },

  mcp_call({ name, server_label: label, arguments: given, output, error }) {
    const said = error ? JSON.stringify(error) : output;
    const inside = [block("", given ?? ""), ...(said ? [block("output", said)] : [])];
    return { what: "Called", doing: "Calling", detail: `${label}.${name}`, inside };
  },
};

// Citations: indices of them count code points, as the servers of this API do.

export class Citations {
  constructor() {
    this.sources = new Map();
    this.spans = [];
  }

  add({ type, start_index: from, end_index: to, title, url }) {
    if (type !== "url_citation") return;
    if (!this.sources.has(url)) this.sources.set(url, title || url);
    const number = [...this.sources.keys()].indexOf(url) + 1;
    this.spans.push({ from, to, number });
  }

  // The text with \uE000NUMBER\uE001 in the place of each citation.
  mark(text) {
    const points = [...text.replace(/[\uE000\uE001]/g, " ")];
    let at = 0;
    const pieces = [];
    for (const { from, to, number } of this.spans) {
      if (from < at || to < from || to > points.length) continue;
      pieces.push(points.slice(at, from).join("").replace(/ $/, ""), `\uE000${number}\uE001`);
      at = to;
    }
    return pieces.join("") + points.slice(at).join("");
  }

  toNode(number) {
    const [url] = [...this.sources][number - 1];
    return make("sup", "cite", toLink(url, String(number)));
  }

  toList() {
    return [...this.sources].map(([url, title]) =>
      make("li", "", toLink(url, title), " ", make("small", "", toHost(url))));
  }
}
