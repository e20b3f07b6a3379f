// All data sets that were uploaded.

import { html } from '../../vendor/lit-html/lit-html.js';
import { remove } from '../server/api.js';
import { maySubmit } from '../server/session.js';
import { bytes, shortId, time, whole, words } from '../text.js';
import { ask } from '../view/dialog.js';
import { listing } from '../view/listing.js';
import { trying } from '../view/trying.js';

/** @import { Dataset } from '../types.js' */

export const datasetsPage = listing({
    title: 'Data sets',
    here: '/datasets',
    api: '/v1/datasets',
    columns: ['Data set', 'Size', 'Samples', 'Labels', 'Uploaded', ''],
    row,
    empty: 'A data set comes with the first job that uses one.',
});

/**
 * @param {Dataset} dataset
 * @param {() => void} changed
 */
function row({ id, name, bytes: size, created_at, summary }, changed) {
    const { train, val, test } = summary.samples;
    const shape = summary.sample_shape.join(' × ');
    const what = `${shape}${shape && ' '}${summary.sample_dtype}`;
    const erase = trying(async () => {
        const text = 'Jobs that have ended keep their results. A new job on the same data needs it uploaded again.';
        if (!(await ask({ title: `Delete ${name ?? 'this data set'}?`, text, yes: 'Delete it' }))) return;
        await remove(`/v1/datasets/${id}`);
        changed();
    });
    return html`<tr>
        <td class="main-cell">
            <strong>${name ?? 'Unnamed data set'}</strong>
            <span class="sub"><span class="mono" title=${id}>${shortId(id)}</span> · ${words(summary.format)}</span>
        </td>
        <td data-label="Size" class="nowrap"><span>${bytes(size)}</span></td>
        <td data-label="Samples"><span>${whole(train)} to train, ${whole(val)} to validate, ${whole(test)} to test<span class="sub">${what}</span></span></td>
        <td data-label="Labels"><span>${summary.classes ? `${whole(summary.classes)} classes` : summary.labelled ? 'yes' : 'none'}</span></td>
        <td data-label="Uploaded" class="nowrap"><span>${time(created_at)}</span></td>
        <td>${maySubmit() ? html`<button class="mini danger-quiet" aria-label="Delete ${name ?? id}" @click=${erase}>Delete</button>` : null}</td>
    </tr>`;
}
