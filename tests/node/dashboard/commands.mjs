import { TOKEN, check, close, enterToken, expectErrors, go, open, shown, until } from './helpers.mjs';

// The browser reports each refused request.
expectErrors((text) => text.includes('401'));
const page = await open();
await go(page, '#/app/api');
await until(page, () => document.querySelectorAll('.instances .rows .row').length === 3);
const pids = () => page.evaluate(() => [...document.querySelectorAll('.instances .rows .cell.pid')].map((cell) => cell.textContent));
const before = await pids();

// Without a token the page requests it; a wrong one is refused.
await page.getByRole('button', { name: 'Reload' }).click();
await shown(page, 'dialog', 'without downtime');
await page.locator('dialog').getByRole('button', { name: 'Reload' }).click();
await page.locator('#token').fill('not the right token');
await page.getByRole('button', { name: 'Use token' }).click();
await shown(page, 'dialog', 'The token is wrong');
await page.locator('#token').fill(TOKEN);
await page.getByRole('button', { name: 'Use token' }).click();
await shown(page, '.steps', 'api (0)');
await shown(page, '.result.good', 'Done');
await page.getByRole('button', { name: 'Close' }).click();
await until(page, (old) => {
  const now = [...document.querySelectorAll('.instances .rows .cell.pid')].map((cell) => cell.textContent);
  return now.length === 3 && now.every((pid) => /^\d+$/.test(pid) && !old.includes(pid));
}, before);

// The token is that of this tab, and in no place that other tabs can read.
const stored = await page.evaluate(() => [JSON.stringify(localStorage), document.cookie, location.href].join());
check(!stored.includes(TOKEN), stored);

// Scale.
await page.getByRole('button', { name: 'Scale' }).click();
await page.locator('#instances').fill('2');
await page.locator('dialog').getByRole('button', { name: 'Scale' }).click();
await shown(page, '.result.good', 'Done');
await page.keyboard.press('Escape');
await until(page, () => document.querySelectorAll('.instances .rows .row').length === 2);

// One instance restarts, and the other one does not.
const [first, second] = await pids();
await page.getByRole('button', { name: 'Restart api 0' }).click();
await page.locator('dialog').getByRole('button', { name: 'Restart' }).click();
await shown(page, '.result.good', 'Done');
await page.keyboard.press('Escape');
await until(page, (old) => {
  const [one, two] = [...document.querySelectorAll('.instances .rows .cell.pid')].map((cell) => cell.textContent);
  return one !== old[0] && two === old[1];
}, [first, second]);

// Stop and start. A cancelled question does nothing.
await go(page, '#/app/worker');
await shown(page, 'h1', 'worker');
await page.getByRole('button', { name: 'Stop' }).click();
await page.locator('dialog').getByRole('button', { name: 'Cancel' }).click();
await shown(page, '.heading .badge', 'online');
await page.getByRole('button', { name: 'Stop' }).click();
await page.locator('dialog').getByRole('button', { name: 'Stop' }).click();
await shown(page, '.result.good', 'Done');
await page.keyboard.press('Escape');
await shown(page, '.heading .badge', 'stopped');
await page.getByRole('button', { name: 'Start', exact: true }).click();
await page.locator('dialog').getByRole('button', { name: 'Start', exact: true }).click();
await shown(page, '.result.good', 'Done');
await page.keyboard.press('Escape');
await shown(page, '.heading .badge', 'online');

// A failure shows its reason.
await enterToken(page, 'not the right token');
await page.getByRole('button', { name: 'Restart', exact: true }).click();
await page.locator('dialog').getByRole('button', { name: 'Restart' }).click();
await shown(page, 'dialog', 'The token is wrong');
await page.getByRole('button', { name: 'Cancel' }).click();
await shown(page, '.result.bad', 'Not done: this needs the token');
await close(page);
