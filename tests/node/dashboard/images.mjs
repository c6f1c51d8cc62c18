// Screenshots, in dark and light.
import { writeFileSync } from 'node:fs';
import { close, go, open, shown, until } from './helpers.mjs';

const page = await open({ viewport: { width: 1280, height: 700 }, deviceScaleFactor: 1.5 });
// Playwright itself writes no WebP, which is a third of the size.
const session = await page.context().newCDPSession(page);
const points = (count) => until(page, (wanted) => {
  const line = document.querySelector('.spark polyline')?.getAttribute('points') ?? '';
  return line.split(' ').length >= wanted;
}, count);
const picture = async (name, height, themes) => {
  await page.setViewportSize({ width: 1280, height });
  for (const colorScheme of themes) {
    await page.emulateMedia({ colorScheme });
    await until(page, (wanted) => document.documentElement.dataset.theme === wanted, colorScheme);
    const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 82 });
    writeFileSync(`${process.env.IMAGES}/${name}${colorScheme === 'dark' ? '-dark' : ''}.webp`, Buffer.from(data, 'base64'));
  }
};

await shown(page, '.apps .row', 'ready');
await shown(page, '.apps .row', 'errored');
await points(Number(process.env.POINTS));
await picture('dashboard-apps', 600, ['light']);
await go(page, '#/app/api');
await shown(page, '.settings tr');
await shown(page, '.timeline .event');
await picture('dashboard-app', 860, ['light', 'dark']);
await go(page, '#/logs');
await shown(page, '.lines .line');
await picture('dashboard-logs', 460, ['dark']);
await close(page);
