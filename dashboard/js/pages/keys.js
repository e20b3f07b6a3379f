import { html, render } from '../../vendor/lit-html/lit-html.js';
/** @type {import('../router.js').PageOf} */
export const keysPage = { title: 'keys', open(host) { render(html`<h1>keys</h1>`, host); return () => {}; } };
