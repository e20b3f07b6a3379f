// Which page an address is, and how one page gives way to the next.

/** @import { Leave } from './types.js' */

/**
 * A page: its title for the tab, and how it is drawn into its place. What it returns is called when it is left.
 *
 * @typedef {{ title: string, open: (host: HTMLElement, parameters: Record<string, string>, query: URLSearchParams) => Leave }} PageOf
 */

/** @type {{ pattern: RegExp, names: string[], page: PageOf }[]} */
const routes = [];
/** @type {Leave} */
let leave = () => {};
/** @type {(path: string) => void} */
let whenArrived = () => {};

/**
 * @param {string} path As `/jobs/{id}`.
 * @param {PageOf} page
 */
export function route(path, page) {
    const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    routes.push({ pattern: new RegExp(`^${path.replace(/\{\w+\}/g, '([^/]+)')}$`), names, page });
}

/**
 * @param {string} address Path and query.
 * @param {{ replace?: boolean }} [how]
 */
export function go(address, how = {}) {
    if (how.replace) history.replaceState(null, '', address);
    else history.pushState(null, '', address);
    show(true);
}

/** @param {string} title */
export function setTitle(title) {
    document.title = title === '' ? 'Secateur' : `${title} – Secateur`;
}

/** @param {string} text For those who do not see the screen. */
export function announce(text) {
    const announcer = document.getElementById('announcer');
    if (announcer) announcer.textContent = text;
}

/** Shows the page of the address. @param {boolean} [isNew] Whether it was gone to, so that the focus goes along. */
export function show(isNew = false) {
    leave();
    leave = () => {};
    const old = /** @type {HTMLElement} */ (document.getElementById('main'));
    // What a page has drawn and hung up goes with its element.
    const main = /** @type {HTMLElement} */ (old.cloneNode(false));
    old.replaceWith(main);
    const path = location.pathname;
    for (const { pattern, names, page } of routes) {
        const match = pattern.exec(path);
        if (!match) continue;
        const parameters = Object.fromEntries(names.map((name, place) => [name, decodeURIComponent(match[place + 1])]));
        setTitle(page.title);
        whenArrived(path);
        leave = page.open(main, parameters, new URLSearchParams(location.search));
        break;
    }
    if (isNew) {
        scrollTo(0, 0);
        main.focus({ preventScroll: true });
        announce(document.title);
    }
}

/** @param {(path: string) => void} arrived */
export function start(arrived) {
    whenArrived = arrived;
    addEventListener('popstate', () => show(true));
    document.addEventListener('click', (event) => {
        const link = event.target instanceof Element ? event.target.closest('a') : null;
        if (!link || event.defaultPrevented || event.button !== 0) return;
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        if (link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
        if (link.hash && link.pathname === location.pathname) return;
        if (!routes.some(({ pattern }) => pattern.test(link.pathname))) return;
        event.preventDefault();
        go(link.pathname + link.search);
    });
    show();
}
