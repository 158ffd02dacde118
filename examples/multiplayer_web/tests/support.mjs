// The program, a browser, and people in it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import path from "node:path";

const told = (name) => process.env[name] ?? assert.fail(`${name} is not set: run \`cargo xtask test --only browser\``);
const installed = createRequire(path.join(told("BROWSER_TOOLS"), "package.json"));
const { chromium } = installed("playwright-core");
export const axe = installed("axe-core").source;

/** The environment of a program in front of the real server. */
export const realSandbox = () => ({ SANDBOX_AGENT_URL: told("REAL_SANDBOX_URL"), SANDBOX_AGENT_AGENT: told("REAL_SANDBOX_AGENT") });

/** Starts the program on a free port; gives its port, and what ends it. */
export async function startProgram(environment = { SANDBOX_AGENT_URL: "scripted" }) {
  const program = spawn(told("MULTIPLAYER_WEB_BIN"), {
    env: { ...process.env, ...environment, MULTIPLAYER_LISTEN: "127.0.0.1:0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(program, "exit");
  let printed = "";
  const port = await Promise.race([
    new Promise((found) => program.stdout.on("data", (chunk) => {
      printed += chunk;
      const link = /http:\/\/127\.0\.0\.1:(\d+)\/\n/.exec(printed);
      if (link) found(Number(link[1]));
    })),
    ended.then(([code]) => assert.fail(`the program ended with ${code}: ${printed}`)),
  ]);
  const stop = async () => {
    program.kill("SIGINT");
    const kill = setTimeout(() => program.kill("SIGKILL"), 10_000);
    const [code] = await ended;
    clearTimeout(kill);
    assert.equal(code, 0, "it ends by itself when it is told to");
  };
  return { port, url: `http://127.0.0.1:${port}/`, stop };
}

export function launch() {
  // Chromium's own sandbox refuses to run as root.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath: told("CHROMIUM_BIN"), args });
}

/** A browser of its own for somebody, with everything noted that it complains of. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, locale: "en-GB", ...options });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  page.complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && page.complaints.push(message.text()));
  page.on("pageerror", (error) => page.complaints.push(error.message));
  await page.goto(url);
  return page;
}

export async function join(browser, url, name, options) {
  const page = await open(browser, url, options);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Join" }).click();
  await connected(page);
  return page;
}

export const connected = (page) => page.locator('#room[data-connection="open"]').waitFor();
const box = (page) => page.getByRole("textbox", { name: "Message" });
export const log = (page) => page.getByRole("log", { name: "Messages" });

export async function say(page, text) {
  await box(page).fill(text);
  await box(page).press("Enter");
}

/** What the conversation says; times and who looks at it left out. */
export async function transcript(page) {
  const entries = page.locator("#transcript > .entry");
  return (await entries.evaluateAll((all) => all.map((entry) => {
    const copy = entry.cloneNode(true);
    for (const time of copy.querySelectorAll("time")) time.remove();
    return copy.textContent.trim();
  })));
}

export const screenshots = process.env.BROWSER_SCREENSHOTS;
export async function picture(page, name) {
  if (screenshots) await page.screenshot({ path: path.join(screenshots, `${name}.png`) });
}
