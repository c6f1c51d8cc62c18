// Screenshots, in dark and light.
import { close, go, open, shown, until } from './helpers.mjs';

const page = await open({ viewport: { width: 1280, height: 700 }, deviceScaleFactor: 1.25 });
const points = (count) => until(page, (wanted) => {
  const line = document.querySelector('.spark polyline')?.getAttribute('points') ?? '';
  return line.split(' ').length >= wanted;
}, count);
const picture = async (name, height) => {
  await page.setViewportSize({ width: 1280, height });
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await until(page, (wanted) => document.documentElement.dataset.theme === wanted, colorScheme);
    await page.screenshot({ path: `${process.env.IMAGES}/${name}${colorScheme === 'dark' ? '-dark' : ''}.png` });
  }
};

await shown(page, '.apps .row', 'ready');
await shown(page, '.apps .row', 'errored');
await points(Number(process.env.POINTS));
await picture('dashboard-apps', 560);
await go(page, '#/app/api');
await shown(page, '.settings tr');
await shown(page, '.timeline .event');
await picture('dashboard-app', 860);
await go(page, '#/logs');
await shown(page, '.lines .line');
await picture('dashboard-logs', 460);
await close(page);
