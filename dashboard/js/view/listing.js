// What was uploaded, newest first, a page at a time.

import { html, render } from '../../vendor/lit-html/lit-html.js';
import { get } from '../server/api.js';
import { poll } from '../server/poll.js';
import { maySubmit } from '../server/session.js';
import { emptyPanel, loading, problemPanel } from './panel.js';

/** @import { Drawn, Page } from '../types.js' */

const PAGE = 50;

/**
 * A page with a table of all uploads of a kind.
 *
 * @template T
 * @param {{
 *     title: string,
 *     here: string,
 *     api: string,
 *     columns: string[],
 *     row: (item: T, changed: () => void) => Drawn,
 *     empty: string,
 *     again?: (items: T[]) => number | null
 * }} kind `here`: the page's own path; `again`: after how many milliseconds the table is asked for anew, if at all.
 * @returns {import('../router.js').PageOf}
 */
export function listing({ title, here, api, columns, row, empty, again = () => null }) {
    const things = title.toLowerCase();
    return {
        title,
        open(host, _, query) {
            const after = query.get('after') ?? '';
            /** @type {Page<T> | null} */
            let page = null;
            /** @type {unknown} */
            let problem = null;
            const asking = poll(
                async (signal) => {
                    page = await get(`${api}?limit=${PAGE}${after && `&after=${encodeURIComponent(after)}`}`, signal);
                    problem = null;
                    draw();
                    return page ? again(page.items) : null;
                },
                (error) => {
                    problem = error;
                    draw();
                },
            );

            function draw() {
                render(
                    html`<div class="title"><h1>${title}</h1></div>
                        ${problem ? problemPanel(problem, 'It is asked again in a moment.') : null} ${page ? table(page) : problem ? null : loading(things)}`,
                    host,
                );
            }

            /** @param {Page<T>} page */
            function table(page) {
                if (page.items.length === 0) {
                    const action = maySubmit() ? html`<a class="button primary" href="/submit">New job</a>` : undefined;
                    return emptyPanel(after ? `No older ${things}` : `No ${things} yet`, empty, action);
                }
                return html`<div class="table-frame">
                        <table class="cards" aria-label=${title}>
                            <thead><tr>${columns.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead>
                            <tbody>${page.items.map((item) => row(item, asking.soon))}</tbody>
                        </table>
                    </div>
                    <div class="pager">
                        ${after ? html`<a class="button" href=${here}>Newest</a>` : null}
                        ${page.next ? html`<a class="button" href="${here}?after=${page.next}" rel="next">Older ${things}</a>` : null}
                    </div>`;
            }

            draw();
            return asking.stop;
        },
    };
}
