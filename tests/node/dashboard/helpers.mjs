// What the scripts of the dashboard's tests share.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

export const url = process.argv[2];
export const TOKEN = '0123456789abcdef';
// A deadline, not a measurement: the machine may be busy.
const PATIENCE = 120_000 + 10_000 * Number(process.env.POINTS);

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const problems = [];
let isExpected = () => false;
// On a busy machine the supervisor may not answer in time; the page requests it again.
const isBusy = (text) => text.includes('status of 503');

// Errors of the browser that a script causes on purpose.
export function expectErrors(matches) {
  isExpected = matches;
}

export async function open(options = {}, connection = '.connection.live') {
  const browser = await chromium.launch({
    executablePath: process.env.BROWSER || undefined,
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  });
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'dark', ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !isBusy(message.text()) && !isExpected(message.text())) problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(error.stack));
  page.on('dialog', (dialog) => {
    problems.push(`a script of an application has opened a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('request', (request) => {
    const target = new URL(request.url());
    if (target.origin !== new URL(url).origin && target.protocol !== 'blob:') problems.push(`a request to ${request.url()}`);
  });
  await page.goto(url);
  await shown(page, connection);
  return page;
}

export async function close(page) {
  check(problems.length === 0, `the browser has reported: ${problems.join('\n')}`);
  await page.context().browser().close();
}

export function check(isTrue, message) {
  if (!isTrue) throw new Error(message);
}

// Waits until an element is there that has this text.
export async function shown(page, selector, text) {
  const found = page.locator(selector).filter({ visible: true, ...(text === undefined ? {} : { hasText: text }) }).first();
  await found.waitFor().catch(async (error) => {
    throw new Error(`${selector} with ${text} is not shown: ${error.message}\n${await page.locator('body').innerText()}`);
  });
  return found;
}

// Waits until `isTrue` is true in the page.
export async function until(page, isTrue, argument) {
  await page.waitForFunction(isTrue, argument);
}

// Goes to a page of the dashboard.
export async function go(page, hash) {
  await page.evaluate((wanted) => {
    location.hash = wanted;
  }, hash);
}

// Fails if axe-core finds a violation.
export async function checkAccess(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }));
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join('\n')}`);
  check(found.length === 0, `${what}: ${found.join('\n')}`);
}

// Fails if the page is wider than the window.
export async function checkWidth(page, what) {
  const [content, window] = await page.evaluate(() => {
    const main = document.getElementById('main');
    return [Math.max(document.documentElement.scrollWidth, main.scrollWidth), innerWidth];
  });
  check(content <= window, `${what} is ${content} wide in a window of ${window}`);
}

export async function enterToken(page, token) {
  await page.getByRole('button', { name: 'Token' }).click();
  await page.locator('#token').fill(token);
  await page.getByRole('button', { name: 'Use token' }).click();
}
