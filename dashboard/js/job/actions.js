// What can be done with a job.

import { html } from '../../vendor/lit-html/lit-html.js';
import { post, remove } from '../server/api.js';
import { maySubmit } from '../server/session.js';
import { go } from '../router.js';
import { ask } from '../view/dialog.js';
import { hasEnded } from '../view/status.js';
import { trying } from '../view/trying.js';

/** @import { Job } from '../types.js' */

/**
 * @param {Job} job
 * @param {(job: Job) => void} changed
 */
export function actions(job, changed) {
    if (!maySubmit()) return null;
    const path = `/v1/jobs/${job.id}`;

    const pause = trying(async () => changed(await post(`${path}/pause`)));
    const resume = trying(async () => changed(await post(`${path}/resume`)));
    const cancel = trying(async () => {
        const text = 'What was found so far is kept. It cannot be taken up again.';
        if (await ask({ title: 'Cancel this job?', text, yes: 'Cancel the job', no: 'Let it run' }))
            changed(await post(`${path}/cancel`));
    });
    const erase = trying(async () => {
        const text = 'Its report, its files and its events go with it.';
        if (!(await ask({ title: 'Delete this job?', text, yes: 'Delete it' }))) return;
        await remove(path);
        go('/');
    });
    return html`<div class="actions">
        <a class="button" href="/submit?clone=${job.id}">Clone with changes</a>
        ${
            hasEnded(job.status)
                ? html`<button class="danger-quiet" @click=${erase}>Delete</button>`
                : html`${job.paused_at ? html`<button @click=${resume}>Resume</button>` : html`<button @click=${pause}>Pause</button>`}
                  <button class="danger-quiet" @click=${cancel}>Cancel</button>`
        }
    </div>`;
}
