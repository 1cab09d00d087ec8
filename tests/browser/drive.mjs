// Uses the page as a person does, in headless Chromium. Reads a job as JSON from standard input and writes what
// the page showed as JSON to standard output.
//
// job: {folder, chromium, profile, url, pictures, directory, query, labels, template, each, texts, screenshots}

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const job = JSON.parse(readFileSync(0, "utf-8"));
const { chromium } = createRequire(`${job.folder}/`)("playwright-core");
const seen = { foreign: [], said: [] };

const context = await chromium.launchPersistentContext(job.profile, {
  executablePath: job.chromium,
  headless: true,
  viewport: { width: 1100, height: 1200 },
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
try {
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(120_000);
  page.on("console", (message) => seen.said.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => seen.said.push(`error: ${error.message}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (["http:", "https:", "ws:"].includes(url.protocol) && url.origin !== new URL(job.url).origin) {
      seen.foreign.push(request.url());
    }
  });
  await page.goto(job.url);
  await use(page);
} finally {
  await context.close();
}
process.stdout.write(JSON.stringify(seen));

async function use(page) {
  const loaded = page.waitForSelector("body[data-ready]").then(() => true);
  const failed = page.waitForSelector("#problems li").then(() => false);
  const works = await Promise.race([loaded, failed]);
  [loaded, failed].forEach((each) => each.catch(() => {})); // the other one ends with the page
  seen.isolated = await page.evaluate(() => self.crossOriginIsolated);
  if (works) {
    seen.model = await page.textContent("#model");
    if (job.texts) seen.ids = await page.evaluate(readTexts, job.texts);
    if (job.pictures) await give(page, "#files", job.pictures);
    if (job.directory) await give(page, "#folder", job.directory);
    if (job.query) await search(page);
    if (job.labels) await label(page);
  }
  seen.problems = await page.$$eval("#problems li", (lines) => lines.map((line) => line.firstChild.textContent.trim()));
}

async function readTexts(texts) {
  const { TextReader } = await import("./texts.js");
  const [tokenizer, config, { text: steps }] = await Promise.all(
    ["tokenizer.json", "tokenizer_config.json", "model.json"].map(async (path) => (await fetch(path)).json()),
  );
  const reader = new TextReader(tokenizer, config, steps);
  return texts.map((text) => reader.ids(text));
}

async function give(page, input, files) {
  const begin = performance.now();
  await page.setInputFiles(input, files);
  await page.waitForSelector("#work", { state: "hidden" });
  seen.seconds = (performance.now() - begin) / 1000;
  seen.title = await page.textContent("#pictures-title");
}

async function search(page) {
  await page.fill("#query", job.query);
  await page.press("#query", "Enter");
  await page.waitForSelector(".card[data-score]");
  seen.ranking = await scores(page);
  await shoot(page, "search");
}

async function label(page) {
  await page.check("input[value=label]", { force: true });
  await page.fill("#labels", job.labels.join("\n"));
  await page.fill("#template", job.template);
  await page.press("#template", "Enter");
  await page.waitForSelector("#chosen-labels li");
  seen.best = await scores(page);
  seen.shares = {};
  if (job.each === false) return;
  for (const card of await page.$$(".card")) {
    const path = await card.getAttribute("data-path");
    await card.press("Enter");
    seen.shares[path] = await page.$$eval("#chosen-labels li", (rows) =>
      rows.map((row) => [row.dataset.label, Number(row.dataset.share)]),
    );
  }
  await shoot(page, "label");
}

function scores(page) {
  return page.$$eval(".card[data-score]", (cards) =>
    cards.map((card) => [card.dataset.path, Number(card.dataset.score), card.lastElementChild.textContent]),
  );
}

async function shoot(page, name) {
  if (!job.screenshots) return;
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: `${job.screenshots}/${name}-${colorScheme}.png` });
  }
}
