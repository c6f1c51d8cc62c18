import { check, close, expectErrors, go, open, shown, until } from './helpers.mjs';

const MARKUP = '<img src=x onerror=alert(1)>';
const page = await open();
// No element but those of the page: the only images are its own.
const checkElements = async (what) => {
  const foreign = await page.evaluate(() => [...document.querySelectorAll('img, script, iframe, object, embed, a[href^="javascript"], [onerror], [onload]')]
    .filter((element) => !(element.src ?? '').startsWith(`${location.origin}/dashboard/`)).map((element) => element.outerHTML));
  check(foreign.length === 0, `${what}: ${foreign.join()}`);
};
await shown(page, '.apps .cell.name a', MARKUP);
await shown(page, '.about', '<script>alert(2)</script>');
await checkElements('apps');
await page.getByRole('link', { name: MARKUP }).click();
await shown(page, 'h1', MARKUP);
await shown(page, '.settings tr', '<svg onload=alert(3)>');
await shown(page, '.timeline .event', 'is online');
await shown(page, '.chips', 'javascript:alert(4)');
check(!(await page.locator('.settings').allInnerTexts()).join().includes('hunter2'), 'a secret is shown');
await checkElements('an app');
await page.getByRole('link', { name: 'javascript:alert(4)' }).click();
await shown(page, 'h1', 'javascript:alert(4)');
await page.getByRole('button', { name: 'Restart', exact: true }).click();
await shown(page, 'dialog', 'Restart javascript:alert(4)');
await checkElements('a dialog');
await page.keyboard.press('Escape');
await go(page, `#/logs?target=${encodeURIComponent(MARKUP)}`);
await shown(page, '.line .text', '<script>alert(5)</script>');
await shown(page, '.line .fg1', '<img src=x onerror=alert(6)>');
await shown(page, '.line .text', 'high');
await shown(page, '.line .text', '\u2401\u2402 control');
const texts = await page.locator('.line .text').allTextContents();
check(texts.includes('link'), `the target of a link is shown: ${texts.join('\n')}`);
check(!texts.join('').includes('\x1b'), 'an escape character is shown');
await checkElements('logs');
await page.getByLabel('Search log lines').fill('<script>');
await until(page, () => document.querySelectorAll('.lines mark').length === 1);
await checkElements('a search');
await go(page, '#/events');
await shown(page, '.event .text', MARKUP);
await checkElements('events');
await go(page, `#/app/${encodeURIComponent('<img src=x onerror=alert(8)>')}`);
await shown(page, '.empty', 'no app with this name');
await go(page, '#/app/%E0%A4%A');
await shown(page, '.empty', 'no app with this name');
await checkElements('an unknown app');
// The policy itself: no script makes markup of a string.
expectErrors((text) => text.includes('TrustedHTML'));
const isRefused = await page.evaluate(() => {
  try {
    document.createElement('div').innerHTML = '<b>x</b>';
    return false;
  } catch (error) {
    return error instanceof TypeError;
  }
});
check(isRefused, 'the policy permits innerHTML');
await close(page);
