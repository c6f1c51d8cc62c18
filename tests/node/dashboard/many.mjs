import { check, close, go, open, shown, until } from './helpers.mjs';

const page = await open();
await shown(page, '.apps .row', 'ready 1000/1000');
await go(page, '#/app/many');
await until(page, () => document.querySelectorAll('.instances .rows .row').length > 5);
const rows = () => page.locator('.instances .rows .row').count();
check(await rows() < 100, `there are ${await rows()} rows`);
check(await page.locator('.instances').getAttribute('aria-rowcount') === '1001', 'aria-rowcount');
for (const part of [0.25, 0.5, 0.75, 1]) {
  await page.evaluate((share) => {
    const scroller = document.querySelector('.scroller');
    scroller.scrollTop = share * (scroller.scrollHeight - scroller.clientHeight);
  }, part);
  const wanted = String(Math.round(part * 999) - (part === 1 ? 0 : 3));
  await until(page, (id) => [...document.querySelectorAll('.instances .cell.id')].some((cell) => Number(cell.textContent) >= Number(id)), wanted);
  check(await rows() < 100, `there are ${await rows()} rows`);
}
await shown(page, '.instances .row', '999');
await close(page);
