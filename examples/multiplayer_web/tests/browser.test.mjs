// The page in a real browser, for two people and more.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { Network } from "./proxy.mjs";
import { axe, connected, join, launch, log, open, picture, realSandbox, say, startProgram, transcript } from "./support.mjs";

let browser;
let program;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());
beforeEach(async () => {
  program = null;
  program = await startProgram();
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  await program?.stop();
});

const quiet = (...pages) => assert.deepEqual(pages.flatMap(({ complaints }) => complaints), []);

test("two people see one conversation, and hand control over", async () => {
  const ada = await join(browser, program.url, "Ada");
  const bob = await join(browser, program.url, "Bob");
  for (const page of [ada, bob]) {
    await page.locator("#banner", { hasText: "that follows scripts" }).waitFor();
    await page.locator("#people").getByText("Ada").waitFor();
    await page.locator("#people").getByText("Bob").waitFor();
  }
  await say(ada, "Here is **bold** and `code`:\n\n- one\n- two\n\n<img src=x onerror=alert(1)>");
  for (const page of [ada, bob]) {
    const answer = log(page).getByRole("article", { name: "The agent said" });
    await answer.locator("strong", { hasText: "bold" }).waitFor();
    await answer.locator("li", { hasText: "two" }).waitFor();
    await answer.getByText("<img src=x onerror=alert(1)>").waitFor();
    assert.equal(await page.locator("#transcript img").count(), 0);
  }
  assert.deepEqual(await transcript(ada), await transcript(bob));

  await bob.getByText("Ada drives.").waitFor();
  await bob.getByRole("button", { name: "Ask for control" }).click();
  await ada.getByText("Bob asks for control.").waitFor();
  await ada.getByRole("button", { name: "Hand over to Bob" }).click();
  await bob.getByText("You drive.").waitFor();
  await ada.getByText("Bob drives.").waitFor();

  await say(ada, "say from Ada");
  await bob.getByText("Ada suggests").waitFor();
  await bob.getByRole("button", { name: "Send Ada’s suggestion" }).click();
  await log(bob).getByText("from Ada", { exact: true }).waitFor();
  await bob.getByRole("button", { name: "Release" }).click();
  await ada.getByText("Nobody drives.").waitFor();
  quiet(ada, bob);
});

test("a permission is answered by a button, and only by who drives", async () => {
  const ada = await join(browser, program.url, "Ada");
  const bob = await join(browser, program.url, "Bob");
  await say(ada, "tool Look around; ask Delete build/");
  const asked = (page) => page.getByRole("region", { name: "Permission" });
  await asked(bob).getByText("Delete build/").waitFor();
  assert.ok(await asked(bob).getByRole("button", { name: "Allow once" }).isDisabled());
  await asked(ada).getByRole("button", { name: "Allow once" }).click();
  await log(bob).getByText("permission: allow-once").waitFor();
  await asked(bob).getByText("Allow once, by Ada").waitFor();
  await asked(ada).getByText("Allow once, by you").waitFor();
  await bob.locator(".tool", { hasText: "Look around" }).getByText("done").waitFor();
  quiet(ada, bob);
});

test("whose network is cut in the middle of a turn has all of it afterwards", async () => {
  const network = await Network.to(program.port);
  const ada = await join(browser, program.url, "Ada");
  const bob = await join(browser, network.url, "Bob");
  await say(ada, "stream 150 rate=30; tool Read a file; say **end**");
  await log(bob).getByText("u20 ").waitFor();
  network.cut();
  await bob.getByText("Reconnecting…").waitFor();
  const before = (await transcript(bob)).join();
  assert.ok(before.includes("u20 ") && !before.includes("u150"), "it was cut in the middle");
  // What is said meanwhile is sent when the network is back, and once.
  await say(bob, "say from Bob");
  await log(ada).getByText("u60 ").waitFor();
  network.restore();
  await connected(bob);
  for (const page of [ada, bob]) await log(page).locator("strong", { hasText: "end" }).waitFor();
  await ada.getByRole("button", { name: "Send Bob’s suggestion" }).click();
  for (const page of [ada, bob]) await log(page).getByText("from Bob", { exact: true }).waitFor();
  const told = await transcript(bob);
  assert.deepEqual(told, await transcript(ada));
  const stream = told.find((entry) => entry.includes("u150")).match(/u\d+/g);
  assert.deepEqual(stream, Array.from({ length: 150 }, (_, n) => `u${n + 1}`), "no hole, no double");
  assert.equal(told.filter((entry) => entry === "say from Bob" || entry.endsWith("say from Bob")).length, 1);
  // What a browser says of connections that fail is the network's, not the page's.
  quiet(ada);
  assert.deepEqual(bob.complaints.filter((text) => !/WebSocket connection|ERR_/.test(text)), []);
  network.close();
});

