// All models that were uploaded.

import { html } from '../../vendor/lit-html/lit-html.js';
import { bytes, percent, short, shortId, time } from '../text.js';
import { listing } from '../view/listing.js';
import { hasEnded } from '../view/status.js';

/** @import { Costs, Model } from '../types.js' */

const WHILE_INSPECTED = 3_000;

export const modelsPage = listing({
    title: 'Models',
    here: '/models',
    api: '/v1/models',
    columns: ['Model', 'Size', 'Costs', 'Could go', 'Uploaded'],
    row,
    empty: 'A model comes with the first job that prunes it.',
    again: (items) =>
        items.some(({ inspection }) => inspection && !hasEnded(inspection.status)) ? WHILE_INSPECTED : null,
});

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

/** @param {Costs} base */
function costs({ macs, params }) {
    return html`<span>${short(macs)} MACs<span class="sub">${short(params)} parameters</span></span>`;
}
