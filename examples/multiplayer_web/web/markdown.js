// Markdown as a tree of plain objects: a small part of it, and no HTML. What becomes of the tree is up
// to markdown-view.js, which builds elements and sets text, so that nothing an agent says is ever markup.

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const DIVIDER = /^ *\|? *:?-+:? *(\| *:?-+:? *)*\|? *$/;
const MAX_DEPTH = 8;

/** Blocks of a text, each with the place where it begins, so that a reader of a growing text can keep all but the last. */
export function parseBlocks(text, from = 0, depth = 0) {
  const lines = readLines(text, from);
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (isBlank(lines[at].text)) {
      at += 1;
      continue;
    }
    const start = lines[at].start;
    const [block, next] = readBlock(lines, at, depth);
    blocks.push({ ...block, start });
    at = next;
  }
  return blocks;
}

function readLines(text, from) {
  const lines = [];
  let start = from;
  while (start < text.length) {
    const end = text.indexOf("\n", start);
    const stop = end < 0 ? text.length : end;
    lines.push({ start, text: text.slice(start, stop).replace(/\r$/, "").replaceAll("\t", "    ") });
    start = stop + 1;
  }
  return lines;
}

const isBlank = (line) => line.trim() === "";

function readBlock(lines, at, depth) {
  const line = lines[at].text;
  const fence = FENCE.exec(line);
  if (fence) return readFence(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) return [{ type: "heading", level: heading[1].length, inline: parseInline(heading[2]) }, at + 1];
  if (RULE.test(line)) return [{ type: "rule" }, at + 1];
  if (depth < MAX_DEPTH && QUOTE.test(line)) return readQuote(lines, at, depth);
  if (depth < MAX_DEPTH && ITEM.test(line)) return readList(lines, at, depth);
  if (isTable(lines, at)) return readTable(lines, at);
  return readParagraph(lines, at);
}

function readFence(lines, at, [, mark, language]) {
  const code = [];
  let next = at + 1;
  const closes = (line) => line.trim().length >= mark.length && line.trim() === mark[0].repeat(line.trim().length);
  while (next < lines.length && !closes(lines[next].text)) code.push(lines[next++].text);
  return [{ type: "code", language, text: code.join("\n") }, next + 1];
}

function readQuote(lines, at, depth) {
  const inner = [];
  let next = at;
  while (next < lines.length && QUOTE.test(lines[next].text)) inner.push(QUOTE.exec(lines[next++].text)[1]);
  return [{ type: "quote", blocks: parseBlocks(inner.join("\n"), 0, depth + 1) }, next];
}

function readList(lines, at, depth) {
  const [, indent, marker] = ITEM.exec(lines[at].text);
  const ordered = /\d/.test(marker);
  const items = [];
  let next = at;
  while (next < lines.length) {
    const item = ITEM.exec(lines[next].text);
    if (!item || item[1].length > indent.length + 1 || /\d/.test(item[2]) !== ordered) break;
    const own = [item[3]];
    const inset = item[1].length + 2;
    next += 1;
    while (next < lines.length && belongs(lines, next, inset)) own.push(lines[next++].text.slice(Math.min(inset, leading(lines[next - 1].text))));
    items.push(parseBlocks(own.join("\n"), 0, depth + 1));
  }
  return [{ type: "list", ordered, begin: ordered ? parseInt(marker, 10) : 1, items }, next];
}

const leading = (line) => line.length - line.trimStart().length;

/** Whether a line is part of the item above it: indented, or the rest of its paragraph. */
function belongs(lines, at, inset) {
  const line = lines[at].text;
  if (isBlank(line)) {
    const after = lines.slice(at + 1).find(({ text }) => !isBlank(text));
    return after !== undefined && leading(after.text) >= inset;
  }
  if (leading(line) >= inset) return true;
  return !isBlank(lines[at - 1].text) && !beginsBlock(line);
}

const beginsBlock = (line) => [FENCE, HEADING, RULE, QUOTE, ITEM].some((kind) => kind.test(line));

