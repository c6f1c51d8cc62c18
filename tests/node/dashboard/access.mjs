import { checkAccess, checkWidth, close, go, open, shown, until } from './helpers.mjs';

const PAGES = [
  ['#/', '.apps .rows .row', 'apps'],
  ['#/app/api', '.settings tr', 'an app'],
  ['#/logs', '.lines .line', 'logs'],
  ['#/events', '.event', 'events'],
];

const page = await open();
// axe-core reads each line: some are enough.
await go(page, '#/logs');
await page.getByLabel('Search log lines').fill('the cache is');
await shown(page, '.lines mark', 'cache');
for (const colorScheme of ['dark', 'light']) {
  await page.emulateMedia({ colorScheme });
  await until(page, (wanted) => document.documentElement.dataset.theme === wanted, colorScheme);
  for (const [hash, element, name] of PAGES) {
    for (const width of [1280, 360]) {
      await page.setViewportSize({ width, height: 740 });
      await go(page, hash);
      await shown(page, element);
      await checkWidth(page, `${name} at ${width}`);
      await checkAccess(page, `${name}, ${colorScheme}, ${width}`);
    }
  }
  await page.setViewportSize({ width: 1280, height: 740 });
  await go(page, '#/app/api');
  await page.getByRole('button', { name: 'Scale' }).click();
  await shown(page, 'dialog', 'Instances');
  await checkAccess(page, `a dialog, ${colorScheme}`);
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  await shown(page, 'dialog', 'Keyboard');
  await checkAccess(page, `the keys, ${colorScheme}`);
  await page.keyboard.press('Escape');
}
for (const [hash, element, name] of PAGES) {
  await page.setViewportSize({ width: 3440, height: 1440 });
  await go(page, hash);
  await shown(page, element);
  await checkWidth(page, `${name} at 3440`);
}
await close(page);