test("a page that is offline says so and comes back by itself", async () => {
  const ada = await join(browser, program.url, "Ada");
  await ada.context().setOffline(true);
  await ada.getByText("Reconnecting…").waitFor();
  await ada.context().setOffline(false);
  await connected(ada);
  await say(ada, "say hello again");
  await log(ada).getByText("hello again", { exact: true }).waitFor();
});

test("a page that is loaded anew is the same person, with the same conversation", async () => {
  const ada = await join(browser, program.url, "Ada");
  await say(ada, "say first; stream 50");
  await log(ada).getByText("u50 ").waitFor();
  const told = await transcript(ada);
  await ada.reload();
  await connected(ada);
  await log(ada).getByText("u50 ").waitFor();
  assert.deepEqual(await transcript(ada), told);
  await ada.getByText("You drive.").waitFor();
  assert.equal(await ada.locator("#people li").count(), 1);
  quiet(ada);
});

test("a message waits for its turn, can be taken back, and a turn can be stopped", async () => {
  const ada = await join(browser, program.url, "Ada");
  await say(ada, "stream 1000 rate=20");
  await log(ada).getByText("u5 ").waitFor();
  await say(ada, "say later");
  await say(ada, "say never");
  const queue = ada.getByRole("region", { name: "Waiting messages" });
  await queue.getByText("say never").waitFor();
  await queue.getByRole("button", { name: "Take back: say never" }).click();
  await queue.getByText("say never").waitFor({ state: "hidden" });
  await ada.getByRole("button", { name: "Stop" }).click();
  await log(ada).getByText("The turn was stopped.").waitFor();
  await log(ada).getByText("later", { exact: true }).waitFor();
  assert.ok(!(await transcript(ada)).join().includes("never"));
  await say(ada, "fail -32000 log in first");
  await log(ada).getByText("log in first").last().waitFor();
  await log(ada).getByText("The turn failed").waitFor();
  quiet(ada);
});

test("all of it works by keyboard", async () => {
  const ada = await open(browser, program.url);
  const focused = () => ada.evaluate(() => document.activeElement?.textContent || document.activeElement?.id);
  const tabTo = async (label) => {
    for (let presses = 0; presses < 40; presses += 1) {
      if ((await focused()) === label) return;
      await ada.keyboard.press("Tab");
    }
    assert.fail(`Tab does not lead to ${label}`);
  };
  await ada.locator("#door-name:focus").waitFor();
  await ada.keyboard.type("Ada");
  await ada.keyboard.press("Enter");
  await connected(ada);
  assert.equal(await focused(), "say");
  await ada.keyboard.type("ask Delete build/");
  await ada.keyboard.press("Enter");
  await ada.getByText("Delete build/").last().waitFor();
  await tabTo("Reject");
  const outline = await ada.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, "solid", "what has the focus shows it");
  await ada.keyboard.press("Enter");
  await log(ada).getByText("permission: reject-once").waitFor();
  await tabTo("Release");
  await ada.keyboard.press("Enter");
  await ada.getByText("Nobody drives.").waitFor();
  await ada.locator("#announce", { hasText: "Nobody drives now." }).waitFor({ state: "attached" });
});

test("who only looks on can do nothing, and a second tab is somebody else", async () => {
  const ada = await join(browser, program.url, "Ada");
  const eve = await open(browser, program.url);
  await eve.getByLabel("Your name").fill("Eve");
  await eve.getByLabel("Only look on").check();
  await eve.getByRole("button", { name: "Join" }).click();
  await connected(eve);
  await eve.locator("#say:disabled").waitFor();
  assert.equal(await eve.getByRole("button", { name: "control" }).count(), 0);
  await say(ada, "say hello");
  await log(eve).getByText("hello", { exact: true }).waitFor();
  assert.equal(await ada.locator("#people li").count(), 2);
  quiet(ada, eve);
});