function isTable(lines, at) {
  const divider = lines[at + 1]?.text ?? "";
  return lines[at].text.includes("|") && divider.includes("-") && DIVIDER.test(divider)
    && cells(divider).length === cells(lines[at].text).length;
}

function cells(line) {
  return line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "").split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function readTable(lines, at) {
  const head = cells(lines[at].text).map(parseInline);
  const rows = [];
  let next = at + 2;
  while (next < lines.length && lines[next].text.includes("|")) {
    const row = cells(lines[next++].text).slice(0, head.length).map(parseInline);
    while (row.length < head.length) row.push([]);
    rows.push(row);
  }
  return [{ type: "table", head, rows }, next];
}

function readParagraph(lines, at) {
  const own = [lines[at].text.trim()];
  let next = at + 1;
  while (next < lines.length && !isBlank(lines[next].text) && !beginsBlock(lines[next].text)) own.push(lines[next++].text.trimStart());
  return [{ type: "paragraph", inline: parseInline(own.join("\n")) }, next];
}

// The marks that mean something within a line, longest first. `[^…]` classes and bounds keep each linear.
const INLINE = [
  ["escape", /^\\([!-/:-@[-`{-~])/],
  ["code", /^(`+)([^`]|[^`][\s\S]{0,2000}?[^`])\1(?!`)/],
  ["link", /^\[([^[\]\n]{1,500})\]\(\s*<?([^\s<>()]{1,2000}(?:\([^\s<>()]{0,500}\)[^\s<>()]{0,500})?)>?(?:\s+"[^"\n]{0,300}")?\s*\)/],
  ["strong", /^(\*\*|__)(?=\S)([\s\S]{0,2000}?\S)\1/],
  ["strike", /^(~~)(?=\S)([\s\S]{0,2000}?\S)~~/],
  ["emphasis", /^(\*|_)(?=[^\s*_])([^*\n]{0,2000}?[^\s*_])\1(?![\w*])/],
  ["address", /^https?:\/\/[^\s<>"'`)\]]{1,2000}[^\s<>"'`)\].,;:!?]/],
];

/** The parts of a line: texts, marks with parts of their own, code, links, breaks. */
export function parseInline(text, depth = 0) {
  const parts = [];
  let plain = "";
  const flush = () => {
    if (plain) parts.push({ type: "text", text: plain });
    plain = "";
  };
  let at = 0;
  while (at < text.length) {
    const found = depth < MAX_DEPTH ? readMark(text, at, depth) : null;
    if (found) {
      if (found.part.type === "text") plain += found.part.text;
      else {
        flush();
        parts.push(found.part);
      }
      at += found.length;
    } else if (text[at] === "\n") {
      flush();
      parts.push({ type: "break" });
      at += 1;
    } else {
      plain += text[at++];
    }
  }
  flush();
  return parts;
}

function readMark(text, at, depth) {
  if (!"\\`[*_~h".includes(text[at])) return null;
  // Neither a name with underscores nor the middle of a word is a mark.
  if ((text[at] === "_" || text[at] === "h") && /\w/.test(text[at - 1] ?? "")) return null;
  const rest = text.slice(at, at + 4200);
  for (const [type, pattern] of INLINE) {
    const match = pattern.exec(rest);
    if (match) return { part: markOf(type, match, depth), length: match[0].length };
  }
  return null;
}

function markOf(type, match, depth) {
  switch (type) {
    case "escape":
      return { type: "text", text: match[1] };
    case "code":
      return { type: "code", text: match[2].replace(/^ (.*) $/s, "$1") };
    case "link": {
      const address = safeAddress(match[2]);
      const inline = parseInline(match[1], MAX_DEPTH);
      return address ? { type: "link", address, inline } : { type: "text", text: match[0] };
    }
    case "address": {
      const address = safeAddress(match[0]);
      return address ? { type: "link", address, inline: [{ type: "text", text: match[0] }] } : { type: "text", text: match[0] };
    }
    default:
      return { type, inline: parseInline(match[2], depth + 1) };
  }
}

/** The address of a link that may be followed; `null` for any other, such as `javascript:`. */
export function safeAddress(address) {
  try {
    const url = new URL(address);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
