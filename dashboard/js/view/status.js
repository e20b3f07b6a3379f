// The state of a job in a word and a colour.

import { html } from '../../vendor/lit-html/lit-html.js';
import { words } from '../text.js';

/** @import { Job } from '../types.js' */

/** @param {Pick<Job, 'status' | 'paused_at'>} job */
export function statusText(job) {
    return job.paused_at ? 'paused' : job.status;
}

/** @param {Pick<Job, 'status' | 'paused_at'>} job */
export function badge(job) {
    const text = statusText(job);
    return html`<span class="badge ${text}"><span class="dot" aria-hidden="true"></span>${text}</span>`;
}

/** @param {string} status */
export function hasEnded(status) {
    return status === 'succeeded' || status === 'failed' || status === 'cancelled';
}

/**
 * A bar that fills; `share` is null when nobody knows.
 *
 * @param {number | null} share
 * @param {string} label
 */
export function bar(share, label) {
    if (share === null) return html`<progress aria-label=${label}></progress>`;
    return html`<progress aria-label=${label} max="100" value=${Math.round(100 * share)}></progress>`;
}

/** What runs now, and how far it is. @param {Job} job */
export function progressOf(job) {
    const now = job.progress[job.stage];
    const share = now && now.total > 0 ? Math.min(1, now.done / now.total) : null;
    const count = now && now.total > 0 ? `${now.done} of ${now.total} ${now.unit}` : '';
    return { share, stage: words(job.stage), count };
}