test("nothing runs that is not the page's own, and nobody else's page gets in", async () => {
  const response = await fetch(program.url);
  const policy = response.headers.get("content-security-policy");
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /script-src 'self'/);
  assert.ok(!/unsafe|\*|https?:/.test(policy), policy);
  const elsewhere = await fetch(`${program.url}workspaces/demo/snapshot`, { headers: { origin: "https://evil.example", authorization: "Bearer x" } });
  assert.equal(elsewhere.status, 403);
  const ada = await join(browser, program.url, "Ada");
  const requests = [];
  ada.on("request", (request) => requests.push(request.url()));
  await ada.reload();
  await connected(ada);
  assert.ok(requests.length > 10 && requests.every((url) => url.startsWith(program.url)), requests.join("\n"));
});

test("in front of the real server, everybody sees what processes write", async () => {
  const real = await startProgram(realSandbox());
  try {
    const ada = await join(browser, real.url, "Ada");
    const bob = await join(browser, real.url, "Bob");
    assert.ok(await ada.locator("#banner").isHidden());
    assert.equal(await ada.getByRole("group", { name: "Things to try" }).getByRole("button").count(), 0);
    await say(ada, "say hello from a real server");
    await log(bob).getByText("hello from a real server", { exact: true }).waitFor();
    const secret = await ada.evaluate(() => sessionStorage.getItem("secret"));
    const started = await fetch(`${real.url}workspaces/demo/calls/startProcess?name=Ada`, {
      method: "POST", headers: { authorization: `Bearer ${secret}` },
      body: JSON.stringify({ command: "sh", args: ["-c", "echo from a process; sleep 60"] }),
    });
    assert.equal(started.status, 200, await started.text());
    for (const page of [ada, bob]) {
      await page.getByRole("region", { name: "Output of sh" }).getByText("from a process").waitFor();
      await page.locator("#output").getByText("running").waitFor();
    }
    await ada.getByRole("button", { name: "End sh" }).click();
    await bob.locator("#output").getByText("running").waitFor({ state: "hidden" });
    await accessible(bob, "with a process");
    await picture(bob, "process");
    quiet(ada, bob);
  } finally {
    for (const context of browser.contexts()) await context.close();
    await real.stop();
  }
});

for (const [name, options] of [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["phone", { colorScheme: "light", viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }],
  ["phone-dark", { colorScheme: "dark", viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }],
]) {
  test(`it can be read and used: ${name}`, async () => {
    const door = await open(browser, program.url, options);
    await picture(door, `${name}-door`);
    await accessible(door, `${name}, the door`);
    const ada = await join(browser, program.url, "Ada Byron", options);
    await picture(ada, `${name}-empty`);
    await accessible(ada, `${name}, empty`);
    const bob = await join(browser, program.url, "Bob", options);
    await ada.locator("#empty").getByRole("button", { name: "Answer in Markdown" }).click();
    await log(ada).getByRole("table").waitFor();
    await picture(ada, `${name}-markdown`);
    await say(ada, "thought Look first; tool Read src/session.rs; stream 30; ask Delete the folder build/");
    await ada.getByRole("button", { name: "Allow once" }).waitFor();
    await bob.getByRole("button", { name: "Ask for control" }).click();
    await say(bob, "Could you look at the documentation as well, when that is done?");
    await ada.getByText("Bob suggests").waitFor();
    await ada.getByText("asks for control").first().waitFor();
    for (const [page, who] of [[ada, "driver"], [bob, "other"]]) {
      await picture(page, `${name}-${who}`);
      await accessible(page, `${name}, ${who}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${name}: ${wide} px do not fit`);
    }
    if (name.startsWith("phone")) {
      await ada.getByRole("button", { name: "Details" }).click();
      await ada.locator("#people").getByText("Bob").waitFor();
      await picture(ada, `${name}-details`);
      await accessible(ada, `${name}, details`);
      await ada.keyboard.press("Escape");
      await ada.locator("#people").waitFor({ state: "hidden" });
    }
    quiet(ada, bob);
  });
}

/** No rule of WCAG 2.2 A and AA that a machine can judge is broken, contrast included. */
async function accessible(page, where) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    // An agent begins with whichever heading it likes.
    rules: { "heading-order": { enabled: false } },
  }));
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html}\n${failureSummary}`).join("\n")}`);
  assert.deepEqual(found, [], where);
}
