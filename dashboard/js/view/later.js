// Pages whose scripts are fetched when somebody first goes there, so that the others are shown without waiting for them.

import { render } from '../../vendor/lit-html/lit-html.js';
import { loading, problemPanel } from './panel.js';

/** @import { PageOf } from '../router.js' */
/** @import { Leave } from '../types.js' */

/**
 * @param {string} title As the page has it.
 * @param {() => Promise<PageOf>} fetch
 * @returns {PageOf}
 */
export function later(title, fetch) {
    return {
        title,
        open(host, parameters, query) {
            let isLeft = false;
            /** @type {Leave} */
            let leave = () => {};
            render(loading('the page'), host);
            fetch().then(
                (page) => {
                    // What is drawn into the place replaces the line above.
                    if (!isLeft) leave = page.open(host, parameters, query);
                },
                (error) => {
                    // A server that was upgraded meanwhile has other files.
                    if (!isLeft) render(problemPanel(error), host);
                },
            );
            return () => {
                isLeft = true;
                leave();
            };
        },
    };
}
