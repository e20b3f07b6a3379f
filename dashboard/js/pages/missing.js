// An address that is no page.

import { html, render } from '../../vendor/lit-html/lit-html.js';
import { emptyPanel } from '../view/panel.js';

/** @type {import('../router.js').PageOf} */
export const missingPage = {
    title: 'No such page',
    open(host) {
        render(
            html`<h1>No such page</h1>
                ${emptyPanel('Nothing is here', 'The address is none of the dashboard’s.', html`<a class="button" href="/">All jobs</a>`)}`,
            host,
        );
        return () => {};
    },
};
