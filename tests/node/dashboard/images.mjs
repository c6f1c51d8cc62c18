// Screenshots for the documentation, in dark and light.
import { close, go, open, shown, until } from './helpers.mjs';

const page = await open({ viewport: { width: 1280, height: 760 } });
const points = (count) => until(page, (wanted) => {
  const line = document.querySelector('.spark polyline')?.getAttribute('points') ?? '';
  return line.split(' ').length >= wanted;
}, count);
const picture = async (name) => {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await until(page, (wanted) => document.documentElement.dataset.theme === wanted, colorScheme);
    await page.screenshot({ path: `${process.env.IMAGES}/${name}${colorScheme === 'dark' ? '-dark' : ''}.png` });
  }
};

await shown(page, '.apps .row', 'ready');
await points(3);
await picture('dashboard-apps');
await go(page, '#/app/api');
await shown(page, '.settings tr');
await shown(page, '.timeline .event');
await points(3);
await picture('dashboard-app');
await go(page, '#/logs');
await shown(page, '.lines .line');
await page.setViewportSize({ width: 1280, height: 480 });
await picture('dashboard-logs');
await close(page);
