import { TOKEN, check, close, expectErrors, go, open, shown } from './helpers.mjs';

expectErrors((text) => text.includes('401'));
const page = await open({}, '.connection.denied');
await shown(page, '#banner', 'this needs the token');
check(!(await page.locator('body').innerText()).includes('worker'), 'an app is shown without the token');
await go(page, '#/logs');
await shown(page, '.count', 'this needs the token');
await page.getByRole('button', { name: 'Enter the token' }).click();
await page.locator('#token').fill(TOKEN);
await page.getByRole('button', { name: 'Use token' }).click();
await shown(page, '.connection.live');
await shown(page, '.lines .line', 'job ');
await go(page, '#/');
await shown(page, '.apps .row', 'worker');
await close(page);
