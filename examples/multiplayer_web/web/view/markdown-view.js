// A text that grows, as elements: only its last block is made again.

import { parseBlocks } from "../markdown.js";
import { element } from "./dom.js";

export class MarkdownView {
  #root;
  #text = "";
  /** Where the last block begins. */
  #from = 0;
  /** The elements of the blocks before it. */
  #settled = 0;

  constructor(root) {
    this.#root = root;
  }

  update(text) {
    if (!text.startsWith(this.#text)) {
      this.#from = 0;
      this.#settled = 0;
    }
    this.#text = text;
    const blocks = parseBlocks(text, this.#from);
    while (this.#root.childNodes.length > this.#settled) this.#root.lastChild.remove();
    this.#root.append(...blocks.map(blockElement));
    const last = blocks.at(-1);
    if (last) {
      this.#from = last.start;
      this.#settled += blocks.length - 1;
    }
  }
}

function blockElement(block) {
  switch (block.type) {
    case "heading":
      // Below the page's own headings.
      return element(`h${Math.min(block.level + 2, 6)}`, {}, ...inlineNodes(block.inline));
    case "code":
      return codeElement(block);
    case "rule":
      return element("hr");
    case "quote":
      return element("blockquote", {}, ...block.blocks.map(blockElement));
    case "list": {
      const properties = block.ordered && block.begin !== 1 ? { start: block.begin } : {};
      return element(block.ordered ? "ol" : "ul", properties, ...block.items.map(itemElement));
    }
    case "table":
      return tableElement(block);
    default:
      return element("p", {}, ...inlineNodes(block.inline));
  }
}

function itemElement(blocks) {
  const [first, ...rest] = blocks;
  const lead = first?.type === "paragraph" ? inlineNodes(first.inline) : first ? [blockElement(first)] : [];
  return element("li", {}, ...lead, ...rest.map(blockElement));
}

function codeElement({ language, text }) {
  const code = element("code", {}, text);
  const label = language || "code";
  const pre = element("pre", { tabindex: "0", "aria-label": label }, code);
  const copy = element("button", { type: "button", class: "copy" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Can’t copy";
    }
  });
  return element("div", { class: "code" }, element("div", { class: "code-head" }, element("span", {}, label), copy), pre);
}

function tableElement({ head, rows }) {
  const cell = (name, properties) => (inline) => element(name, properties, ...inlineNodes(inline));
  const row = (cells) => element("tr", {}, ...cells);
  const table = element("table", {},
    element("thead", {}, row(head.map(cell("th", { scope: "col" })))),
    element("tbody", {}, ...rows.map((cells) => row(cells.map(cell("td", {}))))));
  return element("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table" }, table);
}

function inlineNodes(parts) {
  return parts.map((part) => {
    switch (part.type) {
      case "text": return document.createTextNode(part.text);
      case "break": return element("br");
      case "code": return element("code", {}, part.text);
      case "strong": return element("strong", {}, ...inlineNodes(part.inline));
      case "emphasis": return element("em", {}, ...inlineNodes(part.inline));
      case "strike": return element("s", {}, ...inlineNodes(part.inline));
      case "link":
        return element("a", { href: part.address, target: "_blank", rel: "noopener noreferrer nofollow" }, ...inlineNodes(part.inline));
      default: return document.createTextNode("");
    }
  });
}
