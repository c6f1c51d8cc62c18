import { check, close, go, open, shown, until } from './helpers.mjs';

const page = await open();

// The apps with their states.
for (const [app, status] of [['api', 'online'], ['worker', 'online'], ['mailer', 'errored']]) {
  const row = await shown(page, '.apps .rows .row', app);
  await row.locator('.badge', { hasText: status }).waitFor();
}
await shown(page, '.apps .row', 'ready 3/3');
await shown(page, '.tile', 'of 3');
await until(page, () => document.querySelector('.apps .cell.memory .figure').textContent.endsWith('iB'));

// Filter and sort; keys.
await page.keyboard.press('/');
await page.keyboard.type('jobs');
await until(page, () => document.querySelectorAll('.apps .rows .row').length === 1);
await shown(page, '.count', '1 of 3 apps');
await page.keyboard.press('Escape');
await until(page, () => document.querySelectorAll('.apps .rows .row').length === 3);
await page.keyboard.press('Escape');
await page.getByRole('button', { name: 'Status' }).click();
await until(page, () => {
  const rows = [...document.querySelectorAll('.apps .rows .row')];
  rows.sort((a, b) => Number(a.getAttribute('aria-rowindex')) - Number(b.getAttribute('aria-rowindex')));
  return rows[0].textContent.includes('mailer');
});
await page.keyboard.press('j');
await page.keyboard.press('j');
await page.keyboard.press('Enter');
await until(page, () => location.hash.startsWith('#/app/'));

// An app.
await go(page, '#/app/api');
await shown(page, 'h1', 'api');
await until(page, () => document.querySelectorAll('.instances .rows .row').length === 3);
await shown(page, '.timeline .event', 'api (0) is online');
await shown(page, '.legend li', 'MiB');
await until(page, () => document.querySelectorAll('.chart canvas').length === 2);
await shown(page, '.settings tr', 'max_memory_restart');
const set = await shown(page, '.settings tr', 'exec_mode');
check((await set.innerText()).includes('set'), await set.innerText());
const untouched = await shown(page, '.settings tr', 'kill_timeout');
check((await untouched.innerText()).includes('default'), await untouched.innerText());
await shown(page, '.settings tr', 'GREETING');
await shown(page, '.chips', 'worker ready');
await page.getByRole('link', { name: 'worker' }).click();
await shown(page, '.chips', 'api ready');

// Logs: history and new lines, colours, levels, search.
await page.getByRole('link', { name: 'Logs' }).first().click();
await shown(page, '.lines .line', 'job ');
const count = await page.locator('.lines .line').count();
await until(page, (before) => document.querySelectorAll('.lines .line').length > before, count);
await page.getByLabel('App', { exact: true }).selectOption('api');
await shown(page, '.lines .fg2', 'listening');
await shown(page, '.lines .bold', 'ready');
await shown(page, '.lines .line.warn', 'the cache is cold');
await page.getByLabel('Lowest level').selectOption('warn');
await until(page, () => {
  const lines = [...document.querySelectorAll('.lines .line')];
  return lines.length > 0 && lines.every((line) => line.classList.contains('warn'));
});
await page.getByLabel('Lowest level').selectOption('');
await page.getByLabel('Search log lines').fill('CACHE');
await shown(page, '.lines mark', 'cache');
await until(page, () => [...document.querySelectorAll('.lines .line')].every((line) => line.textContent.includes('cache')));
const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()]);
check(download.suggestedFilename() === 'api.log', download.suggestedFilename());
await page.getByRole('button', { name: 'Wrap' }).click();
check(!(await page.locator('.lines').getAttribute('class')).includes('wraps'), 'lines still wrap');

// Events.
await page.keyboard.press('3');
await shown(page, '.event', 'mailer (4)');
await page.getByLabel('Lowest level').selectOption('error');
await until(page, () => [...document.querySelectorAll('.event')].every((event) => event.classList.contains('error')));

// Colours: system, light, dark.
const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
check(await theme() === 'dark', await theme());
await page.keyboard.press('t');
check(await theme() === 'light', await theme());
await page.reload();
await shown(page, '.connection.live');
check(await theme() === 'light', 'the choice is lost');

await close(page);
