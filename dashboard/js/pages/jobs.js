// All jobs, newest first, by status and label.

import { html, render } from '../../vendor/lit-html/lit-html.js';
import { repeat } from '../../vendor/lit-html/directives/repeat.js';
import { get } from '../server/api.js';
import { poll } from '../server/poll.js';
import { maySubmit } from '../server/session.js';
import { go } from '../router.js';
import { capital, duration, percent, secondsBetween, short, shortId, targetText, time } from '../text.js';
import { emptyPanel, loading, problemPanel } from '../view/panel.js';
import { badge, bar, hasEnded, progressOf } from '../view/status.js';

/** @import { Job, Page } from '../types.js' */

const STATUSES = ['running', 'queued', 'succeeded', 'failed', 'cancelled'];
const WHILE_RUNNING = 3_000;
const WHILE_QUIET = 15_000;
const PAGE = 50;

/** @type {import('../router.js').PageOf} */
export const jobsPage = {
    title: 'Jobs',
    open(host, _, query) {
        const status = query.get('status') ?? '';
        const label = query.get('label') ?? '';
        const after = query.get('after') ?? '';
        /** @type {Page<Job> | null} */
        let page = null;
        /** @type {unknown} */
        let problem = null;

        /** @param {Record<string, string>} changes */
        function address(changes) {
            const next = new URLSearchParams();
            for (const [name, value] of Object.entries({ status, label, after: '', ...changes }))
                if (value) next.set(name, value);
            const text = next.toString();
            return text === '' ? '/' : `/?${text}`;
        }

        /** @param {SubmitEvent} event */
        function filterByLabel(event) {
            event.preventDefault();
            const field = /** @type {HTMLInputElement} */ (host.querySelector('#label'));
            go(address({ label: field.value.trim() }));
        }

        const asking = poll(
            async (signal) => {
                const parameters = new URLSearchParams({ limit: String(PAGE) });
                if (status) parameters.set('status', status);
                if (label) parameters.set('label', label);
                if (after) parameters.set('after', after);
                page = await get(`/v1/jobs?${parameters}`, signal);
                problem = null;
                draw();
                return page?.items.some((job) => !hasEnded(job.status)) ? WHILE_RUNNING : WHILE_QUIET;
            },
            (error) => {
                problem = error;
                draw();
            },
        );

        function draw() {
            render(
                html`<div class="title"><h1>Jobs</h1></div>
                    <div class="filters">
                        <nav aria-label="Jobs by status" class="segments">
                            <a href=${address({ status: '' })} aria-current=${status === '' ? 'true' : 'false'}>All</a>
                            ${STATUSES.map(
                                (name) =>
                                    html`<a href=${address({ status: name })} aria-current=${status === name ? 'true' : 'false'}>${capital(name)}</a>`,
                            )}
                        </nav>
                        <form role="search" class="inline" @submit=${filterByLabel}>
                            <label for="label">Label</label>
                            <input id="label" type="search" placeholder="team:vision" .value=${label} list="labels" autocomplete="off" />
                            <datalist id="labels">${labelsOf(page?.items ?? []).map((name) => html`<option value=${name}></option>`)}</datalist>
                            <button>Filter</button>
                        </form>
                    </div>
                    ${problem ? problemPanel(problem, page ? 'Below is what was there before; it is asked again in a moment.' : 'It is asked again in a moment.') : null}
                    ${page ? list(page) : problem ? null : loading('jobs')}`,
                host,
            );
        }

        /** @param {Page<Job>} page */
        function list(page) {
            if (page.items.length === 0) return empty();
            return html`<div class="table-frame">
                    <table class="cards jobs" aria-label="Jobs">
                        <thead>
                            <tr>
                                <th scope="col">Job</th>
                                <th scope="col">Status</th>
                                <th scope="col">Target</th>
                                <th scope="col">Outcome</th>
                                <th scope="col">Submitted</th>
                            </tr>
                        </thead>
                        <tbody>
                            ${repeat(page.items, (job) => job.id, row)}
                        </tbody>
                    </table>
                </div>
                <div class="pager">
                    ${after ? html`<a class="button" href=${address({})}>Newest</a>` : null}
                    ${page.next ? html`<a class="button" href=${address({ after: page.next })} rel="next">Older jobs</a>` : null}
                </div>`;
        }

        /** @param {Job} job */
        function row(job) {
            return html`<tr>
                <td class="main-cell">
                    <a class="job-name" href="/jobs/${job.id}">${job.name ?? 'Unnamed job'}</a>
                    <span class="sub"><span class="mono" title=${job.id}>${shortId(job.id)}</span>${chips(job)}</span>
                </td>
                <td data-label="Status">${badge(job)}</td>
                <td data-label="Target"><span class="nowrap">${targetText(job.spec.target)}</span><span class="sub">${job.spec.method}</span></td>
                <td data-label="Outcome">${outcome(job)}</td>
                <td data-label="Submitted" class="nowrap">${time(job.created_at)}${took(job)}</td>
            </tr>`;
        }

        /** @param {Job} job */
        function chips(job) {
            return Object.entries(job.labels).map(
                ([key, value]) =>
                    html`<a class="chip" href=${address({ label: `${key}:${value}` })} title="Jobs with this label">${key}: ${value}</a>`,
            );
        }

        function empty() {
            if (after)
                return emptyPanel(
                    'No older jobs',
                    'These were all.',
                    html`<a class="button" href=${address({})}>Newest</a>`,
                );
            if (status || label)
                return emptyPanel(
                    'No such jobs',
                    'No job fits these filters.',
                    html`<a class="button" href="/">All jobs</a>`,
                );
            const action = maySubmit() ? html`<a class="button primary" href="/submit">New job</a>` : undefined;
            return emptyPanel(
                'No jobs yet',
                'A job takes a TorchScript file and a target, and gives back a smaller file that was fine-tuned and checked.',
                action,
            );
        }

        draw();
        return asking.stop;
    },
};

/** @param {Job[]} jobs */
function labelsOf(jobs) {
    return [
        ...new Set(jobs.flatMap((job) => Object.entries(job.labels).map(([key, value]) => `${key}:${value}`))),
    ].sort();
}

/** @param {Job} job */
function took(job) {
    const seconds = secondsBetween(job.started_at, job.finished_at);
    if (!job.started_at || seconds === null) return null;
    return html`<span class="sub">${job.finished_at ? 'took' : 'runs for'} ${duration(seconds)}</span>`;
}

/** @param {Job} job */
function outcome(job) {
    if (job.result) {
        const { base, pruned } = job.result;
        const accuracy =
            base.accuracy && pruned.accuracy
                ? `accuracy ${percent(base.accuracy.test)} → ${percent(pruned.accuracy.test)}`
                : `${short(pruned.params)} parameters`;
        return html`<span class="nowrap">${short(base.macs)} → ${short(pruned.macs)} MACs</span><span class="sub">${accuracy}</span>`;
    }
    if (job.error)
        return html`<span class="failure">${job.error.title}</span><span class="sub">in ${job.error.stage}</span>`;
    if (hasEnded(job.status)) {
        if (!job.best) return '–';
        return html`<span>Best so far kept</span><span class="sub">${short(job.best.costs.macs)} MACs</span>`;
    }
    if (job.status === 'queued') return html`<span class="muted">Waiting for a worker</span>`;
    const { share, stage, count } = progressOf(job);
    return html`${bar(share, `Progress of ${stage}`)}<span class="sub">${stage}${count ? `: ${count}` : ''}</span>`;
}
