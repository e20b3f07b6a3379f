// All models that were uploaded, newest first.

import { html, render } from '../../vendor/lit-html/lit-html.js';
import { get } from '../server/api.js';
import { poll } from '../server/poll.js';
import { maySubmit } from '../server/session.js';
import { bytes, percent, short, shortId, time } from '../text.js';
import { emptyPanel, loading, problemPanel } from '../view/panel.js';
import { hasEnded } from '../view/status.js';

/** @import { Model, Page } from '../types.js' */

const PAGE = 50;
const WHILE_INSPECTED = 3_000;

/** @type {import('../router.js').PageOf} */
export const modelsPage = {
    title: 'Models',
    open(host, _, query) {
        const after = query.get('after') ?? '';
        /** @type {Page<Model> | null} */
        let page = null;
        /** @type {unknown} */
        let problem = null;
        const asking = poll(
            async (signal) => {
                page = await get(
                    `/v1/models?limit=${PAGE}${after ? `&after=${encodeURIComponent(after)}` : ''}`,
                    signal,
                );
                problem = null;
                draw();
                return page?.items.some(({ inspection }) => inspection && !hasEnded(inspection.status))
                    ? WHILE_INSPECTED
                    : null;
            },
            (error) => {
                problem = error;
                draw();
            },
        );

        function draw() {
            render(
                html`<div class="title"><h1>Models</h1></div>
                    ${problem ? problemPanel(problem, 'It is asked again in a moment.') : null} ${page ? list(page) : problem ? null : loading('models')}`,
                host,
            );
        }

        /** @param {Page<Model>} page */
        function list(page) {
            if (page.items.length === 0) {
                const action = maySubmit() ? html`<a class="button primary" href="/submit">New job</a>` : undefined;
                return emptyPanel(
                    after ? 'No older models' : 'No models yet',
                    'A model comes with the first job that prunes it.',
                    action,
                );
            }
            return html`<div class="table-frame">
                    <table class="cards" aria-label="Models">
                        <thead>
                            <tr>
                                <th scope="col">Model</th>
                                <th scope="col">Size</th>
                                <th scope="col">Costs</th>
                                <th scope="col">Could go</th>
                                <th scope="col">Uploaded</th>
                            </tr>
                        </thead>
                        <tbody>
                            ${page.items.map(row)}
                        </tbody>
                    </table>
                </div>
                <div class="pager">
                    ${after ? html`<a class="button" href="/models">Newest</a>` : null}
                    ${page.next ? html`<a class="button" href="/models?after=${page.next}" rel="next">Older models</a>` : null}
                </div>`;
        }

        draw();
        return asking.stop;
    },
};

/** @param {Model} model */
function row(model) {
    const { summary } = model;
    return html`<tr>
        <td class="main-cell">
            <a class="job-name" href="/models/${model.id}">${model.name ?? 'Unnamed model'}</a>
            <span class="sub"><span class="mono" title=${model.id}>${shortId(model.id)}</span></span>
        </td>
        <td data-label="Size" class="nowrap"><span>${bytes(model.bytes)}</span></td>
        <td data-label="Costs">${summary ? costs(summary.base) : html`<span class="muted">${state(model)}</span>`}</td>
        <td data-label="Could go"><span>${summary ? `${percent(summary.reachable.flops_reduction)} of the MACs` : '–'}</span></td>
        <td data-label="Uploaded" class="nowrap"><span>${time(model.created_at)}</span></td>
    </tr>`;
}

/** @param {Model} model */
function state({ inspection }) {
    if (!inspection) return 'not inspected';
    if (inspection.error) return inspection.error.title;
    return hasEnded(inspection.status) ? 'not inspected' : 'is being inspected';
}

/** @param {import('../types.js').Costs} base */
function costs({ macs, params }) {
    return html`<span>${short(macs)} MACs<span class="sub">${short(params)} parameters</span></span>`;
}
