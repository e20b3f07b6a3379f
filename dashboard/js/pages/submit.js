import { html, render } from '../../vendor/lit-html/lit-html.js';
/** @type {import('../router.js').PageOf} */
export const submitPage = { title: 'submit', open(host) { render(html`<h1>submit</h1>`, host); return () => {}; } };
